//! A process that may have no more mappings gets an error, and works on.

#![allow(clippy::undocumented_unsafe_blocks, reason = "each maps or unmaps memory that nothing else refers to")]

use std::ptr;

use dynvm_heap::Heap;

#[test]
fn without_mappings_there_are_no_new_heaps() {
    drop(Heap::new(None).unwrap());
    // Pages of which every other one has another protection are mappings of their own.
    let page = 65_536;
    let len = 70_000 * page;
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let pages = libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(pages, libc::MAP_FAILED);
        let mut used_up = false;
        for at in (0..len).step_by(2 * page) {
            used_up |= libc::mprotect(pages.byte_add(at), page, libc::PROT_READ) != 0;
            if used_up {
                break;
            }
        }
        let heaps: Vec<_> = (0..100).map(|_| Heap::new(None)).collect();
        libc::munmap(pages, len);
        if used_up {
            assert!(heaps.iter().any(Result::is_err));
            // The range of the one that ended is used before that.
            assert!(heaps[0].is_ok());
        }
    }
    assert!(Heap::new(None).is_ok());
}
