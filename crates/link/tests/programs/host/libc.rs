//! The functions of the C library that plugins have from the loader.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vm::{self, Function};

/// Calls of the allocator by plugins.
pub static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Threads that plugins started.
pub static THREADS: AtomicUsize = AtomicUsize::new(0);
/// All other calls.
static OTHERS: AtomicUsize = AtomicUsize::new(0);

macro_rules! forward {
    ($($counter:ident $name:ident($($param:ident: $ty:ty),*) -> $ret:ty;)*) => {
        $(
            #[unsafe(export_name = concat!("dynvm_libc_", stringify!($name)))]
            unsafe extern "C" fn $name($($param: $ty),*) -> $ret {
                unsafe extern "C" {
                    #[link_name = stringify!($name)]
                    fn of_libc($($param: $ty),*) -> $ret;
                }
                $counter.fetch_add(1, Ordering::Relaxed);
                // SAFETY: the plugin's call.
                unsafe { of_libc($($param),*) }
            }
        )*
    };
}

forward! {
    ALLOCATIONS malloc(size: usize) -> *mut c_void;
    ALLOCATIONS calloc(count: usize, size: usize) -> *mut c_void;
    ALLOCATIONS realloc(old: *mut c_void, size: usize) -> *mut c_void;
    ALLOCATIONS free(old: *mut c_void) -> ();
    ALLOCATIONS posix_memalign(into: *mut *mut c_void, alignment: usize, size: usize) -> c_int;
    ALLOCATIONS aligned_alloc(alignment: usize, size: usize) -> *mut c_void;
    THREADS pthread_create(thread: *mut c_void, attributes: *const c_void, function: *const c_void, argument: *mut c_void) -> c_int;
    OTHERS write(file: c_int, bytes: *const c_void, size: usize) -> isize;
    OTHERS writev(file: c_int, vectors: *const c_void, count: c_int) -> isize;
    OTHERS clock_gettime(clock: c_int, into: *mut c_void) -> c_int;
    OTHERS getenv(name: *const c_void) -> *mut c_void;
    OTHERS getrandom(into: *mut c_void, size: usize, flags: u32) -> isize;
    OTHERS dlsym(library: *mut c_void, name: *const c_void) -> *mut c_void;
    OTHERS syscall(number: i64, a: i64, b: i64, c: i64, d: i64, e: i64, f: i64) -> i64;
    OTHERS pthread_key_create(key: *mut u32, destructor: *const c_void) -> c_int;
    OTHERS pthread_key_delete(key: u32) -> c_int;
    OTHERS pthread_getspecific(key: u32) -> *mut c_void;
    OTHERS pthread_setspecific(key: u32, value: *const c_void) -> c_int;
    OTHERS sigaltstack(stack: *const c_void, old: *mut c_void) -> c_int;
    OTHERS sigaction(signal: c_int, new: *const c_void, old: *mut c_void) -> c_int;
    OTHERS signal(signal: c_int, handler: usize) -> usize;
    OTHERS uselocale(locale: *mut c_void) -> *mut c_void;
}

/// Destructors are kept with the VM: the C library would run them when the thread or the program ends.
#[unsafe(no_mangle)]
extern "C" fn dynvm_libc___cxa_atexit(function: Function, object: usize, _: usize) -> c_int {
    vm::current().at_exit.borrow_mut().push((function, object));
    0
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc_atexit(function: Function) -> c_int {
    dynvm_libc___cxa_atexit(function, 0, 0)
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc___cxa_thread_atexit(function: Function, object: usize, _: usize) -> c_int {
    // Without a VM it is a thread of the plugin's, and a test program does not mind what it leaves.
    if let Some(state) = vm::try_current() {
        state.at_thread_exit.borrow_mut().push((function, object));
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc___cxa_thread_atexit_impl(function: Function, object: usize, _: usize) -> c_int {
    dynvm_libc___cxa_thread_atexit(function, object, 0)
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc__Z17__wasi_random_getPhm(_: *mut u8, _: usize) -> u16 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc_abort() -> ! {
    println!("a plugin aborts");
    std::process::exit(42)
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc_exit(_: c_int) -> ! {
    dynvm_libc_abort()
}

#[unsafe(no_mangle)]
extern "C" fn dynvm_libc__exit(_: c_int) -> ! {
    dynvm_libc_abort()
}
