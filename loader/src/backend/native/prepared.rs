//! Calls of an image's functions in the fewest instructions, for embedders that bring their own hostcalls.
//!
//! What does not change between calls is looked up once. A call marks the VM as running, for the watchdog and for this thread, and is
//! guarded, like a [`NativeImage::call`](crate::image::NativeImage::call) that is not nested in another. Everything else is left to a slow
//! path: nested calls, failed or terminated VMs, forked children.

use std::ffi::c_void;

use super::vm::Instance;

/// A function of an image, prepared for calls.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Prepared {
    call: PreparedCall,
    slow: PreparedCall,
    instance: *const Instance,
    function: usize,
    owner: *mut c_void,
}

/// A prepared call: five arguments, of which the function may take fewer, and what was prepared.
pub type PreparedCall = unsafe extern "C" fn(u64, u64, u64, u64, u64, *const Prepared) -> Returned;

/// The outcome of a prepared call.
#[repr(C)]
pub struct Returned {
    /// The result's register; only the bits of the function's type are defined.
    pub value: u64,
    /// 0 if the function returned, [`CRASHED`](Returned::CRASHED), or the slow path's code.
    pub code: u32,
}

impl Returned {
    /// The function crashed, and with it the VM failed.
    pub const CRASHED: u32 = 7;
}

impl Prepared {
    /// `slow` gets the `owner` from what was prepared.
    pub(super) fn new(instance: &Instance, function: usize, slow: PreparedCall, owner: *mut c_void) -> Prepared {
        // Only what the watchdog knows can be marked, and a linked plugin's thread-local variables have to be put in place.
        let is_slow = instance.slot.is_null() || instance.mapping.image().is_linked();
        let call = if is_slow { slow } else { platform::call(instance.is_guarded()).unwrap_or(slow) };
        Prepared { call, slow, instance, function, owner }
    }

    /// What its maker passed for the slow path.
    pub fn owner(&self) -> *mut c_void {
        self.owner
    }

    /// The function's address.
    pub fn function(&self) -> usize {
        self.function
    }

    /// Calls the function.
    ///
    /// # Safety
    ///
    /// The image is not dropped yet, and this is the thread that opened it. The function takes at most five integers or pointers.
    #[inline]
    pub unsafe fn call(&self, a: u64, b: u64, c: u64, d: u64, e: u64) -> Returned {
        // SAFETY: the caller's promise.
        unsafe { (self.call)(a, b, c, d, e, self) }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::mem::offset_of;

    use super::super::current_instance::{self, current_instance};
    use super::super::exception;
    use super::super::guard::{Frame, PREPARED};
    use super::{Instance, Prepared, PreparedCall, Returned};
    use crate::fork;
    use crate::instance::budget::WatchdogEntry;

    pub(super) fn call(guarded: bool) -> Option<PreparedCall> {
        Some(if guarded { guarded_call } else { unguarded_call })
    }

    /// What precedes a call: rax is the instance, r11 the function then. On the slow path the registers of the arguments are as they were.
    macro_rules! enter {
        () => {
            concat!(
                "mov rax, [r9 + {instance}]\n",
                "mov r10, [rax + {slot}]\n",
                // Nothing happened to the VM, and this is its process.
                "cmp dword ptr [r10 + {attention}], 0\n",
                "jne 2f\n",
                "mov r11d, [rip + {generation}]\n",
                "cmp r11d, [r10 + {of_vm}]\n",
                "jne 2f\n",
                // No plugin runs on this thread.
                current_instance!("r11"),
                "\ncmp qword ptr fs:[r11], 0\n",
                "jne 2f\n",
                "mov fs:[r11], rax\n",
                "mov r11, [r9 + {function}]\n",
                "mov [r10 + {running}], r11\n",
                "inc qword ptr [r10 + {serial}]"
            )
        };
    }

    /// What follows a call; rcx is the instance.
    macro_rules! leave {
        () => {
            concat!(
                "mov r10, [rcx + {slot}]\n",
                "inc qword ptr [r10 + {serial}]\n",
                current_instance!("r11"),
                "\nmov qword ptr fs:[r11], 0"
            )
        };
    }

    /// A guarded call, which lays out its frame as [`guard::call`](super::super::guard::call) does.
    #[unsafe(naked)]
    unsafe extern "C" fn guarded_call(_: u64, _: u64, _: u64, _: u64, _: u64, _: *const Prepared) -> Returned {
        core::arch::naked_asm!(
            ".cfi_startproc",
            // DW_EH_PE_pcrel | DW_EH_PE_sdata4
            ".cfi_personality 0x1b, {personality}",
            enter!(),
            "push rbp",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "push rbx",
            ".cfi_adjust_cfa_offset 48",
            "add rax, {frame}",
            "push {prepared}",
            "push rax",
            "push r11",
            ".cfi_adjust_cfa_offset 24",
            "mov [rax], rsp",
            "call r11",
            "mov rcx, [rsp + 8]",
            "mov qword ptr [rcx], 0",
            "cmp qword ptr [rcx + {forked}], 0",
            "jne 3f",
            "sub rcx, {frame}",
            leave!(),
            "xor edx, edx",
            "add rsp, 72",
            ".cfi_adjust_cfa_offset -72",
            "ret",
            "2:",
            "jmp [r9 + {slow}]",
            ".cfi_adjust_cfa_offset 72",
            "3:",
            "call {forked_returned}",
            "ud2",
            ".cfi_endproc",
            personality = sym exception::personality,
            prepared = const PREPARED,
            frame = const offset_of!(Instance, frame),
            forked = const Frame::FORKED_AT,
            forked_returned = sym forked_returned,
            instance = const offset_of!(Prepared, instance),
            function = const offset_of!(Prepared, function),
            slow = const offset_of!(Prepared, slow),
            slot = const offset_of!(Instance, slot),
            generation = sym fork::GENERATION,
            of_vm = const WatchdogEntry::GENERATION_AT,
            attention = const WatchdogEntry::ATTENTION_AT,
            running = const WatchdogEntry::FUNCTION_AT,
            serial = const WatchdogEntry::SERIAL_AT,
        )
    }

    /// A call that a crash ends with the process.
    #[unsafe(naked)]
    unsafe extern "C" fn unguarded_call(_: u64, _: u64, _: u64, _: u64, _: u64, _: *const Prepared) -> Returned {
        core::arch::naked_asm!(
            ".cfi_startproc",
            enter!(),
            "push rax",
            ".cfi_adjust_cfa_offset 8",
            "call r11",
            "pop rcx",
            ".cfi_adjust_cfa_offset -8",
            leave!(),
            "xor edx, edx",
            "ret",
            "2:",
            "jmp [r9 + {slow}]",
            ".cfi_endproc",
            instance = const offset_of!(Prepared, instance),
            function = const offset_of!(Prepared, function),
            slow = const offset_of!(Prepared, slow),
            slot = const offset_of!(Instance, slot),
            generation = sym fork::GENERATION,
            of_vm = const WatchdogEntry::GENERATION_AT,
            attention = const WatchdogEntry::ATTENTION_AT,
            running = const WatchdogEntry::FUNCTION_AT,
            serial = const WatchdogEntry::SERIAL_AT,
        )
    }

    extern "C" fn forked_returned() -> ! {
        super::super::child_process::has_returned()
    }

    /// Where a prepared call goes on that was escaped from: returns from it as crashed.
    ///
    /// # Safety
    ///
    /// `frame` is that of an instance whose prepared call, on this thread, was escaped from.
    pub(in super::super) unsafe extern "C" fn crashed(frame: *const Frame) -> Returned {
        // SAFETY: the frame is part of an instance, which outlives its calls.
        let instance = unsafe { &*frame.byte_sub(offset_of!(Instance, frame)).cast::<Instance>() };
        instance.prepared_call_crashed();
        current_instance::clear();
        Returned { value: 0, code: Returned::CRASHED }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod platform {
    use super::PreparedCall;

    pub(super) fn call(_: bool) -> Option<PreparedCall> {
        None
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) use platform::crashed;
