//! The stack of a thread: where it ends, and whether enough of it is left to call the host.
//!
//! A plugin that recurses without end meets the end of the stack anywhere, also in the middle of the host's code or of a library, where
//! the fault cannot be contained. So what the loader answers is refused a while before.

use std::cell::Cell;
use std::mem::MaybeUninit;

/// What a hostcall needs at most. The host's own code runs in it.
const RESERVE: usize = 64 * 1024;

thread_local! {
    // Constant and without destructors, so that a signal handler may read them.
    static LOWEST: Cell<usize> = const { Cell::new(0) };
    static KEPT: Cell<usize> = const { Cell::new(0) };
}

/// Finds the end of this thread's stack, for the functions below.
pub(super) fn find() {
    if LOWEST.get() == 0
        && let Some((lowest, size)) = ask()
    {
        LOWEST.set(lowest);
        // Of a small stack a part that leaves the plugin most.
        KEPT.set(RESERVE.min(size / 4));
    }
}

/// The lowest address of this thread's stack, and how much of it is kept for the host; 0: not known.
pub(super) fn end() -> (usize, usize) {
    (LOWEST.get(), KEPT.get())
}

/// Whether an address is above the end of this thread's stack, as far as that is known.
pub(super) fn is_above_guard(address: usize) -> bool {
    address >= LOWEST.get()
}

fn ask() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: initialised by the first call, and used only if that succeeded.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &mut lowest, &mut size) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        found.then_some((lowest as usize, size))
    }
}

/// About where this function's caller stands on the stack.
#[inline(always)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn pointer() -> usize {
    let here: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    here
}

/// About where this function's caller stands on the stack.
#[inline(always)]
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn pointer() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here) as usize
}
