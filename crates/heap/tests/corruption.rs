//! Defects of plugins: each is reported, and the heap works on.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

use dynvm_heap::{Corrupt, Corruption, Error, Heap, Owner, free, owner, usable_size};

fn expect(result: Result<(), Error>, address: *mut u8, what: Corruption) {
    assert_eq!(result, Err(Error::Corrupt(Corrupt { what, address: address as usize })));
}

/// What follows in the plugin: blocks that do not overlap, and hold what is written.
fn works_on(heap: &Heap) {
    let count = if cfg!(miri) { 100 } else { 3000 };
    let blocks: Vec<_> = (0..count).map(|_| unsafe { heap.malloc(48).unwrap().as_ptr() }).collect();
    for (at, block) in blocks.iter().enumerate() {
        unsafe { block.cast::<[usize; 6]>().write([at; 6]) }
    }
    for (at, block) in blocks.iter().enumerate() {
        assert_eq!(unsafe { block.cast::<[usize; 6]>().read() }, [at; 6]);
        unsafe { heap.free(*block).unwrap() }
    }
}

#[test]
fn a_double_free() {
    let heap = Heap::new(None).unwrap();
    let [a, b] = [(); 2].map(|()| unsafe { heap.malloc(48).unwrap().as_ptr() });
    unsafe {
        heap.free(a).unwrap();
        expect(heap.free(a), a, Corruption::Freed);
        heap.free(b).unwrap();
        expect(heap.free(a), a, Corruption::Freed);
        assert!(matches!(heap.realloc(b, 100), Err(Error::Corrupt(Corrupt { what: Corruption::Freed, .. }))));
    }
    works_on(&heap);
}

#[test]
fn a_double_free_of_a_block_that_was_written_to() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let block = heap.malloc(48).unwrap().as_ptr();
        heap.free(block).unwrap();
        block.write_bytes(0x41, 48);
        expect(heap.free(block), block, Corruption::Freed);
    }
    works_on(&heap);
}

#[test]
fn a_double_free_of_a_large_block() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let block = heap.malloc(1 << 20).unwrap().as_ptr();
        heap.free(block).unwrap();
        expect(heap.free(block), block, Corruption::Unallocated);
    }
    works_on(&heap);
}

#[test]
fn an_address_inside_of_a_block() {
    let heap = Heap::new(None).unwrap();
    for size in [48, 4000, 9000, 1 << 20] {
        unsafe {
            let block = heap.malloc(size).unwrap().as_ptr();
            for offset in [16, 32, size / 2 / 16 * 16] {
                let inside = block.add(offset);
                let Err(Error::Corrupt(corrupt)) = heap.free(inside) else { panic!("{size} at {offset}") };
                assert!(matches!(corrupt.what, Corruption::Interior | Corruption::Unallocated));
                assert!(matches!(free(inside), Err(Error::Corrupt(_))));
                assert!(matches!(heap.realloc(inside, 10), Err(Error::Corrupt(_))));
            }
            heap.free(block).unwrap();
        }
    }
    works_on(&heap);
}

#[test]
fn an_address_that_is_not_aligned() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let block = heap.malloc(48).unwrap().as_ptr();
        expect(heap.free(block.add(3)), block.add(3), Corruption::Misaligned);
        expect(free(block.add(3)), block.add(3), Corruption::Misaligned);
    }
    works_on(&heap);
}

#[test]
fn addresses_where_nothing_was_allocated() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let block = heap.malloc(48).unwrap().as_ptr();
        expect(heap.free(block.add(48)), block.add(48), Corruption::Freed);
        // The end of the page, the unit behind it, the heap's far end, and the guard before its first unit.
        for offset in [4080, 16 << 10, 1 << 30, -(20 << 10)] {
            let address = block.wrapping_offset(offset);
            expect(heap.free(address), address, Corruption::Unallocated);
        }
    }
    works_on(&heap);
}

#[test]
fn an_overflow_into_a_free_block() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let [a, b] = [(); 2].map(|()| heap.malloc(48).unwrap().as_ptr());
        heap.free(b).unwrap();
        a.write_bytes(0x41, 96);
        let again = heap.malloc(48).unwrap().as_ptr();
        assert_eq!(again, b);
    }
    works_on(&heap);
}

#[test]
fn a_write_to_a_free_block() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let blocks = [(); 300].map(|()| heap.malloc(48).unwrap().as_ptr());
        for block in blocks {
            heap.free(block).unwrap();
            block.write_bytes(0x41, 48);
        }
    }
    works_on(&heap);
}

#[test]
fn a_write_to_a_block_that_another_thread_freed() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let [a, b] = [(); 2].map(|()| heap.malloc(48).unwrap().as_ptr());
        free(a).unwrap();
        free(b).unwrap();
        b.write_bytes(0x41, 48);
        let Err(Error::Corrupt(corrupt)) = heap.malloc(100) else { panic!("not noticed") };
        assert_eq!(corrupt.what, Corruption::Overwritten);
    }
    works_on(&heap);
}

#[test]
fn a_double_free_by_another_thread() {
    let heap = Heap::new(None).unwrap();
    unsafe {
        let block = heap.malloc(48).unwrap().as_ptr();
        free(block).unwrap();
        free(block).unwrap();
        let Err(Error::Corrupt(corrupt)) = heap.malloc(100) else { panic!("not noticed") };
        assert!(matches!(corrupt.what, Corruption::Freed | Corruption::Overwritten));
    }
    works_on(&heap);
}

#[test]
fn an_address_of_nobody() {
    let heap = Heap::new(None).unwrap();
    let mut stack = 0u128;
    unsafe {
        let libc = libc::malloc(48).cast::<u8>();
        for address in [libc, (&raw mut stack).cast(), std::ptr::null_mut(), usize::MAX as *mut u8, 16 as *mut u8] {
            assert_eq!(heap.free(address), Err(Error::NotOurs));
            assert_eq!(free(address), Err(Error::NotOurs));
            assert_eq!(usable_size(address), Err(Error::NotOurs));
            assert_eq!(owner(address), None);
        }
        assert_eq!(heap.realloc(libc, 100), Err(Error::NotOurs));
        libc::free(libc.cast());
    }
    works_on(&heap);
}

#[test]
fn a_block_of_another_heap_is_freed_there() {
    let [one, other] = [(); 2].map(|()| Heap::new(None).unwrap());
    unsafe {
        let block = one.malloc(48).unwrap().as_ptr();
        assert_eq!(owner(block), Some(Owner::Heap(one.id())));
        assert!(one.contains(block) && !other.contains(block));
        other.free(block).unwrap();
        one.trim().unwrap();
        assert_eq!(one.used(), 0);
        // A change of size moves it over.
        let block = one.malloc(48).unwrap().as_ptr();
        block.write_bytes(7, 48);
        let moved = other.realloc(block, 100).unwrap().as_ptr();
        assert_eq!(owner(moved), Some(Owner::Heap(other.id())));
        assert_eq!(moved.cast::<[u8; 48]>().read(), [7; 48]);
    }
    works_on(&one);
    works_on(&other);
}

#[test]
fn a_block_of_a_heap_that_has_ended() {
    let heap = Heap::new(None).unwrap();
    // So that no other test's heap takes its place.
    let leaked = Heap::new(Some(123 << 10)).unwrap();
    unsafe {
        let block = leaked.malloc(48).unwrap().as_ptr();
        drop(leaked);
        expect(heap.free(block), block, Corruption::Ended);
        expect(free(block), block, Corruption::Ended);
        assert_eq!(owner(block), Some(Owner::Nobody));
    }
    works_on(&heap);
}

/// Reaches past the last unit that is in use.
#[test]
fn what_lies_around_a_heap_cannot_be_accessed() {
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(48).unwrap().as_ptr() };
    let readable = |address: *mut u8| {
        let mut pipe = [0; 2];
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            let written = libc::write(pipe[1], address.cast(), 1);
            pipe.iter().for_each(|end| assert_eq!(libc::close(*end), 0));
            written == 1
        }
    };
    assert!(readable(block));
    assert!(!readable(block.wrapping_add(8 << 20)));
    assert!(!readable(block.wrapping_sub(64 << 10)));
}
