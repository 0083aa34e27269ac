//! Functions that run when an image is opened and closed: constructors and destructors of statics, C's `constructor` functions.
//!
//! The system's loader would call them with its lock held, and a crash would leave it locked. The dynamic section of an edited image
//! names none; they run here instead, as callbacks do: guarded, with their VM current. Of a failed VM none run at the end.

use std::ffi::{c_char, c_void};

use super::elf::{Facts, Hooks};

/// Takes the functions out of the dynamic section. Nothing is changed, and false returned, if it has something odd.
pub(super) fn take_over(bytes: &mut [u8], elf: &Facts) -> bool {
    // An entry for the operating system's use, which the system's loader does not know and passes over.
    const UNUSED_TAG: u64 = 0x6000_1000;
    let hooks = &elf.hooks;
    let mapped = |range: &std::ops::Range<u64>| {
        range.is_empty()
            || (elf.span.start <= range.start && range.end <= elf.span.end && range.start.is_multiple_of(8))
    };
    let entries = hooks.function_entries.iter().chain(&hooks.size_entries);
    if !mapped(&hooks.init_array)
        || !mapped(&hooks.fini_array)
        || hooks.init.iter().chain(&hooks.fini).any(|address| !elf.span.contains(address))
        || entries.clone().any(|at| at.checked_add(16).is_none_or(|end| end > bytes.len()))
    {
        return false;
    }
    for at in &hooks.function_entries {
        bytes[*at..*at + 8].copy_from_slice(&UNUSED_TAG.to_le_bytes());
    }
    for at in &hooks.size_entries {
        bytes[*at + 8..*at + 16].fill(0);
    }
    true
}

/// Addresses of the functions to be called, in order. The image is open at `base`, so its arrays are relocated.
pub(super) fn at_open(hooks: &Hooks, base: usize) -> Vec<usize> {
    let first = hooks.init.map(|address| base + address as usize);
    // SAFETY: the array lies in a segment of the open image, as was checked when it was edited.
    first.into_iter().chain(unsafe { array(&hooks.init_array, base) }).collect()
}

/// The same for the end.
pub(super) fn at_close(hooks: &Hooks, base: usize) -> Vec<usize> {
    // SAFETY: as above.
    let array = unsafe { array(&hooks.fini_array, base) };
    array.into_iter().rev().chain(hooks.fini.map(|address| base + address as usize)).collect()
}

/// The functions of an array.
///
/// # Safety
///
/// The array is mapped.
unsafe fn array(range: &std::ops::Range<u64>, base: usize) -> Vec<usize> {
    let count = (range.end - range.start) as usize / size_of::<usize>();
    let start = (base + range.start as usize) as *const usize;
    // SAFETY: the caller's promise.
    let entries = (0..count).map(|index| unsafe { start.add(index).read_unaligned() });
    // 0 and -1 mark what was never filled in.
    entries.filter(|function| *function != 0 && *function != usize::MAX).collect()
}

/// What they are passed: no arguments, and the environment of the process.
pub(super) fn arguments() -> [u64; 5] {
    struct Null([*const c_void; 1]);
    // SAFETY: null pointers, which nobody changes.
    unsafe impl Sync for Null {}
    static NO_ARGUMENTS: Null = Null([std::ptr::null()]);
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: only its value is read.
    let environment = unsafe { (&raw const environ).read() };
    [0, NO_ARGUMENTS.0.as_ptr() as u64, environment as u64, 0, 0]
}
