//! The addresses that heaps take, and a process that may have few. It is this program, started again.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use dynvm_heap::{Error, Heap};

/// The addresses of this process, in GiB.
fn addresses() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")).unwrap();
    size.parse::<usize>().unwrap() >> 20
}

/// An emulator that keeps a record of each page takes minutes for terabytes.
#[test]
fn a_few_heaps_reserve_little() {
    let before = addresses();
    let few = [None, Some(1 << 20)].map(|limit| Heap::new(limit).unwrap());
    assert!(addresses() - before < 64, "{} GiB", addresses() - before);
    let more: Vec<_> = (0..20).map(|_| Heap::new(None).unwrap()).collect();
    assert!(addresses() - before < 512, "{} GiB", addresses() - before);
    drop((few, more));
}

const LIMITED: &str = "DYNVM_HEAP_TEST_LIMITED";

#[test]
fn heaps_are_smaller_where_addresses_are_few() {
    if std::env::var_os(LIMITED).is_some() {
        return with_few_addresses();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.arg("heaps_are_smaller_where_addresses_are_few").env(LIMITED, "1");
    let limit = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
    // SAFETY: a system call alone.
    unsafe {
        again.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &raw const limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn with_few_addresses() {
    let heaps = [None, Some(1 << 20), None, Some(2 << 20), None].map(|limit| Heap::new(limit).unwrap());
    for heap in &heaps[..1] {
        let block = unsafe { heap.malloc(40 << 20).unwrap().as_ptr() };
        unsafe { block.write_bytes(1, 40 << 20) }
        assert_eq!(unsafe { heap.malloc(40 << 20) }, Err(Error::NoMemory));
    }
    // Most addresses are left to the program.
    let others = Vec::<u8>::with_capacity(1 << 30);
    assert_eq!(others.capacity(), 1 << 30);
    // When all are used, that is an error, and ranges of heaps that end are used again.
    let mut more: Vec<_> = (0..1000).map_while(|_| Heap::new(None).ok()).collect();
    assert!(more.len() < 100);
    for _ in 0..20 {
        more.pop();
        more.push(Heap::new(None).unwrap());
    }
}
