//! Thread-specific data of a plugin: its keys end with its VM, so that no thread calls a destructor in an unmapped image.

use std::ffi::{c_int, c_void};

use super::current_instance;
use super::vm::Instance;

type Destructor = unsafe extern "C" fn(*mut c_void);

/// A key that the plugin made and has not deleted.
#[derive(Clone, Copy)]
pub(super) struct Key {
    key: libc::pthread_key_t,
    destructor: Option<Destructor>,
}

/// `int pthread_key_create(pthread_key_t *, void (*)(void *))`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn create(place: *mut libc::pthread_key_t, destructor: Option<Destructor>) -> c_int {
    // SAFETY: the caller's promise.
    let error = unsafe { libc::pthread_key_create(place, destructor) };
    if error == 0
        // SAFETY: an instance lives for as long as it is current on this thread.
        && let Some(instance) = unsafe { current_instance::get().as_ref() }
        // The key is in a static, and as long-lived.
        && !instance.mapping.image().shares_statics()
    {
        // SAFETY: the key was written.
        instance.keys.borrow_mut().push(Key { key: unsafe { place.read() }, destructor });
    }
    error
}

/// `int pthread_key_delete(pthread_key_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn delete(key: libc::pthread_key_t) -> c_int {
    // SAFETY: an instance lives for as long as it is current on this thread.
    if let Some(instance) = unsafe { current_instance::get().as_ref() } {
        instance.keys.borrow_mut().retain(|known| known.key != key);
    }
    // SAFETY: the caller's promise.
    unsafe { libc::pthread_key_delete(key) }
}

/// `int tss_create(tss_t *, tss_dtor_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn create_c11(place: *mut libc::pthread_key_t, destructor: Option<Destructor>) -> c_int {
    // `thrd_error` of threads.h, in glibc.
    const ERROR: c_int = 2;
    // SAFETY: the caller's promise; glibc's tss_t is pthread_key_t.
    if unsafe { create(place, destructor) } == 0 { 0 } else { ERROR }
}

/// `void tss_delete(tss_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn delete_c11(key: libc::pthread_key_t) {
    // SAFETY: the caller's promise.
    unsafe { delete(key) };
}

/// Deletes the keys of a VM. Returns the destructors to call for the values of this thread.
pub(super) fn end(instance: &Instance) -> Vec<(usize, u64)> {
    let keys = instance.keys.take();
    let destructors = keys.into_iter().filter_map(|Key { key, destructor }| {
        // SAFETY: a live key of this VM, which nobody uses any more.
        let value = unsafe {
            let value = libc::pthread_getspecific(key);
            libc::pthread_key_delete(key);
            value
        };
        (!value.is_null()).then_some((destructor? as usize, value as u64))
    });
    destructors.collect()
}
