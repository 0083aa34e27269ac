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
        self.address() != 0
    }

    /// Where on the stack the innermost guarded call stands.
    pub(super) fn address(&self) -> usize {
        self.stack_pointer.get()
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
            // DW_EH_PE_pcrel | DW_EH_PE_sdata4
            ".cfi_personality 0x1b, {personality}",
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
            personality = sym super::super::exception::personality,
        )
    }

    /// Where an escaped call goes on, with the stack pointer that its frame noted: returns from it as crashed.
    #[unsafe(naked)]
    pub(in super::super) unsafe extern "C" fn resume() {
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
}

pub(super) use platform::{call, escape};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) use platform::resume;
