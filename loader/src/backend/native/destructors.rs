//! Destructors of thread-local and of static variables.
//!
//! The C library runs those of thread-local variables when the thread ends, and until then it keeps the image mapped; those of
//! statics when the image is closed, whatever state a crash left them in. Those of an image are kept by its VM instead, which
//! runs them when it ends: in its own thread, guarded, while hostcalls still find it. A failed VM runs none.

use std::ffi::c_void;

use super::current_instance;

/// A destructor and what it destroys.
#[derive(Clone, Copy)]
pub(super) struct Destructor {
    pub(super) function: usize,
    pub(super) arguments: [u64; 2],
}

/// What an image calls in place of `__cxa_thread_atexit_impl`.
///
/// # Safety
///
/// As the C library's: `function` may be called with `object` once.
pub(super) unsafe extern "C" fn at_thread_exit(function: *mut c_void, object: *mut c_void, dso: *mut c_void) -> i32 {
    // SAFETY: an instance lives for as long as it is current on this thread.
    match unsafe { current_instance::get().as_ref() } {
        Some(instance) => {
            instance
                .thread_destructors
                .borrow_mut()
                .push(Destructor { function: function as usize, arguments: [object as u64, 0] });
            0
        }
        // A thread of the plugin's own.
        // SAFETY: the caller's promise.
        #[cfg(target_env = "gnu")]
        None => unsafe { __cxa_thread_atexit_impl(function, object, dso) },
        // Other C libraries do not have the function: what the variables hold is lost.
        #[cfg(not(target_env = "gnu"))]
        None => {
            let _ = dso;
            0
        }
    }
}

/// What an image calls in place of `__cxa_atexit`.
///
/// # Safety
///
/// As the C library's: `function` may be called with `object` once.
pub(super) unsafe extern "C" fn at_exit(function: *mut c_void, object: *mut c_void, dso: *mut c_void) -> i32 {
    // SAFETY: an instance lives for as long as it is current on this thread.
    match unsafe { current_instance::get().as_ref() } {
        Some(instance) => {
            instance.at_exit(Destructor { function: function as usize, arguments: [object as u64, 0] });
            0
        }
        // SAFETY: the caller's promise.
        None => unsafe { __cxa_atexit(function, object, dso) },
    }
}

/// `int atexit(void (*)(void))`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn at_exit_plain(function: *mut c_void) -> i32 {
    // SAFETY: the caller's promise. A function without parameters ignores the argument.
    unsafe { at_exit(function, std::ptr::null_mut(), std::ptr::null_mut()) }
}

/// `int on_exit(void (*)(int, void *), void *)`
///
/// # Safety
///
/// As the C library's: `function` may be called with a status and `argument` once.
pub(super) unsafe extern "C" fn on_exit(function: *mut c_void, argument: *mut c_void) -> i32 {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let Some(instance) = (unsafe { current_instance::get().as_ref() }) else { return -1 };
    let destructor = Destructor { function: function as usize, arguments: [0, argument as u64] };
    instance.at_exit(destructor);
    0
}

/// `int __cxa_at_quick_exit(void (*)(void *), void *)`: a plugin's `quick_exit` ends its VM as a failure, and of a failed VM no handler runs.
pub(super) extern "C" fn at_quick_exit(_: *mut c_void, _: *mut c_void) -> i32 {
    0
}

unsafe extern "C" {
    #[cfg(target_env = "gnu")]
    fn __cxa_thread_atexit_impl(function: *mut c_void, object: *mut c_void, dso: *mut c_void) -> i32;
    fn __cxa_atexit(function: *mut c_void, object: *mut c_void, dso: *mut c_void) -> i32;
}
