//! Threads that a plugin starts: counted, so that its image and heap stay until the last one has ended.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::current_instance;
use super::mapping::Mapping;

type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type StartC11 = unsafe extern "C" fn(*mut c_void) -> c_int;

enum Function {
    Posix(Start),
    C11(StartC11),
}

/// What a new thread runs.
struct Thread {
    function: Function,
    argument: *mut c_void,
    mapping: Arc<Mapping>,
}

/// `int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn create(
    id: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { spawn(id, attributes, Function::Posix(start), argument) }
}

/// `int thrd_create(thrd_t *, thrd_start_t, void *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn create_c11(id: *mut libc::pthread_t, start: StartC11, argument: *mut c_void) -> c_int {
    // Of threads.h, in glibc.
    const THRD_SUCCESS: c_int = 0;
    const THRD_ERROR: c_int = 2;
    const THRD_NOMEM: c_int = 3;
    // SAFETY: the caller's promise.
    match unsafe { spawn(id, std::ptr::null(), Function::C11(start), argument) } {
        0 => THRD_SUCCESS,
        libc::ENOMEM => THRD_NOMEM,
        _ => THRD_ERROR,
    }
}

/// # Safety
///
/// As `pthread_create`.
unsafe fn spawn(
    id: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    let Some(mapping) = current_mapping() else { return libc::EAGAIN };
    if let Some(heap) = mapping.heap() {
        // SAFETY: only the VM's thread, which this is, has used the heap until now, or it is shared already.
        unsafe { heap.share() };
    }
    let thread = Box::into_raw(Box::new(Thread { function, argument, mapping }));
    // SAFETY: the caller's promise; `run` takes the box.
    let error = unsafe { libc::pthread_create(id, attributes, run, thread.cast()) };
    if error != 0 {
        // SAFETY: no thread took it.
        drop(unsafe { Box::from_raw(thread) });
    }
    error
}

/// The mapping whose code runs on this thread: the VM's, or that of the plugin's own thread.
fn current_mapping() -> Option<Arc<Mapping>> {
    // SAFETY: an instance lives for as long as it is current on this thread.
    match unsafe { current_instance::get().as_ref() } {
        Some(instance) => Some(instance.mapping.clone()),
        None => hold::held(),
    }
}

extern "C" fn run(thread: *mut c_void) -> *mut c_void {
    // SAFETY: from `spawn`.
    let Thread { function, argument, mapping } = *unsafe { Box::from_raw(thread.cast::<Thread>()) };
    hold::until_thread_exit(mapping);
    // Nothing here is left to drop, should the thread be ended inside.
    match function {
        // SAFETY: the promise of who started the thread.
        Function::Posix(start) => unsafe { start(argument) },
        // SAFETY: as above.
        Function::C11(start) => (unsafe { start(argument) }) as usize as *mut c_void,
    }
}

/// A thread's hold on the mapping that it runs.
mod hold {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::sync::{Arc, OnceLock};

    use super::Mapping;

    /// Released in the last round of destructors of the thread's keys, after the plugin's.
    struct Hold {
        mapping: Arc<Mapping>,
        rounds: Cell<u32>,
    }

    /// `PTHREAD_DESTRUCTOR_ITERATIONS` of glibc and musl.
    const ROUNDS: u32 = 4;

    fn key() -> Option<libc::pthread_key_t> {
        static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
        *KEY.get_or_init(|| {
            let mut key = 0;
            // SAFETY: the place is valid, and the function takes what is stored under the key.
            (unsafe { libc::pthread_key_create(&mut key, Some(release)) } == 0).then_some(key)
        })
    }

    pub(super) fn until_thread_exit(mapping: Arc<Mapping>) {
        let hold = Box::into_raw(Box::new(Hold { mapping, rounds: Cell::new(1) }));
        if let Some(key) = key() {
            // SAFETY: a key of the loader. Without room for the value the mapping is kept for good.
            unsafe { libc::pthread_setspecific(key, hold.cast()) };
        }
    }

    pub(super) fn held() -> Option<Arc<Mapping>> {
        // SAFETY: the value is null or a hold of this thread, which is alive.
        unsafe { libc::pthread_getspecific(key()?).cast::<Hold>().as_ref() }.map(|hold| hold.mapping.clone())
    }

    unsafe extern "C" fn release(hold: *mut c_void) {
        // SAFETY: from `until_thread_exit`, of this thread.
        let rounds = unsafe { &(*hold.cast::<Hold>()).rounds };
        if rounds.get() < ROUNDS
            && let Some(key) = key()
        {
            rounds.set(rounds.get() + 1);
            // SAFETY: as above. A value that is set in a destructor has the destructors run for another round.
            unsafe { libc::pthread_setspecific(key, hold) };
            return;
        }
        // SAFETY: nothing refers to it after the last round.
        drop(unsafe { Box::from_raw(hold.cast::<Hold>()) });
    }
}
