//! Where in memory the program is, or the shared object, that a plugin is linked into, for backtraces.

use std::ffi::{c_int, c_void};

/// What the addresses in memory of the program, or the shared object, that has an address differ by from those in its file.
pub(crate) fn base_of_program(address: usize) -> usize {
    struct Search {
        address: usize,
        base: usize,
    }
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the system passes a loaded object with its program headers, and what it was given.
        let (info, search, headers) = unsafe {
            let headers = std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum));
            (&*info, &mut *search.cast::<Search>(), headers)
        };
        let base = info.dlpi_addr as usize;
        let is_in = |header: &libc::Elf64_Phdr| {
            let start = base + header.p_vaddr as usize;
            header.p_type == libc::PT_LOAD && (start..start + header.p_memsz as usize).contains(&search.address)
        };
        let found = headers.iter().any(is_in);
        if found {
            search.base = base;
        }
        c_int::from(found)
    }
    let mut search = Search { address, base: 0 };
    // SAFETY: the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.base
}
