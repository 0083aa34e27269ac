//! Images as gdb sees them: a list of libraries beside the one of the system's loader.
//!
//! gdb reads the system's list of libraries, and behind it those of other namespaces. The images are one more namespace.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// `struct link_map` as far as debuggers read it.
#[derive(Debug)]
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: usize,
    next: *mut LinkMap,
    previous: *mut LinkMap,
}

/// `struct r_debug_extended` of glibc 2.35.
#[repr(C)]
struct Namespace {
    version: c_int,
    first: *mut LinkMap,
    changed: Option<extern "C" fn()>,
    state: c_int,
    loader: usize,
    next: *mut Namespace,
}

/// The images' namespace.
struct Images(*mut Namespace);

// SAFETY: it is changed by who holds the lock.
unsafe impl Send for Images {}

static IMAGES: Mutex<Option<Images>> = Mutex::new(None);

/// An image in the list. Taken out when dropped.
#[derive(Debug)]
pub(crate) struct Entry(*mut LinkMap);

// SAFETY: it is changed by who holds the lock.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

const CONSISTENT: c_int = 0;
const ADDING: c_int = 1;
const REMOVING: c_int = 2;

impl Entry {
    /// Adds an image. `None`: the system's loader has no list that could be extended, or the image has no file. `name` lives as long as the
    /// entry.
    pub(crate) fn new(base: usize, dynamic: usize, name: &CStr) -> Option<Entry> {
        if name.is_empty() {
            return None;
        }
        let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        if images.is_none() {
            *images = namespace();
        }
        let namespace = images.as_ref()?.0;
        // SAFETY: the namespace lives for ever, and its list is changed under the lock.
        unsafe {
            announce(namespace, ADDING);
            let next = (*namespace).first;
            let previous = ptr::null_mut();
            let map = Box::into_raw(Box::new(LinkMap { base, name: name.as_ptr(), dynamic, next, previous }));
            if !next.is_null() {
                (*next).previous = map;
            }
            (*namespace).first = map;
            announce(namespace, CONSISTENT);
            Some(Entry(map))
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Images(namespace)) = &*images else { return };
        // SAFETY: as when it was added; after this nobody refers to the entry.
        unsafe {
            announce(*namespace, REMOVING);
            let LinkMap { next, previous, .. } = *self.0;
            if previous.is_null() {
                (**namespace).first = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            announce(*namespace, CONSISTENT);
            drop(Box::from_raw(self.0));
        }
    }
}

/// Tells a debugger, which stops at the function, what is about to happen.
///
/// # Safety
///
/// The caller holds the lock.
unsafe fn announce(namespace: *mut Namespace, state: c_int) {
    // SAFETY: the caller's promise.
    unsafe {
        (*namespace).state = state;
        if let Some(changed) = (*namespace).changed {
            changed();
        }
    }
}

/// Appends a namespace to the system's.
fn namespace() -> Option<Images> {
    // SAFETY: looks up names.
    let (list, extended) = unsafe {
        let list = libc::dlsym(libc::RTLD_DEFAULT, c"_r_debug".as_ptr()).cast::<Namespace>();
        // Since the same version of glibc as the extended list.
        (list, libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()))
    };
    if list.is_null() || extended.is_null() {
        return None;
    }
    // SAFETY: the list is the system's loader's, which appends to it when a program calls dlmopen, and never removes.
    unsafe {
        let own = Box::into_raw(Box::new(Namespace {
            version: 2,
            first: ptr::null_mut(),
            changed: (*list).changed,
            state: CONSISTENT,
            loader: (*list).loader,
            next: ptr::null_mut(),
        }));
        let mut last = list;
        while !(*last).next.is_null() {
            last = (*last).next;
        }
        (*last).next = own;
        (*list).version = (*list).version.max(2);
        Some(Images(own))
    }
}
