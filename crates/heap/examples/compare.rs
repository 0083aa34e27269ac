//! Times of allocators side by side: `cargo run --release -p dynvm-heap --example compare [dynvm|mimalloc|libc]`.
//!
//! A row is the least and the median of its rounds, in nanoseconds. With a name, one allocator alone, and the memory it keeps.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

use std::ffi::c_void;
use std::hint::black_box;
use std::time::Instant;

use dynvm_heap::Heap;
use libmimalloc_sys as mi;

/// A heap of one of the allocators.
trait Allocator: Sized {
    const NAME: &'static str;
    fn new() -> Self;
    fn malloc(&self, size: usize) -> *mut u8;
    fn calloc(&self, size: usize) -> *mut u8;
    fn realloc(&self, block: *mut u8, size: usize) -> *mut u8;
    fn free(&self, block: *mut u8);
    fn end(self);
}

impl Allocator for Heap {
    const NAME: &'static str = "dynvm";
    fn new() -> Heap {
        Heap::new(None).unwrap()
    }
    #[inline(never)]
    fn malloc(&self, size: usize) -> *mut u8 {
        unsafe { self.malloc(size).unwrap().as_ptr() }
    }
    fn calloc(&self, size: usize) -> *mut u8 {
        unsafe { self.calloc(size, 1).unwrap().as_ptr() }
    }
    #[inline(never)]
    fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        unsafe { self.realloc(block, size).unwrap().as_ptr() }
    }
    #[inline(never)]
    fn free(&self, block: *mut u8) {
        unsafe { self.free(block).unwrap() }
    }
    fn end(self) {}
}

struct Mimalloc(*mut mi::mi_heap_t);

impl Allocator for Mimalloc {
    const NAME: &'static str = "mimalloc";
    fn new() -> Mimalloc {
        unsafe { Mimalloc(mi::mi_heap_new()) }
    }
    fn malloc(&self, size: usize) -> *mut u8 {
        unsafe { mi::mi_heap_malloc(self.0, size).cast() }
    }
    fn calloc(&self, size: usize) -> *mut u8 {
        unsafe { mi::mi_heap_calloc(self.0, size, 1).cast() }
    }
    fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        unsafe { mi::mi_heap_realloc(self.0, block.cast(), size).cast() }
    }
    fn free(&self, block: *mut u8) {
        unsafe { mi::mi_free(block.cast::<c_void>()) }
    }
    fn end(self) {
        unsafe { mi::mi_heap_destroy(self.0) }
    }
}

/// The process's.
struct Libc;

impl Allocator for Libc {
    const NAME: &'static str = "libc";
    fn new() -> Libc {
        Libc
    }
    fn malloc(&self, size: usize) -> *mut u8 {
        unsafe { libc::malloc(size).cast() }
    }
    fn calloc(&self, size: usize) -> *mut u8 {
        unsafe { libc::calloc(size, 1).cast() }
    }
    fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        unsafe { libc::realloc(block.cast(), size).cast() }
    }
    fn free(&self, block: *mut u8) {
        unsafe { libc::free(block.cast()) }
    }
    fn end(self) {}
}

/// Prints the least and the median time of a round of `count` operations.
fn time(what: &str, rounds: usize, count: usize, mut round: impl FnMut()) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / count as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("  {what:32} {:10.1} {:10.1}", times[0], times[rounds / 2]);
}

/// Kibibytes of anonymous memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn run<A: Allocator>() {
    println!("{}: least, median ns", A::NAME);
    time("new, 1 malloc, end", 300, 10, || {
        for _ in 0..10 {
            let heap = A::new();
            let block = heap.malloc(48);
            unsafe { black_box(block).write(1) };
            if A::NAME == "libc" {
                heap.free(block);
            }
            heap.end();
        }
    });
    time("new, 300 mallocs of 16 to 512 B, end", 300, 1, || {
        let heap = A::new();
        let blocks: Vec<_> = (0..300).map(|at| heap.malloc(16 << (at % 6))).collect();
        blocks.iter().for_each(|block| unsafe { black_box(*block).write(1) });
        if A::NAME == "libc" {
            blocks.iter().for_each(|block| heap.free(*block));
        }
        heap.end();
    });
    let heap = A::new();
    time("48 B, malloc and free", 200, 10_000, || {
        for _ in 0..10_000 {
            heap.free(black_box(heap.malloc(black_box(48))));
        }
    });
    let mut alive = [std::ptr::null_mut(); 200];
    time("200 alive, malloc and free", 200, 20_000, || {
        for _ in 0..100 {
            for (at, block) in alive.iter_mut().enumerate() {
                *block = heap.malloc(black_box(16 + at % 8 * 24));
            }
            alive.iter().for_each(|block| heap.free(*block));
        }
    });
    let grow = |step: &dyn Fn(usize) -> usize, from: usize, to: usize| {
        let (mut size, mut block) = (from, heap.malloc(from));
        while size < to {
            size = step(size);
            block = heap.realloc(block, size);
            unsafe { block.add(size - 1).write(1) };
        }
        heap.free(block);
    };
    time("doubling to 64 KiB", 300, 10, || (0..10).for_each(|_| grow(&|size| 2 * size, 8, 64 << 10)));
    time("4 KiB appends to 1 MiB", 100, 1, || grow(&|size| size + 4096, 4096, 1 << 20));
    time("doubling to 16 MiB", 50, 1, || grow(&|size| 2 * size, 8, 16 << 20));
    time("calloc of 1 MiB", 100, 1, || heap.free(heap.calloc(1 << 20)));
    let requests = |count: usize| {
        let mut state = 1u64;
        let mut live: Vec<*mut u8> = vec![std::ptr::null_mut(); 1000];
        for _ in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (at, size) = ((state >> 33) as usize % live.len(), (state >> 43) as usize);
            let size = match size % 64 {
                0 => size % 65_536,
                1..8 => size % 4096,
                _ => size % 256,
            };
            if !live[at].is_null() {
                heap.free(live[at]);
            }
            live[at] = heap.malloc(size);
            unsafe { live[at].write(1) };
        }
        live.into_iter().filter(|block| !block.is_null()).for_each(|block| heap.free(block));
    };
    time("1e6 random requests, each", 20, 50_000, || requests(50_000));
    heap.end();
}

/// 64 MiB of blocks of each of six sizes, one after the other.
fn phases<A: Allocator>() {
    let heap = A::new();
    let before = resident();
    let mut blocks = Vec::with_capacity((64 << 20) / 32);
    let mut peak = 0;
    for size in [32, 80, 320, 3000, 20_000, 100_000] {
        for _ in 0..(64 << 20) / size {
            let block = heap.malloc(size);
            unsafe { block.write_bytes(1, size) };
            blocks.push(block);
        }
        peak = peak.max(resident() - before);
        blocks.drain(..).for_each(|block| heap.free(block));
    }
    drop(blocks);
    println!("{}: phases of 64 MiB: at most {} KiB, {} KiB when all was freed", A::NAME, peak, resident() - before);
    heap.end();
}

fn main() {
    let name = std::env::args().nth(1);
    match name.as_deref() {
        Some("dynvm") => both::<Heap>(),
        Some("mimalloc") => both::<Mimalloc>(),
        Some("libc") => both::<Libc>(),
        _ => {
            run::<Heap>();
            run::<Mimalloc>();
            run::<Libc>();
        }
    }
}

fn both<A: Allocator>() {
    phases::<A>();
    run::<A>();
}
