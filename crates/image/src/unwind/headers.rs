//! `dl_iterate_phdr` over the system's objects and images.

use std::ffi::{CStr, CString, c_int, c_void};
use std::sync::Arc;

use libc::{Elf64_Phdr, dl_phdr_info};
use object::elf;

use super::{FoundObject, Record, table};

type Callback = unsafe extern "C" fn(*mut dl_phdr_info, usize, *mut c_void) -> c_int;

/// The size of the part of the information before the counts of loaded objects. Unwinders that see the counts keep a cache, which is for the
/// system's objects alone.
const SIZE_WITHOUT_COUNTS: usize = std::mem::offset_of!(dl_phdr_info, dlpi_adds);

/// A system's object, copied: the system's loader holds its lock while it lists them, and code of an image must not run meanwhile.
struct Listed {
    info: dl_phdr_info,
    size: usize,
    name: CString,
    headers: Vec<Elf64_Phdr>,
}

/// `dl_iterate_phdr`: the system's objects first, since callers take the first for the program.
///
/// # Safety
///
/// As the system's: `callback` may be called with `data`.
pub(crate) unsafe extern "C" fn iterate_headers(callback: Callback, data: *mut c_void) -> c_int {
    let mut listed: Vec<Listed> = Vec::new();
    // SAFETY: the callback gets the list back, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(copy), (&raw mut listed).cast()) };
    for object in &mut listed {
        object.info.dlpi_name = object.name.as_ptr();
        object.info.dlpi_phdr = object.headers.as_ptr();
        // SAFETY: the caller's promise.
        let result = unsafe { callback(&mut object.info, object.size, data) };
        if result != 0 {
            return result;
        }
    }
    // Kept alive until all were shown.
    let records: Vec<Arc<Record>> = table::records();
    for record in &records {
        // SAFETY: the caller's promise.
        let result = unsafe { callback(&mut describe(record), SIZE_WITHOUT_COUNTS, data) };
        if result != 0 {
            return result;
        }
    }
    0
}

unsafe extern "C" fn copy(info: *mut dl_phdr_info, size: usize, listed: *mut c_void) -> c_int {
    // SAFETY: the system passes its information, with a name and headers, and what it was given.
    unsafe {
        let mut own: dl_phdr_info = std::mem::zeroed();
        let size = size.min(size_of::<dl_phdr_info>());
        (&raw mut own).cast::<u8>().copy_from_nonoverlapping(info.cast(), size);
        let name = if own.dlpi_name.is_null() { CString::default() } else { CStr::from_ptr(own.dlpi_name).to_owned() };
        let headers = std::slice::from_raw_parts(own.dlpi_phdr, usize::from(own.dlpi_phnum)).to_vec();
        (*listed.cast::<Vec<Listed>>()).push(Listed { info: own, size, name, headers });
    }
    0
}

fn describe(record: &Record) -> dl_phdr_info {
    // SAFETY: numbers and pointers.
    let mut info: dl_phdr_info = unsafe { std::mem::zeroed() };
    info.dlpi_addr = record.base as u64;
    info.dlpi_name = record.module.name.as_ptr();
    info.dlpi_phdr = record.module.facts.headers.as_ptr();
    info.dlpi_phnum = record.module.facts.headers.len() as u16;
    info.dlpi_tls_data = record.thread_locals as *mut c_void;
    info
}

/// `dl_iterate_phdr` for an unwinder that searches the object of one address, which is the first word of its data (libgcc before 2.35 of
/// glibc): shows it the image that has the address, or the system's objects. Takes no lock for an image.
///
/// # Safety
///
/// `callback` and `data` are libgcc's.
pub(crate) unsafe extern "C" fn iterate_headers_for_unwinder(callback: Callback, data: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let address = unsafe { data.cast::<usize>().read() };
    match table::find(address) {
        Some(image) => {
            // SAFETY: the address is of a frame on this thread's stack, so its image is mapped, and with it the record lives.
            let record = unsafe { &*(image.record as *const Record) };
            // SAFETY: the caller's promise.
            unsafe { callback(&mut describe(record), SIZE_WITHOUT_COUNTS, data) }
        }
        // SAFETY: the caller's promise.
        None => unsafe { libc::dl_iterate_phdr(Some(callback), data) },
    }
}

/// What `_dl_find_object` says, where the system has none.
pub(super) fn find_in_system(address: usize) -> Option<FoundObject> {
    struct Search {
        address: usize,
        found: Option<FoundObject>,
    }

    unsafe extern "C" fn visit(info: *mut dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the system passes its information and what it was given.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: as above.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let place = |header: &Elf64_Phdr| info.dlpi_addr.wrapping_add(header.p_vaddr) as usize;
        let mut loaded = headers.iter().filter(|header| header.p_type == elf::PT_LOAD);
        let own = |header: &&Elf64_Phdr| search.address.wrapping_sub(place(header)) < header.p_memsz as usize;
        let Some(segment) = loaded.find(own) else { return 0 };
        let table = headers.iter().find(|header| header.p_type == elf::PT_GNU_EH_FRAME);
        search.found = table.map(|table| FoundObject {
            flags: 0,
            start: place(segment),
            end: place(segment) + segment.p_memsz as usize,
            link_map: std::ptr::null(),
            unwind_table: place(table),
            reserved: [0; 7],
        });
        1
    }

    let mut search = Search { address, found: None };
    // SAFETY: the callback gets the search back, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}
