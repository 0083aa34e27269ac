//! The functions that compiled code calls to reach thread-local variables, on aarch64.

use super::Index;
use super::threads::address_in_thread;

/// The thread's register for this purpose.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, pure, preserves_flags));
    }
    pointer
}

/// `__tls_get_addr` of an image with one block: the module is the block, or a marked [`Control`](super::Control) of a library.
///
/// # Safety
///
/// The index is one of the image's.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn get_address(_: *const Index) -> usize {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "ldp x1, x2, [x0]",
        "tst x1, {is_control}",
        "b.ne 2f",
        "add x0, x1, x2",
        "ret",
        "2:",
        "b {slow}",
        ".cfi_endproc",
        is_control = const super::IS_CONTROL,
        slow = sym address_in_thread,
    )
}

/// `__tls_get_addr` of an image with a block for each thread: the module is a [`Control`](super::Control).
///
/// # Safety
///
/// The index is one of the image's.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn get_address_of_thread(_: *const Index) -> usize {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "ldp x1, x2, [x0]",
        "mrs x3, tpidr_el0",
        "ldr x4, [x1]",
        "cmp x3, x4",
        "b.ne 2f",
        "ldr x1, [x1, #8]",
        "add x0, x1, x2",
        "ret",
        "2:",
        "b {slow}",
        ".cfi_endproc",
        slow = sym address_in_thread,
    )
}

/// The function of a descriptor whose argument is the variable's address. It is passed the descriptor in x0, returns the distance to the
/// thread pointer there, and preserves all other registers.
///
/// # Safety
///
/// Called by compiled code alone.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn descriptor() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "str x1, [sp, #-16]!",
        ".cfi_adjust_cfa_offset 16",
        "ldr x0, [x0, #8]",
        "mrs x1, tpidr_el0",
        "sub x0, x0, x1",
        "ldr x1, [sp], #16",
        ".cfi_adjust_cfa_offset -16",
        "ret",
        ".cfi_endproc",
    )
}

/// The function of a descriptor whose argument is an [`Index`]. It preserves all registers but x0.
///
/// # Safety
///
/// Called by compiled code alone.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn descriptor_of_thread() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "stp x1, x2, [sp, #-32]!",
        ".cfi_adjust_cfa_offset 32",
        "stp x3, x4, [sp, #16]",
        "ldr x0, [x0, #8]",
        "ldr x1, [x0]",
        "mrs x2, tpidr_el0",
        "ldr x3, [x1]",
        "cmp x2, x3",
        "b.ne 2f",
        "ldr x3, [x0, #8]",
        "ldr x1, [x1, #8]",
        "add x0, x1, x3",
        "sub x0, x0, x2",
        "3:",
        "ldp x3, x4, [sp, #16]",
        ".cfi_remember_state",
        "ldp x1, x2, [sp], #32",
        ".cfi_adjust_cfa_offset -32",
        "ret",
        ".cfi_restore_state",
        "2:",
        // 16 general registers and 32 vector registers.
        "sub sp, sp, #640",
        ".cfi_adjust_cfa_offset 640",
        "stp x29, x30, [sp]",
        ".cfi_rel_offset x29, 0",
        ".cfi_rel_offset x30, 8",
        "stp x5, x6, [sp, #16]",
        "stp x7, x8, [sp, #32]",
        "stp x9, x10, [sp, #48]",
        "stp x11, x12, [sp, #64]",
        "stp x13, x14, [sp, #80]",
        "stp x15, x16, [sp, #96]",
        "stp x17, x18, [sp, #112]",
        "stp q0, q1, [sp, #128]",
        "stp q2, q3, [sp, #160]",
        "stp q4, q5, [sp, #192]",
        "stp q6, q7, [sp, #224]",
        "stp q8, q9, [sp, #256]",
        "stp q10, q11, [sp, #288]",
        "stp q12, q13, [sp, #320]",
        "stp q14, q15, [sp, #352]",
        "stp q16, q17, [sp, #384]",
        "stp q18, q19, [sp, #416]",
        "stp q20, q21, [sp, #448]",
        "stp q22, q23, [sp, #480]",
        "stp q24, q25, [sp, #512]",
        "stp q26, q27, [sp, #544]",
        "stp q28, q29, [sp, #576]",
        "stp q30, q31, [sp, #608]",
        "bl {slow}",
        "mrs x2, tpidr_el0",
        "sub x0, x0, x2",
        "ldp q0, q1, [sp, #128]",
        "ldp q2, q3, [sp, #160]",
        "ldp q4, q5, [sp, #192]",
        "ldp q6, q7, [sp, #224]",
        "ldp q8, q9, [sp, #256]",
        "ldp q10, q11, [sp, #288]",
        "ldp q12, q13, [sp, #320]",
        "ldp q14, q15, [sp, #352]",
        "ldp q16, q17, [sp, #384]",
        "ldp q18, q19, [sp, #416]",
        "ldp q20, q21, [sp, #448]",
        "ldp q22, q23, [sp, #480]",
        "ldp q24, q25, [sp, #512]",
        "ldp q26, q27, [sp, #544]",
        "ldp q28, q29, [sp, #576]",
        "ldp q30, q31, [sp, #608]",
        "ldp x5, x6, [sp, #16]",
        "ldp x7, x8, [sp, #32]",
        "ldp x9, x10, [sp, #48]",
        "ldp x11, x12, [sp, #64]",
        "ldp x13, x14, [sp, #80]",
        "ldp x15, x16, [sp, #96]",
        "ldp x17, x18, [sp, #112]",
        "ldp x29, x30, [sp]",
        "add sp, sp, #640",
        ".cfi_adjust_cfa_offset -640",
        ".cfi_restore x29",
        ".cfi_restore x30",
        "b 3b",
        ".cfi_endproc",
        slow = sym address_in_thread,
    )
}
