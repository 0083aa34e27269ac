//! The unwinder: that of the program, and once images are mapped that of the private libgcc_s, which knows images too.

#[cfg(feature = "native")]
use std::sync::OnceLock;

#[cfg(feature = "native")]
use {super::module::runtimes, crate::error::with_causes, dynvm_image::Unwinder};

/// A frame on the stack.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// The instruction behind its call, or that was interrupted.
    pub(super) address: usize,
    /// A signal interrupted it.
    pub(super) is_interrupted: bool,
    /// Where the frame stood when it called.
    pub(super) frame: usize,
    /// What its function does when an exception passes; 0: nothing.
    pub(super) language_data: usize,
}

#[cfg(feature = "native")]
static UNWINDER: OnceLock<Unwinder> = OnceLock::new();

/// Maps the library if it is not yet. Frames of images are not known before.
///
/// # Errors
///
/// The system has no libgcc_s.
#[cfg(feature = "native")]
pub(super) fn prepare() -> Result<(), String> {
    if UNWINDER.get().is_none() {
        let unwinder = runtimes().unwinder().map_err(|error| with_causes(&error))?;
        let _ = UNWINDER.set(unwinder);
    }
    Ok(())
}

/// Visits the frames of this thread, innermost first, until `visit` returns false. Allocates nothing and takes no lock, so that a signal
/// handler may call it; on a damaged stack it may fault.
pub(super) fn walk(visit: &mut dyn FnMut(Frame) -> bool) {
    #[cfg(feature = "native")]
    if let Some(unwinder) = UNWINDER.get() {
        return unwinder.walk(&mut |dynvm_image::Frame { address, is_interrupted, frame, language_data, .. }| {
            visit(Frame { address, is_interrupted, frame, language_data })
        });
    }
    of_program::walk(visit);
}

/// The beginning of the function that has an instruction; 0: it is in none that is known.
pub(super) fn function_of(instruction: usize) -> usize {
    #[cfg(feature = "native")]
    if let Some(unwinder) = UNWINDER.get() {
        return unwinder.function_of(instruction);
    }
    of_program::function_of(instruction)
}

/// The program's own, which Rust's standard library uses too.
mod of_program {
    use std::ffi::{c_int, c_void};

    use super::Frame;

    type Visit<'a> = &'a mut dyn FnMut(Frame) -> bool;

    unsafe extern "C" {
        fn _Unwind_Backtrace(
            visit: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
            data: *mut c_void,
        ) -> c_int;
        fn _Unwind_GetIPInfo(context: *mut c_void, before_instruction: *mut c_int) -> usize;
        fn _Unwind_GetCFA(context: *mut c_void) -> usize;
        fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> *mut c_void;
        fn _Unwind_FindEnclosingFunction(instruction: *mut c_void) -> *mut c_void;
    }

    pub(super) fn walk(mut visit: Visit<'_>) {
        unsafe extern "C" fn trace(context: *mut c_void, data: *mut c_void) -> c_int {
            const NO_REASON: c_int = 0;
            const END_OF_STACK: c_int = 5;
            let mut is_interrupted = 0;
            // SAFETY: the unwinder's context, and what `walk` passed.
            unsafe {
                let frame = Frame {
                    address: _Unwind_GetIPInfo(context, &mut is_interrupted),
                    is_interrupted: is_interrupted != 0,
                    frame: _Unwind_GetCFA(context),
                    language_data: _Unwind_GetLanguageSpecificData(context) as usize,
                };
                if (*data.cast::<Visit<'_>>())(frame) { NO_REASON } else { END_OF_STACK }
            }
        }
        // SAFETY: the visitor outlives the call, and does not unwind.
        unsafe { _Unwind_Backtrace(trace, (&raw mut visit).cast()) };
    }

    pub(super) fn function_of(instruction: usize) -> usize {
        // SAFETY: any address may be asked for.
        unsafe { _Unwind_FindEnclosingFunction(instruction as *mut c_void) as usize }
    }
}
