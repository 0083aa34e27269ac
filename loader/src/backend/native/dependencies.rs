//! Libraries that images need, opened before the first image that needs them.
//!
//! A library that is loaded along with an image looks for its own symbols there first: a C++ library would bind to functions that the plugin
//! has copies of, for as long as the process lives, and the image could never be unmapped.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// Opens libraries by their names and leaves them open. One that is not found so is left to be found, or missed, with the image, which may
/// name folders of its own.
pub(super) fn open(libraries: &[String]) {
    static OPENED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    for library in libraries {
        if opened.contains(library) {
            continue;
        }
        // SAFETY: its constructors would run with the image's as well.
        if let Ok(handle) = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_LOCAL) } {
            std::mem::forget(handle);
        }
        opened.insert(library.clone());
    }
}
