//! The functions that compiled code calls to reach thread-local variables, on x86-64.

use super::Index;
use super::threads::address_in_thread;

/// What the segment register `fs` points to, which the thread's control block has as its first word.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: every thread has a control block.
    unsafe { std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, pure, readonly, preserves_flags)) }
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
        "mov rax, [rdi]",
        "test al, {is_control}",
        "jne {slow}",
        "add rax, [rdi + 8]",
        "ret",
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
        "mov rax, [rdi]",
        "mov rcx, fs:[0]",
        "cmp rcx, [rax]",
        "jne {slow}",
        "mov rax, [rax + 8]",
        "add rax, [rdi + 8]",
        "ret",
        ".cfi_endproc",
        slow = sym address_in_thread,
    )
}

/// The function of a descriptor whose argument is the variable's address. It is passed the descriptor in rax, returns the distance to the
/// thread pointer there, and preserves all other registers.
///
/// # Safety
///
/// Called by compiled code alone.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn descriptor() {
    core::arch::naked_asm!(".cfi_startproc", "mov rax, [rax + 8]", "sub rax, fs:[0]", "ret", ".cfi_endproc")
}

/// The function of a descriptor whose argument is an [`Index`]. It preserves all registers but rax.
///
/// # Safety
///
/// Called by compiled code alone.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn descriptor_of_thread() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rcx",
        ".cfi_adjust_cfa_offset 8",
        "push rdx",
        ".cfi_adjust_cfa_offset 8",
        "mov rax, [rax + 8]",
        "mov rcx, [rax]",
        "mov rdx, fs:[0]",
        "cmp rdx, [rcx]",
        "jne 2f",
        "mov rax, [rax + 8]",
        "add rax, [rcx + 8]",
        "sub rax, rdx",
        ".cfi_remember_state",
        "pop rdx",
        ".cfi_adjust_cfa_offset -8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_restore_state",
        "2:",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rdi",
        "push rsi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "mov rdi, rax",
        // Vector registers: SSE, AVX and AVX-512. Their areas end at 2688 bytes at most; the area's header has to be zero.
        "sub rsp, 2752",
        "and rsp, -64",
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "mov eax, 0xe6",
        "xor edx, edx",
        "xsave64 [rsp]",
        "call {slow}",
        "sub rax, fs:[0]",
        "mov rcx, rax",
        "mov eax, 0xe6",
        "xor edx, edx",
        "xrstor64 [rsp]",
        "mov rax, rcx",
        "lea rsp, [rbp - 48]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rsi",
        "pop rdi",
        "pop rbp",
        ".cfi_def_cfa rsp, 24",
        "pop rdx",
        ".cfi_adjust_cfa_offset -8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        slow = sym address_in_thread,
    )
}
