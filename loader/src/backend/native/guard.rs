//! Calls that survive a crash of what they call.
//!
//! A guarded call saves the registers that a function must preserve on the stack, and notes where. Those that control floating-point arithmetic
//! were noted before: to read them takes longer than all else of a call. To escape from the call, by [`escape`] or out of a signal, is to go back there: everything the callee had on the stack is
//! abandoned, and the call returns as crashed. Only frames that [`containment`](super::containment) allows may be abandoned so, and those of
//! the C functions with which they entered the loader: no Rust frame that has something to drop.

use std::cell::Cell;

/// Whether guarded calls contain crashes on this platform.
pub(super) const AVAILABLE: bool = cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// Where the innermost guarded call is to be resumed; 0 outside of any.
#[derive(Default)]
#[repr(C)]
pub(super) struct Frame {
    stack_pointer: Cell<usize>,
    /// Not 0: this is a child process that was forked inside of a guarded call, which must not go on in the host.
    forked: Cell<u64>,
    /// How floating-point arithmetic works where calls are escaped to.
    arithmetic: Cell<u64>,
}

impl Frame {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(super) const FORKED_AT: usize = std::mem::offset_of!(Frame, forked);

    /// Notes how floating-point arithmetic works on this thread.
    pub(super) fn note_arithmetic(&self) {
        self.arithmetic.set(platform::arithmetic());
    }

    /// Whether a guarded call is under way.
    pub(super) fn is_entered(&self) -> bool {
        self.address() != 0
    }

    /// Where on the stack the innermost guarded call stands.
    pub(super) fn address(&self) -> usize {
        self.stack_pointer.get()
    }

    /// The function that the innermost guarded call called.
    pub(super) fn function(&self) -> usize {
        match self.address() {
            0 => 0,
            // SAFETY: the frame of a call under way, which `call` laid out.
            at => unsafe { ((at + FUNCTION_AT) as *const usize).read() },
        }
    }

    /// Makes this a frame that is not escaped from: every call of it returns as crashed.
    pub(super) fn mark_forked(&self) {
        self.forked.set(1);
    }

    /// Whether this is the child of a fork inside of a guarded call.
    pub(super) fn is_forked(&self) -> bool {
        self.forked.get() != 0
    }
}

/// What a guarded call gave.
#[repr(C)]
pub(super) struct Outcome {
    /// The register of the result, all 64 bits of it.
    pub(super) value: u64,
    /// Not 0: the call was escaped from, or returned in a forked child.
    pub(super) crashed: u64,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::mem::offset_of;

    use super::super::prepared::crashed;
    use super::{Frame, Outcome};

    /// Where a frame has the address of the function, from its stack pointer.
    pub(super) const FUNCTION_AT: usize = 0;

    /// In place of the frame of the call around it: a [prepared](super::super::prepared) call, around which there is none.
    pub(in super::super) const PREPARED: usize = 1;

    /// Calls `function` with five arguments, which are where it expects them.
    ///
    /// # Safety
    ///
    /// `function` is a C function of at most five parameters, all integers or pointers. `frame` outlives the call.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn call(
        a0: u64,
        a1: u64,
        a2: u64,
        a3: u64,
        a4: u64,
        frame: *const Frame,
        function: usize,
    ) -> Outcome {
        core::arch::naked_asm!(
            ".cfi_startproc",
            // DW_EH_PE_pcrel | DW_EH_PE_sdata4
            ".cfi_personality 0x1b, {personality}",
            // The seventh argument, above the return address.
            "mov r11, [rsp + 8]",
            "push rbp",
            ".cfi_adjust_cfa_offset 8",
            "push r12",
            ".cfi_adjust_cfa_offset 8",
            "push r13",
            ".cfi_adjust_cfa_offset 8",
            "push r14",
            ".cfi_adjust_cfa_offset 8",
            "push r15",
            ".cfi_adjust_cfa_offset 8",
            "push rbx",
            ".cfi_adjust_cfa_offset 8",
            // The frame of the call around this one, and where to put it back.
            "push qword ptr [r9]",
            ".cfi_adjust_cfa_offset 8",
            "push r9",
            ".cfi_adjust_cfa_offset 8",
            // The function.
            "push r11",
            ".cfi_adjust_cfa_offset 8",
            "mov [r9], rsp",
            "call r11",
            // A callee that returns has preserved the registers, and how arithmetic works.
            "mov rcx, [rsp + 8]",
            "mov r8, [rsp + 16]",
            "mov rdx, [rcx + {forked}]",
            "mov [rcx], r8",
            "add rsp, 72",
            ".cfi_adjust_cfa_offset -72",
            "ret",
            ".cfi_endproc",
            forked = const Frame::FORKED_AT,
            personality = sym super::super::exception::personality,
        )
    }

    /// Where an escaped call goes on, with the stack pointer that its frame noted: returns from it as crashed.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn resume() {
        core::arch::naked_asm!(
            // A callee may have left the direction flag or the checking of alignment set, and values in the floating-point stack.
            "pushfq",
            "and dword ptr [rsp], 0xfffbfbff",
            "popfq",
            "add rsp, 8",
            "pop rdi",
            "fninit",
            "fldcw [rdi + {arithmetic} + 4]",
            "ldmxcsr [rdi + {arithmetic}]",
            "pop rcx",
            "pop rbx",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbp",
            "cmp rcx, {prepared}",
            "je 2f",
            "mov [rdi], rcx",
            "xor eax, eax",
            "mov edx, 1",
            "ret",
            // A prepared call has more to undo.
            "2:",
            "mov qword ptr [rdi], 0",
            "jmp {crashed}",
            arithmetic = const offset_of!(Frame, arithmetic),
            prepared = const PREPARED,
            crashed = sym crashed,
        )
    }

    /// Leaves the innermost guarded call of the frame. Does not return.
    ///
    /// # Safety
    ///
    /// The frame is entered, on this thread, and nothing between here and there has anything to drop.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn escape(frame: *const Frame) -> ! {
        core::arch::naked_asm!("mov rsp, [rdi]", "jmp {resume}", resume = sym resume)
    }

    /// The two control registers of floating-point arithmetic, those of SSE in the lower half.
    pub(super) fn arithmetic() -> u64 {
        let mut registers = 0u64;
        // SAFETY: both are stored within the variable.
        unsafe { core::arch::asm!("stmxcsr [{0}]", "fnstcw [{0} + 4]", in(reg) &raw mut registers, options(nostack)) };
        registers
    }

    /// Clears the flags that a plugin may have set and that compiled code does not expect.
    #[inline(always)]
    pub(in super::super) fn clear_flags() {
        // SAFETY: changes only the flags, to what every function expects.
        unsafe { core::arch::asm!("pushfq", "and dword ptr [rsp], 0xfffbfbff", "popfq") };
    }
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
mod platform {
    use std::mem::offset_of;

    use super::{Frame, Outcome};

    /// Where a frame has the address of the function, from its stack pointer.
    pub(super) const FUNCTION_AT: usize = 184;

    /// Calls `function` with five arguments, which are where it expects them.
    ///
    /// # Safety
    ///
    /// `function` is a C function of at most five parameters, all integers or pointers. `frame` outlives the call.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn call(
        a0: u64,
        a1: u64,
        a2: u64,
        a3: u64,
        a4: u64,
        frame: *const Frame,
        function: usize,
    ) -> Outcome {
        core::arch::naked_asm!(
            ".cfi_startproc",
            // DW_EH_PE_pcrel | DW_EH_PE_sdata4
            ".cfi_personality 0x1b, {personality}",
            "stp x29, x30, [sp, #-192]!",
            ".cfi_def_cfa_offset 192",
            ".cfi_offset 29, -192",
            ".cfi_offset 30, -184",
            "stp x19, x20, [sp, #16]",
            "stp x21, x22, [sp, #32]",
            "stp x23, x24, [sp, #48]",
            "stp x25, x26, [sp, #64]",
            "stp x27, x28, [sp, #80]",
            "stp d8, d9, [sp, #96]",
            "stp d10, d11, [sp, #112]",
            "stp d12, d13, [sp, #128]",
            "stp d14, d15, [sp, #144]",
            // Where to put the frame of the call around this one back, and that frame.
            "ldr x9, [x5]",
            "stp x5, x9, [sp, #160]",
            // The function.
            "str x6, [sp, #184]",
            "mov x9, sp",
            "str x9, [x5]",
            "mov x29, sp",
            "blr x6",
            // A callee that returns has preserved the registers: only those of the frame are put back.
            "ldp x9, x10, [sp, #160]",
            "ldr x1, [x9, #8]",
            "str x10, [x9]",
            "ldp x29, x30, [sp], #192",
            ".cfi_restore 29",
            ".cfi_restore 30",
            ".cfi_def_cfa_offset 0",
            "ret",
            ".cfi_endproc",
            personality = sym super::super::exception::personality,
        )
    }

    /// Where an escaped call goes on, with the stack pointer that its frame noted: returns from it as crashed.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn resume() {
        core::arch::naked_asm!(
            "ldp x9, x10, [sp, #160]",
            "ldr x11, [x9, #{arithmetic}]",
            "msr fpcr, x11",
            "str x10, [x9]",
            "ldp x19, x20, [sp, #16]",
            "ldp x21, x22, [sp, #32]",
            "ldp x23, x24, [sp, #48]",
            "ldp x25, x26, [sp, #64]",
            "ldp x27, x28, [sp, #80]",
            "ldp d8, d9, [sp, #96]",
            "ldp d10, d11, [sp, #112]",
            "ldp d12, d13, [sp, #128]",
            "ldp d14, d15, [sp, #144]",
            "mov x0, xzr",
            "mov x1, #1",
            "ldp x29, x30, [sp], #192",
            "ret",
            arithmetic = const offset_of!(Frame, arithmetic),
        )
    }

    /// Leaves the innermost guarded call of the frame. Does not return.
    ///
    /// # Safety
    ///
    /// The frame is entered, on this thread, and nothing between here and there has anything to drop.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn escape(frame: *const Frame) -> ! {
        core::arch::naked_asm!("ldr x9, [x0]", "mov sp, x9", "b {resume}", resume = sym resume)
    }

    /// The control register of floating-point arithmetic.
    pub(super) fn arithmetic() -> u64 {
        let register: u64;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("mrs {}, fpcr", out(reg) register, options(nomem, nostack)) };
        register
    }

    /// A plugin cannot set flags here that compiled code does not expect.
    #[inline(always)]
    pub(in super::super) fn clear_flags() {}
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod platform {
    use super::{Frame, Outcome};

    /// No frame is ever entered.
    pub(super) const FUNCTION_AT: usize = 0;

    /// Calls `function` with five arguments, unguarded.
    ///
    /// # Safety
    ///
    /// `function` is a C function of at most five parameters, all integers or pointers.
    pub(in super::super) unsafe extern "C" fn call(
        a0: u64,
        a1: u64,
        a2: u64,
        a3: u64,
        a4: u64,
        _: *const Frame,
        function: usize,
    ) -> Outcome {
        // SAFETY: the caller's promise; surplus arguments are ignored by C functions on the platforms that native plugins run on.
        let value = unsafe {
            let function: unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64 = std::mem::transmute(function);
            function(a0, a1, a2, a3, a4)
        };
        Outcome { value, crashed: 0 }
    }

    /// Never reached: nothing is guarded here.
    ///
    /// # Safety
    ///
    /// None.
    pub(in super::super) unsafe extern "C" fn escape(_: *const Frame) -> ! {
        std::process::abort()
    }

    /// Nothing is guarded here.
    pub(super) fn arithmetic() -> u64 {
        0
    }

    /// Nothing is guarded here.
    pub(in super::super) fn clear_flags() {}
}

use platform::FUNCTION_AT;
pub(super) use platform::{call, clear_flags, escape};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) use platform::PREPARED;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use platform::resume;
