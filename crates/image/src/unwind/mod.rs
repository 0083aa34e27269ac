//! What unwinders and backtraces ask the system's loader, answered for images too.
//!
//! The system's loader does not know the images. So their imports of these functions, and those of the [private copies](crate::Runtimes) of
//! libgcc_s and libstdc++, are bound to the ones here, which know both.

mod headers;
pub(crate) mod table;

use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::link::Module;

pub(crate) use headers::{iterate_headers, iterate_headers_for_unwinder};

/// What is known of a mapped image beyond its addresses.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) base: usize,
    /// Where its thread-local variables are, or 0.
    pub(crate) thread_locals: usize,
    pub(crate) module: Arc<Module>,
}

/// `struct dl_find_object` of glibc on 64-bit machines.
#[repr(C)]
pub(crate) struct FoundObject {
    flags: u64,
    start: usize,
    end: usize,
    link_map: *const c_void,
    unwind_table: usize,
    reserved: [u64; 7],
}

type FindObject = unsafe extern "C" fn(*const c_void, *mut FoundObject) -> c_int;

/// The system's `_dl_find_object`; 0: it has none, as before glibc 2.35.
static SYSTEM_FIND_OBJECT: AtomicUsize = AtomicUsize::new(0);

/// Looks up what is called later where nothing may be looked up.
pub(crate) fn prepare() {
    // SAFETY: looks up a name.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    SYSTEM_FIND_OBJECT.store(function as usize, Ordering::Relaxed);
}

/// `_dl_find_object`: the object that has an address, with its unwinding information. Takes no lock for an image, and may be called in a
/// signal handler.
///
/// # Safety
///
/// As the system's: `found` can be written to.
pub(crate) unsafe extern "C" fn find_object(address: *const c_void, found: *mut FoundObject) -> c_int {
    match table::find(address as usize) {
        Some(image) if image.unwind_table != 0 => {
            let object = FoundObject {
                flags: 0,
                start: image.start,
                end: image.end,
                link_map: ptr::null(),
                unwind_table: image.unwind_table,
                reserved: [0; 7],
            };
            // SAFETY: the caller's promise.
            unsafe { found.write(object) };
            0
        }
        Some(_) => -1,
        // SAFETY: the caller's promise, passed on.
        None => unsafe { find_system_object(address, found) },
    }
}

unsafe fn find_system_object(address: *const c_void, found: *mut FoundObject) -> c_int {
    let function = SYSTEM_FIND_OBJECT.load(Ordering::Relaxed);
    // SAFETY: the function has this type wherever it exists. `found` is the caller's.
    unsafe {
        if function != 0 {
            return transmute::<usize, FindObject>(function)(address, found);
        }
        match headers::find_in_system(address as usize) {
            Some(object) => {
                found.write(object);
                0
            }
            None => -1,
        }
    }
}

/// `dladdr`: the object and the symbol that have an address.
///
/// # Safety
///
/// As the system's: `info` can be written to.
pub(crate) unsafe extern "C" fn describe_address(address: *const c_void, info: *mut libc::Dl_info) -> c_int {
    let Some(record) = table::find_record(address as usize) else {
        // SAFETY: the caller's promise.
        return unsafe { libc::dladdr(address, info) };
    };
    let symbol = record.module.facts.symbol_at((address as usize).wrapping_sub(record.base) as u64);
    let place = |at: u64| record.base.wrapping_add(at as usize);
    let described = libc::Dl_info {
        dli_fname: record.module.name.as_ptr(),
        dli_fbase: place(record.module.facts.span().start) as *mut c_void,
        dli_sname: symbol.map_or(ptr::null(), |symbol| place(u64::from(symbol.name_at)) as *const _),
        dli_saddr: symbol.map_or(ptr::null_mut(), |symbol| place(symbol.address()) as *mut c_void),
    };
    // SAFETY: the caller's promise.
    unsafe { info.write(described) };
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_function_of_the_system_its_list_gives_the_same() {
        prepare();
        let here = prepare as *const () as usize;
        let listed = headers::find_in_system(here).unwrap();
        assert!((listed.start..listed.end).contains(&here));
        assert!(headers::find_in_system(8).is_none());
        let function = SYSTEM_FIND_OBJECT.load(Ordering::Relaxed);
        if function != 0 {
            let mut found = std::mem::MaybeUninit::<FoundObject>::uninit();
            // SAFETY: the function's type is the system's.
            let found = unsafe {
                let result = transmute::<usize, FindObject>(function)(here as *const c_void, found.as_mut_ptr());
                assert_eq!(result, 0);
                found.assume_init()
            };
            assert_eq!(found.unwind_table, listed.unwind_table);
        }
    }

    #[test]
    fn an_unwinder_is_shown_the_objects_of_the_system_where_no_image_is() {
        unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
            // SAFETY: the system passes its information, and the test a pair of numbers.
            unsafe { (*data.cast::<[usize; 2]>())[1] += usize::from((*info).dlpi_phnum > 0) };
            0
        }
        let mut data = [prepare as *const () as usize, 0];
        // SAFETY: the callback counts.
        unsafe { iterate_headers_for_unwinder(visit, (&raw mut data).cast()) };
        assert!(data[1] > 1);
    }
}
