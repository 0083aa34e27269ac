//! Calls that survive a crash of what they call.
//!
//! A guarded call saves the registers that a function must preserve on the stack and notes where. To escape from the call, by
//! [`escape`] or out of a signal, is to go back there: everything the callee had on the stack is abandoned, and the call returns as
//! crashed. Only frames of the plugin, and of the C functions with which it entered the loader, may be abandoned so: no Rust frame that
//! has something to drop.

use std::cell::Cell;

/// Whether guarded calls contain crashes on this platform.
pub(super) const AVAILABLE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Where the innermost guarded call is to be resumed; 0 outside of any.
#[derive(Default)]
#[repr(C)]
pub(super) struct Frame {
    stack_pointer: Cell<usize>,
}

impl Frame {
    /// Whether a guarded call is under way.
    pub(super) fn is_entered(&self) -> bool {
        self.stack_pointer.get() != 0
    }
}

/// What a guarded call gave.
#[repr(C)]
pub(super) struct Outcome {
    /// The register of the result, all 64 bits of it.
    pub(super) value: u64,
    /// Not 0: the call was escaped from.
    pub(super) crashed: u64,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use super::{Frame, Outcome};

    /// Calls `function` with five arguments.
    ///
    /// # Safety
    ///
    /// `function` is a C function of at most five parameters, all integers or pointers. `frame` outlives the call.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn call(
        frame: *const Frame,
        function: usize,
        a0: u64,
        a1: u64,
        a2: u64,
        a3: u64,
        a4: u64,
    ) -> Outcome {
        core::arch::naked_asm!(
            ".cfi_startproc",
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
            ".cfi_offset rbx, -56",
            // The frame of the call around this one, and where to put it back.
            "push qword ptr [rdi]",
            ".cfi_adjust_cfa_offset 8",
            "push rdi",
            ".cfi_adjust_cfa_offset 8",
            "sub rsp, 8",
            ".cfi_adjust_cfa_offset 8",
            "mov [rdi], rsp",
            "mov rbx, rdi",
            "mov rax, rsi",
            "mov rdi, rdx",
            "mov rsi, rcx",
            "mov rdx, r8",
            "mov rcx, r9",
            // The seventh argument: above nine saved words and the return address.
            "mov r8, [rsp + 80]",
            "call rax",
            "xor edx, edx",
            // A callee that returns has preserved the registers: only the one used here is put back.
            "mov rcx, [rsp + 16]",
            "mov [rbx], rcx",
            "mov rbx, [rsp + 24]",
            "add rsp, 72",
            ".cfi_adjust_cfa_offset -72",
            "ret",
            ".cfi_endproc",
        )
    }

    /// Where an escaped call goes on, with the stack pointer that its frame noted: returns from it as crashed.
    #[unsafe(naked)]
    unsafe extern "C" fn resume() {
        core::arch::naked_asm!(
            // A callee may have left the direction flag set.
            "cld",
            "xor eax, eax",
            "mov edx, 1",
            "add rsp, 8",
            "pop rcx",
            "pop qword ptr [rcx]",
            "pop rbx",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbp",
            "ret",
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

    pub(in super::super) mod signals {
        //! Faults of the processor in a plugin's code.

        use std::mem::MaybeUninit;
        use std::ptr;
        use std::sync::Once;

        use super::super::super::current;
        use super::resume;

        const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

        /// The handlers that were there before, in the order of `SIGNALS`.
        static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 4] = [const { MaybeUninit::uninit() }; 4];

        /// Installs the handlers, once in the process.
        pub(in super::super::super) fn install() {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                for (index, signal) in SIGNALS.into_iter().enumerate() {
                    // SAFETY: an all-zero sigaction is valid. The previous action is stored before the handler that reads it can run:
                    // it is asked for first. Only this closure, which runs once, writes to PREVIOUS.
                    unsafe {
                        let mut previous: libc::sigaction = std::mem::zeroed();
                        libc::sigaction(signal, ptr::null(), &mut previous);
                        (*ptr::addr_of_mut!(PREVIOUS[index])).write(previous);
                        let mut action: libc::sigaction = std::mem::zeroed();
                        action.sa_sigaction = handler as *const () as usize;
                        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                        libc::sigemptyset(&mut action.sa_mask);
                        libc::sigaction(signal, &action, ptr::null_mut());
                    }
                }
            });
        }

        extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
            let instance = current::get();
            let registers = context.cast::<libc::ucontext_t>();
            // SAFETY: the kernel passes a valid context to a SA_SIGINFO handler, on the thread that faulted. The instance, if there is
            // one, lives for as long as it is current on this thread.
            unsafe {
                let registers = &mut (*registers).uc_mcontext.gregs;
                let address = registers[libc::REG_RIP as usize] as usize;
                if let Some(instance) = instance.as_ref()
                    && instance.frame.is_entered()
                    && instance.span.contains(&address)
                {
                    instance.crash.set(Some(super::super::Crash {
                        signal,
                        instruction: address - instance.span.start,
                        address: (*info).si_addr() as usize,
                    }));
                    registers[libc::REG_RSP as usize] = instance.frame.stack_pointer.get() as i64;
                    registers[libc::REG_RIP as usize] = resume as *const () as usize as i64;
                    return;
                }
                pass_on(signal, info, context);
            }
        }

        /// Does what would have been done without this handler.
        ///
        /// # Safety
        ///
        /// The arguments are those of a signal handler.
        unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
            let Some(index) = SIGNALS.iter().position(|known| *known == signal) else { return };
            // SAFETY: written before this handler was installed, and never after. A handler's address is a function of the kind that
            // its flags say.
            unsafe {
                let previous = (*ptr::addr_of!(PREVIOUS[index])).assume_init();
                match previous.sa_sigaction {
                    libc::SIG_DFL | libc::SIG_IGN => {
                        // The fault comes again when this handler returns, and then ends the process as it would have.
                        libc::sigaction(signal, &previous, ptr::null_mut());
                    }
                    handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                            std::mem::transmute(handler);
                        handler(signal, info, context);
                    }
                    handler => {
                        let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                        handler(signal);
                    }
                }
            }
        }

        /// Gives this thread a stack for signal handlers, if it has none: without it an overflow of the stack cannot be handled.
        pub(in super::super::super) fn ensure_stack() {
            thread_local! {
                static ENSURED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
            }
            if ENSURED.replace(true) {
                return;
            }
            // SAFETY: the stack is never freed, so that it is there for as long as the thread.
            unsafe {
                let mut stack: libc::stack_t = std::mem::zeroed();
                libc::sigaltstack(ptr::null(), &mut stack);
                if stack.ss_flags & libc::SS_DISABLE != 0 {
                    let size = libc::SIGSTKSZ.max(64 * 1024);
                    stack.ss_sp = Box::leak(vec![0u8; size].into_boxed_slice()).as_mut_ptr().cast();
                    stack.ss_size = size;
                    stack.ss_flags = 0;
                    libc::sigaltstack(&stack, ptr::null_mut());
                }
            }
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod platform {
    use super::{Frame, Outcome};

    /// Calls `function` with five arguments, unguarded.
    ///
    /// # Safety
    ///
    /// `function` is a C function of at most five parameters, all integers or pointers.
    pub(in super::super) unsafe extern "C" fn call(
        _: *const Frame,
        function: usize,
        a0: u64,
        a1: u64,
        a2: u64,
        a3: u64,
        a4: u64,
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

    pub(in super::super) mod signals {
        pub(in super::super::super) fn install() {}
        pub(in super::super::super) fn ensure_stack() {}
    }
}

pub(super) use platform::{call, escape, signals};

/// A fault of the processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    /// The signal.
    pub(super) signal: i32,
    /// The instruction, relative to the image's base.
    pub(super) instruction: usize,
    /// The address that could not be accessed.
    pub(super) address: usize,
}

impl Crash {
    /// The crash in words.
    pub(super) fn describe(&self) -> String {
        let name = match self.signal {
            libc::SIGSEGV => "SIGSEGV",
            libc::SIGBUS => "SIGBUS",
            libc::SIGFPE => "SIGFPE",
            libc::SIGILL => "SIGILL",
            _ => "a signal",
        };
        format!("{name} at instruction {:#x} of the plugin's image, address {:#x}", self.instruction, self.address)
    }
}
