//! What a plugin's undefined symbols bind to: the hostcalls, as C functions, and what takes the place of the C library's.
//!
//! Plugins are linked so that all their symbols must be found when they are opened, and they are found only in what the whole process
//! shares. So a small library that exports them (`build.rs`) is opened globally, once, and passes each call on through its table. A
//! program that embeds the loader needs no linker flags for that.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use dynvm_abi::host::HostTable;
use dynvm_abi::table::{HOSTCALLS, HostcallId, NATIVE_HOSTCALLS};
use dynvm_abi::types::Status;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use super::crash_cause::Cause;
use super::custom_hostcalls::{call_own, take};
use super::guest::NativeGuest;
use super::vm::Instance;
use super::{clock, current_instance, destructors, environment, heap, process_exit, random, stdio, thread_context};
use crate::error::FailureKind;
use crate::hostcalls::dispatch;
use crate::instance::InstanceState;

/// The library, as `build.rs` made it.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dynvm_imports.so"));

/// Opens the library and fills its table, once in the process.
///
/// # Errors
///
/// What the system said.
pub(super) fn bind(dir: &std::path::Path) -> Result<(), String> {
    static BOUND: Mutex<bool> = Mutex::new(false);
    let mut bound = BOUND.lock().unwrap_or_else(PoisonError::into_inner);
    // A failure is not kept: another loader may have another directory.
    if !*bound {
        open(dir)?;
        *bound = true;
    }
    Ok(())
}

fn open(dir: &std::path::Path) -> Result<(), String> {
    let failed = |what: &dyn std::fmt::Display| {
        format!(
            "the import library cannot be opened from {}: {what}; choose another directory (Options::image_dir)",
            dir.display()
        )
    };
    let mut file =
        tempfile::Builder::new().prefix("dynvm-imports-").suffix(".so").tempfile_in(dir).map_err(|e| failed(&e))?;
    std::io::Write::write_all(&mut file, LIBRARY).map_err(|e| failed(&e))?;
    let path = file.into_temp_path();
    // SAFETY: our own code; it has no constructors. The table is an array of as many pointers as are written, in the order of
    // build.rs, and nothing calls through it before a plugin is opened.
    unsafe {
        let library = Library::open(Some(&*path), RTLD_NOW | RTLD_GLOBAL).map_err(|e| failed(&e))?;
        let table = library.get::<*mut *const c_void>(b"dynvm_import_table").map_err(|e| failed(&e))?;
        let table = std::slice::from_raw_parts_mut(*table, FUNCTIONS.len());
        for (entry, function) in table.iter_mut().zip(FUNCTIONS) {
            *entry = function.0;
        }
        // Plugins refer to it for as long as the process lives.
        std::mem::forget(library);
    }
    Ok(())
}

/// The address of a function.
#[derive(Clone, Copy)]
struct Entry(*const c_void);

// SAFETY: addresses of functions, which any thread may call.
unsafe impl Sync for Entry {}

/// The embedder's functions take every argument in 64 bits.
macro_rules! foreign_type {
    ($param:ident) => {
        u64
    };
}

macro_rules! entry_points {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        $(
            extern "C" fn $name($($param: dynvm_abi::__native_type!($ty)),*) -> u32 {
                hostcall(
                    HostcallId::$name,
                    [$($param as u64),*],
                    |guest, state, [$($param),*]| dispatch::$name(guest, state, $($param),*),
                    |_arguments, _check| {
                        let mut _index = 0;
                        true $(&& {
                            _index += 1;
                            take::$ty(_arguments, _index - 1, _check)
                        })*
                    },
                    |function, [$($param),*]| {
                        type Function = unsafe extern "C" fn($(foreign_type!($param)),*) -> u64;
                        // SAFETY: the embedder's promise (`raw::Hostcalls::bind`): this is the function's type.
                        unsafe { std::mem::transmute::<*const c_void, Function>(function)($($param),*) }
                    },
                )
            }
        )*

        /// The hostcalls as plugins take them that bind none by name.
        pub(super) static HOST: HostTable = HostTable { $($name,)* ..HostTable::UNIMPLEMENTED };

        /// In the order of build.rs: the hostcalls, then what takes the place of the C library's functions.
        static FUNCTIONS: [Entry; HOSTCALLS.len() + NATIVE_HOSTCALLS.len() + 35 + 2 * SLOTS] = [
            $(Entry($name as *const c_void),)*
            Entry(thread_context::get as *const c_void),
            Entry(thread_context::set_limited as *const c_void),
            Entry(process_exit::abort as *const c_void),
            Entry(process_exit::exit as *const c_void),
            Entry(process_exit::exit as *const c_void),
            Entry(process_exit::exit as *const c_void),
            Entry(process_exit::assert_fail as *const c_void),
            Entry(process_exit::stack_chk_fail as *const c_void),
            Entry(destructors::at_thread_exit as *const c_void),
            Entry(destructors::at_thread_exit as *const c_void),
            Entry(destructors::at_exit as *const c_void),
            Entry(stdio::write as *const c_void),
            Entry(stdio::writev as *const c_void),
            Entry(clock::clock_gettime as *const c_void),
            Entry(clock::gettimeofday as *const c_void),
            Entry(clock::time as *const c_void),
            Entry(clock::system_clock_now as *const c_void),
            Entry(clock::steady_clock_now as *const c_void),
            Entry(random::getrandom as *const c_void),
            Entry(random::getentropy as *const c_void),
            Entry(random::syscall as *const c_void),
            Entry(random::look_up as *const c_void),
            Entry(environment::getenv as *const c_void),
            Entry(environment::getenv as *const c_void),
            Entry(heap::malloc as *const c_void),
            Entry(heap::free_any as *const c_void),
            Entry(heap::free as *const c_void),
            Entry(heap::calloc as *const c_void),
            Entry(heap::realloc_any as *const c_void),
            Entry(heap::realloc as *const c_void),
            Entry(heap::posix_memalign as *const c_void),
            Entry(heap::aligned_alloc as *const c_void),
            Entry(heap::aligned_alloc as *const c_void),
            Entry(heap::usable_size as *const c_void),
            Entry(heap::realpath as *const c_void),
            Entry(heap::getcwd as *const c_void),
            Entry(random::random_get as *const c_void),
            // The slots for hostcalls of the embedder's own: with few parameters, then with many.
            Entry(few::<0> as *const c_void),
            Entry(few::<1> as *const c_void),
            Entry(few::<2> as *const c_void),
            Entry(few::<3> as *const c_void),
            Entry(few::<4> as *const c_void),
            Entry(few::<5> as *const c_void),
            Entry(few::<6> as *const c_void),
            Entry(few::<7> as *const c_void),
            Entry(few::<8> as *const c_void),
            Entry(few::<9> as *const c_void),
            Entry(few::<10> as *const c_void),
            Entry(few::<11> as *const c_void),
            Entry(few::<12> as *const c_void),
            Entry(few::<13> as *const c_void),
            Entry(few::<14> as *const c_void),
            Entry(few::<15> as *const c_void),
            Entry(many::<0> as *const c_void),
            Entry(many::<1> as *const c_void),
            Entry(many::<2> as *const c_void),
            Entry(many::<3> as *const c_void),
            Entry(many::<4> as *const c_void),
            Entry(many::<5> as *const c_void),
            Entry(many::<6> as *const c_void),
            Entry(many::<7> as *const c_void),
            Entry(many::<8> as *const c_void),
            Entry(many::<9> as *const c_void),
            Entry(many::<10> as *const c_void),
            Entry(many::<11> as *const c_void),
            Entry(many::<12> as *const c_void),
            Entry(many::<13> as *const c_void),
            Entry(many::<14> as *const c_void),
            Entry(many::<15> as *const c_void),
        ];
    };
}

dynvm_abi::hostcalls!(entry_points);

/// The number of hostcalls of the embedder's own.
pub(super) const SLOTS: usize = 16;
/// The number of arguments in registers.
const FEW: usize = 6;

/// The symbol of a slot, as in build.rs.
pub(super) fn slot_symbol(slot: usize, parameters: usize) -> &'static str {
    const SYMBOLS: [[&str; SLOTS]; 2] = [
        [
            "dvoa", "dvob", "dvoc", "dvod", "dvoe", "dvof", "dvog", "dvoh", "dvoi", "dvoj", "dvok", "dvol", "dvom",
            "dvon", "dvoo", "dvop",
        ],
        [
            "dvna", "dvnb", "dvnc", "dvnd", "dvne", "dvnf", "dvng", "dvnh", "dvni", "dvnj", "dvnk", "dvnl", "dvnm",
            "dvnn", "dvno", "dvnp",
        ],
    ];
    SYMBOLS[usize::from(parameters > FEW)][slot]
}

/// The slot of a hostcall with few parameters: arguments that it does not have are registers of any value.
extern "C" fn few<const SLOT: usize>(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
    call_own(SLOT, &[a, b, c, d, e, f, 0, 0, 0, 0, 0, 0])
}

/// The slot of a hostcall with many parameters: those on the stack that it does not have are words of the caller's frame.
extern "C" fn many<const SLOT: usize>(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    g: u64,
    h: u64,
    i: u64,
    j: u64,
    k: u64,
    l: u64,
) -> u64 {
    call_own(SLOT, &[a, b, c, d, e, f, g, h, i, j, k, l])
}

/// What the plugin gets from a hostcall. If the VM failed in it, does not return to the plugin.
pub(super) fn returned(instance: &Instance, result: u64) -> u64 {
    if instance.state().has_failed() {
        leave(instance, Status::InternalFailure as u32);
    }
    result
}

/// Makes a hostcall for the running instance: of the loader's own, or of the embedder's. If the VM fails in it, does not return to the
/// plugin.
#[inline]
fn hostcall<const COUNT: usize>(
    id: HostcallId,
    arguments: [u64; COUNT],
    own: impl FnOnce(&mut NativeGuest<'_>, &InstanceState, [u64; COUNT]) -> Status,
    take: impl FnOnce(&mut [u64; COUNT], bool) -> bool,
    foreign: impl FnOnce(*const c_void, [u64; COUNT]) -> u64,
) -> u32 {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let Some(instance) = (unsafe { current_instance::get().as_ref() }) else {
        return thread_context::hostcall(id, |guest, state| own(guest, state, arguments)) as u32;
    };
    let state = instance.state();
    instance.in_host.set(true);
    let status = match &instance.foreign {
        // A panic of the host's must not unwind into the plugin.
        None => catch_unwind(AssertUnwindSafe(|| own(&mut NativeGuest::new(instance), state, arguments) as u32)),
        Some(table) => Ok(table.call(state, id, arguments, take, foreign)),
    };
    instance.in_host.set(false);
    match status {
        Ok(OK) => OK,
        Ok(status) if !state.has_failed() => status,
        Ok(status) => leave(instance, status),
        Err(_) => {
            state.fail_with(FailureKind::Host, format!("the host panicked in {}", id.describe().name));
            leave(instance, Status::InternalFailure as u32)
        }
    }
}

const OK: u32 = Status::Ok as u32;

/// Leaves the callback of a VM that failed inside a hostcall; where it is not guarded, the plugin is told instead.
#[cold]
fn leave(instance: &Instance, status: u32) -> u32 {
    if instance.frame.is_entered() {
        // SAFETY: the plugin called; between here and its guarded call are only its frames and that of its hostcall.
        unsafe { process_exit::leave(instance, Cause::Hostcall) }
    }
    status
}
