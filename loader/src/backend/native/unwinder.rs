//! The unwinder that knows images: that of the private libgcc_s.

use std::sync::OnceLock;

use dynvm_image::{Frame, Unwinder};

use super::module::runtimes;
use crate::error::with_causes;

static UNWINDER: OnceLock<Unwinder> = OnceLock::new();

/// Maps the library if it is not yet. Nothing else here works before.
///
/// # Errors
///
/// The system has no libgcc_s.
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
    if let Some(unwinder) = UNWINDER.get() {
        unwinder.walk(visit);
    }
}

/// The beginning of the function that has an instruction; 0: it is in none that is known.
pub(super) fn function_of(instruction: usize) -> usize {
    UNWINDER.get().map_or(0, |unwinder| unwinder.function_of(instruction))
}
