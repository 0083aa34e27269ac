//! Functions of the C library, under the names by which plugins were linked: those that act on behalf of a VM or on the whole program.

use std::ffi::{c_int, c_void};

use dynvm_abi::types::LogLevel;

use super::current;
use super::vm::Destructor;

/// Defines functions that the C library performs.
macro_rules! forward {
    ($($name:ident($($param:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        $(
            // SAFETY: the prefix is the loader's.
            #[unsafe(export_name = concat!("dynvm_libc_", stringify!($name)))]
            unsafe extern "C" fn $name($($param: $ty),*) $(-> $ret)? {
                unsafe extern "C" {
                    #[link_name = stringify!($name)]
                    fn of_the_c_library($($param: $ty),*) $(-> $ret)?;
                }
                // SAFETY: the caller's.
                unsafe { of_the_c_library($($param),*) }
            }
        )*
    };
}

forward! {
    malloc(size: usize) -> *mut c_void;
    calloc(count: usize, size: usize) -> *mut c_void;
    realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    free(memory: *mut c_void);
    posix_memalign(result: *mut *mut c_void, alignment: usize, size: usize) -> c_int;
    aligned_alloc(alignment: usize, size: usize) -> *mut c_void;
    memalign(alignment: usize, size: usize) -> *mut c_void;
    malloc_usable_size(memory: *mut c_void) -> usize;
}

/// Memory for a plugin that frees with `free`.
pub(super) fn allocate(size: usize) -> u64 {
    // SAFETY: any size is allowed.
    unsafe { malloc(size) as u64 }
}

// SAFETY: the prefix is the loader's; so below.
#[unsafe(export_name = "dynvm_libc___cxa_atexit")]
extern "C" fn at_exit(function: usize, object: usize, _library: usize) -> c_int {
    // Without a VM the statics outlive it, or the program ends: nobody would notice.
    current::with(|running| running.map(|running| running.at_exit(Destructor { function, object })));
    0
}

#[unsafe(export_name = "dynvm_libc_atexit")]
extern "C" fn at_exit_without_object(function: usize) -> c_int {
    at_exit(function, 0, 0)
}

#[unsafe(export_name = "dynvm_libc___cxa_thread_atexit_impl")]
extern "C" fn at_thread_exit(function: usize, object: usize, library: usize) -> c_int {
    current::with(|running| match running {
        Some(running) => {
            running.at_thread_exit(Destructor { function, object });
            0
        }
        None => at_exit_of_plugin_thread(function, object, library),
    })
}

#[unsafe(export_name = "dynvm_libc___cxa_thread_atexit")]
extern "C" fn at_thread_exit_of_cxx(function: usize, object: usize, library: usize) -> c_int {
    at_thread_exit(function, object, library)
}

#[cfg(target_env = "gnu")]
fn at_exit_of_plugin_thread(function: usize, object: usize, library: usize) -> c_int {
    unsafe extern "C" {
        fn __cxa_thread_atexit_impl(function: *mut c_void, object: *mut c_void, library: *mut c_void) -> c_int;
    }
    let [function, object, library] = [function, object, library].map(|address| address as *mut c_void);
    // SAFETY: the plugin's call.
    unsafe { __cxa_thread_atexit_impl(function, object, library) }
}

/// Other C libraries do not have the function: what the variables hold is lost.
#[cfg(not(target_env = "gnu"))]
fn at_exit_of_plugin_thread(_: usize, _: usize, _: usize) -> c_int {
    0
}

#[unsafe(export_name = "dynvm_libc_pthread_create")]
unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    function: *const c_void,
    argument: *mut c_void,
) -> c_int {
    unsafe extern "C" {
        #[link_name = "pthread_create"]
        fn of_the_c_library(_: *mut c_void, _: *const c_void, _: *const c_void, _: *mut c_void) -> c_int;
    }
    current::with(|running| running.map(|running| running.has_threads.set(true)));
    // SAFETY: the plugin's call.
    unsafe { of_the_c_library(thread, attributes, function, argument) }
}

/// Defines functions that end the program, since the plugin is part of it.
macro_rules! end {
    ($($name:ident($($param:ident: $ty:ty)?);)*) => {
        $(
            // SAFETY: the prefix is the loader's.
            #[unsafe(export_name = concat!("dynvm_libc_", stringify!($name)))]
            #[allow(non_snake_case, reason = "the C library's name")]
            extern "C" fn $name($($param: $ty)?) -> ! {
                unsafe extern "C" {
                    #[link_name = stringify!($name)]
                    fn of_the_c_library($(_: $ty)?) -> !;
                }
                current::with(|running| {
                    let message = concat!("the plugin calls ", stringify!($name), "; it is part of the program, which ends");
                    running.map(|running| running.state.log(LogLevel::Critical, message.as_bytes()))
                });
                // SAFETY: the plugin's call.
                unsafe { of_the_c_library($($param)?) }
            }
        )*
    };
}

end! {
    abort();
    exit(status: c_int);
    _exit(status: c_int);
    _Exit(status: c_int);
    quick_exit(status: c_int);
}

/// `__wasi_random_get(uint8_t *, unsigned long)`, which the C++ SDK's `getentropy` calls, also natively. Returns a WASI errno.
// SAFETY: the prefix is the loader's.
#[unsafe(export_name = "dynvm_libc__Z17__wasi_random_getPhm")]
unsafe extern "C" fn random_get(into: *mut u8, len: usize) -> u16 {
    const IO: u16 = 29;
    // SAFETY: the plugin's place.
    let into = unsafe { std::slice::from_raw_parts_mut(into, len) };
    let filled = current::with(|running| match running {
        Some(running) => {
            let state = &running.state;
            state.run_host("its source of random bytes", || state.services.random.fill(into)).unwrap_or(false)
        }
        None => getrandom::fill(into).is_ok(),
    });
    if filled { 0 } else { IO }
}
