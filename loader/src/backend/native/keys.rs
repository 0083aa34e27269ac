//! Thread-specific data of a plugin. A VM runs on one thread at a time, so its values are the VM's, and go where it goes.
//!
//! Keys are the C library's, which keeps the values of threads that the plugin starts. They end with the VM, so that no thread calls a
//! destructor in an unmapped image.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::current_instance;
use super::vm::Instance;

type Destructor = unsafe extern "C" fn(*mut c_void);

/// A key that the plugin made and has not deleted.
#[derive(Clone, Copy)]
pub(super) struct Key {
    key: libc::pthread_key_t,
    destructor: Option<Destructor>,
    value: *mut c_void,
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
        let key = unsafe { place.read() };
        instance.keys.borrow_mut().push(Key { key, destructor, value: ptr::null_mut() });
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

/// Calls a function with a key of the VM that runs on this thread. `None`: it has no such key, or none runs.
fn with<R>(key: libc::pthread_key_t, f: impl FnOnce(&mut Key) -> R) -> Option<R> {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let instance = unsafe { current_instance::get().as_ref() }?;
    instance.keys.borrow_mut().iter_mut().find(|known| known.key == key).map(f)
}

/// `void *pthread_getspecific(pthread_key_t)`, `void *tss_get(tss_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn get(key: libc::pthread_key_t) -> *mut c_void {
    // SAFETY: the caller's promise.
    with(key, |key| key.value).unwrap_or_else(|| unsafe { libc::pthread_getspecific(key) })
}

/// `int pthread_setspecific(pthread_key_t, const void *)`, and `int tss_set(tss_t, void *)`, of which 0 is the success too.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn set(key: libc::pthread_key_t, value: *mut c_void) -> c_int {
    match with(key, |key| key.value = value) {
        Some(()) => 0,
        // SAFETY: the caller's promise.
        None => unsafe { libc::pthread_setspecific(key, value) },
    }
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

/// Deletes the keys of a VM. Returns the destructors to call for its values.
pub(super) fn end(instance: &Instance) -> Vec<(usize, u64)> {
    let keys = instance.keys.take();
    let destructors = keys.into_iter().filter_map(|Key { key, destructor, value }| {
        // SAFETY: a live key of this VM, which nobody uses any more.
        unsafe { libc::pthread_key_delete(key) };
        (!value.is_null()).then_some((destructor? as usize, value as u64))
    });
    destructors.collect()
}
