//! The registers of a thread that a signal interrupted, which the handler may change.

#[cfg(target_arch = "x86_64")]
use libc::{REG_EFL, REG_RIP, REG_RSP};

/// Of the context that the kernel passes to a handler.
pub(super) struct Registers<'a>(&'a mut libc::ucontext_t);

impl Registers<'_> {
    /// # Safety
    ///
    /// `context` is the third argument of a signal handler, which runs.
    pub(super) unsafe fn of<'a>(context: *mut libc::c_void) -> Registers<'a> {
        // SAFETY: the caller's promise.
        Registers(unsafe { &mut *context.cast() })
    }
}

#[cfg(target_arch = "x86_64")]
impl Registers<'_> {
    pub(super) fn instruction(&self) -> usize {
        self.0.uc_mcontext.gregs[REG_RIP as usize] as usize
    }

    pub(super) fn set_instruction(&mut self, instruction: usize) {
        self.0.uc_mcontext.gregs[REG_RIP as usize] = instruction as i64;
    }

    pub(super) fn stack_pointer(&self) -> usize {
        self.0.uc_mcontext.gregs[REG_RSP as usize] as usize
    }

    pub(super) fn set_stack_pointer(&mut self, stack_pointer: usize) {
        self.0.uc_mcontext.gregs[REG_RSP as usize] = stack_pointer as i64;
    }

    /// Clears the flags that compiled code does not expect: direction, checking of alignment.
    pub(super) fn clear_flags(&mut self) {
        self.0.uc_mcontext.gregs[REG_EFL as usize] &= !0x40400;
    }

    /// Where a jump to where no code is came from. Changes the registers to what they were at the call.
    ///
    /// # Safety
    ///
    /// The stack can be read.
    pub(super) unsafe fn return_to_caller(&mut self) {
        let stack_pointer = self.stack_pointer();
        // SAFETY: the caller's promise. A call leaves its address there; the byte before is still in the function that called.
        self.set_instruction(unsafe { (stack_pointer as *const usize).read() }.wrapping_sub(1));
        self.set_stack_pointer(stack_pointer + size_of::<usize>());
    }

    /// Whether a call leaves its address on the stack.
    pub(super) const RETURNS_BY_STACK: bool = true;
}

#[cfg(target_arch = "aarch64")]
impl Registers<'_> {
    pub(super) fn instruction(&self) -> usize {
        self.0.uc_mcontext.pc as usize
    }

    pub(super) fn set_instruction(&mut self, instruction: usize) {
        self.0.uc_mcontext.pc = instruction as u64;
    }

    pub(super) fn stack_pointer(&self) -> usize {
        self.0.uc_mcontext.sp as usize
    }

    pub(super) fn set_stack_pointer(&mut self, stack_pointer: usize) {
        self.0.uc_mcontext.sp = stack_pointer as u64;
    }

    /// There are none here.
    pub(super) fn clear_flags(&mut self) {}

    /// Where a jump to where no code is came from. Changes the registers to what they were at the call.
    ///
    /// # Safety
    ///
    /// None.
    pub(super) unsafe fn return_to_caller(&mut self) {
        // The link register; the instruction before is still in the function that called.
        self.set_instruction((self.0.uc_mcontext.regs[30] as usize).wrapping_sub(4));
    }

    /// Whether a call leaves its address on the stack.
    pub(super) const RETURNS_BY_STACK: bool = false;
}
