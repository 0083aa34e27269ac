//! Which plugins have to stay on their threads.

use dynvm_image::{Facts, Pinned};

use super::bind;
use super::libc_functions::Effect;
use crate::pin::PinReason;

/// Why VMs of a file have to stay on their threads: they may move if all that they call is known to keep nothing for a thread.
pub(super) fn reasons(facts: &Facts) -> Vec<PinReason> {
    let image = facts.pinned().map(|pinned| match pinned {
        Pinned::Threads { function } => PinReason::Threads(function),
        _ => PinReason::StaticTls,
    });
    let functions = bind::functions_with(facts, Effect::OnThread);
    let functions = functions.map(|function| PinReason::Function(function.to_owned()));
    let libraries = bind::own_libraries(facts).map(|library| PinReason::Library(library.to_owned()));
    image.into_iter().chain(functions).chain(libraries).collect()
}
