//! Which plugins have to stay on their threads.

use dynvm_image::{Facts, Pinned};

use super::bind;
use crate::pin::PinReason;

/// Functions of the C library whose effects are those of a thread, or that open libraries of which nothing is known.
///
/// Of others that act on threads, `uselocale` and those of thread-specific data are replaced.
const ACT_ON_THREADS: &[&str] =
    &["dlmopen", "dlopen", "makecontext", "pthread_cancel", "pthread_kill", "pthread_sigqueue", "swapcontext"];

/// Why VMs of a file have to stay on their threads.
pub(super) fn reasons(facts: &Facts) -> Vec<PinReason> {
    let image = facts.pinned().map(|pinned| match pinned {
        Pinned::Threads { function } => PinReason::Threads(function),
        _ => PinReason::StaticTls,
    });
    let functions = ACT_ON_THREADS.iter().filter(|function| facts.does_import(function));
    let libraries = facts.needed().iter().filter(|library| !bind::is_of_the_system(library));
    let functions = functions.map(|function| PinReason::Function((*function).to_owned()));
    image.into_iter().chain(functions).chain(libraries.map(|library| PinReason::Library(library.clone()))).collect()
}
