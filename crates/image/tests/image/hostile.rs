//! Damaged and hostile files are refused, or linked and mapped without harm; none of their code runs.

use std::path::Path;

use dynvm_image::{Facts, Functions, Image, Import, Importer, Linker};

use crate::compile;

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A number that is likely to be on an edge, near what was there.
    fn near(&mut self, before: u64, len: u64) -> u64 {
        match self.below(12) {
            0 => 0,
            1 => 1,
            2 => u64::MAX - self.next() % 16,
            3 => 1 << self.below(64),
            4 => len.wrapping_sub(self.next() % 32),
            5 => before.wrapping_add(self.next() % 16).wrapping_sub(8),
            6 => before.wrapping_add(8),
            7 => before.wrapping_mul(2),
            8 => before ^ 1 << self.below(64),
            9 => self.next() % (len * 2),
            10 => (before & !0xfff) + 0xff8,
            _ => self.next(),
        }
    }
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().unwrap()))
}

/// The places in a file that decide where other things are.
fn interesting(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut places: Vec<(usize, usize)> = vec![(16, 2), (32, 8), (54, 2), (56, 2)];
    let headers = long(bytes, 32).unwrap() as usize;
    let mut dynamic = 0..0;
    let mut segments = Vec::new();
    for at in (0..usize::from(bytes[56])).map(|index| headers + index * 56) {
        places.extend([(at, 4), (at + 4, 4)]);
        places.extend([8, 16, 32, 40, 48].map(|field| (at + field, 8)));
        let field = |field| long(bytes, at + field).unwrap() as usize;
        match bytes[at] {
            1 if bytes[at + 3] == 0 => segments.push((field(16), field(8), field(32))),
            2 => dynamic = field(8)..field(8) + field(32),
            _ => {}
        }
    }
    let offset_of = |address: usize| {
        let segment = segments.iter().find(|(start, _, len)| (*start..start + len).contains(&address));
        segment.map(|(start, offset, _)| offset + address - start)
    };
    for at in dynamic.step_by(16) {
        let (tag, value) = (long(bytes, at).unwrap(), long(bytes, at + 8).unwrap() as usize);
        places.extend([(at, 8), (at + 8, 8), (at + 8, 8)]);
        // Tables: hashes, symbols, relocations, packed relocations, functions, versions.
        let is_table =
            matches!(tag, 4 | 6 | 7 | 23 | 25 | 26 | 36 | 0x6fff_fef5 | 0x6fff_fff0 | 0x6fff_fffc | 0x6fff_fffe);
        if let Some(table) = offset_of(value).filter(|_| is_table) {
            places.extend((table..table + 768).step_by(4).map(|at| (at, 4)));
            places.extend((table..table + 768).step_by(8).map(|at| (at, 8)));
        }
    }
    places.retain(|(at, size)| at + size <= bytes.len());
    places
}

fn mutate(seed: &[u8], places: &[(usize, usize)], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let (at, size) = places[random.below(places.len())];
        let mut before = [0; 8];
        before[..size].copy_from_slice(&bytes[at..at + size]);
        let value = random.near(u64::from_le_bytes(before), bytes.len() as u64);
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    if random.below(20) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// True for libraries that every process has open.
fn is_open(library: &str) -> bool {
    library.starts_with("libc.so") || library.starts_with("ld-linux")
}

/// Everything that can be done with a file without running it.
fn use_without_running(bytes: &[u8], path: &Path) -> bool {
    let _ = Facts::read_for_any_machine(bytes);
    Functions::read(bytes).find(0x1000);
    let Ok(facts) = Facts::read(bytes) else { return false };
    let _ = facts.needed_files(None);
    let Ok(needed) = facts.needed_files(Some(path)) else { return false };
    // Opening a library would run it.
    if needed.iter().any(|library| library.path.is_some() || !is_open(&library.name)) {
        return false;
    }
    let bind = |_: Importer<'_>, _: &Import| Some(0x1234);
    // SAFETY: nothing of the file runs, nor of a library that is not open already.
    let Ok(linked) = (unsafe { Linker::new(&bind).link(facts, bytes) }) else { return false };
    let Ok(image) = Image::map(&linked) else { return false };
    for export in linked.facts().exports() {
        image.symbol(export.name());
    }
    let _ = image.initialize(&mut |_, _| Ok::<u64, ()>(0x1234));
    let _ = image.finalize(&mut |_, _| Ok::<u64, ()>(0));
    image.retire();
    Image::map(&linked).is_ok()
}

fn survives(path: &Path, rounds: usize) {
    let seed = std::fs::read(path).unwrap();
    assert!(use_without_running(&seed, path), "the undamaged file works");
    let places = interesting(&seed);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut used = 0;
    for _ in 0..rounds {
        used += usize::from(use_without_running(&mutate(&seed, &places, &mut random), path));
    }
    assert!(used > rounds / 50 && used < rounds, "{used} of {rounds} were still usable");
}

const SOURCE: &str = "
    #include <stdlib.h>
    static int value = 1; int *pointers[20] = {&value, &value, &value};
    __thread int local = 2; __thread int *pointer = &value; __thread int zero[50];
    char large[200000];
    __attribute__((constructor)) static void first(void) { value = 2; }
    __attribute__((destructor)) static void last(void) { value = 3; }
    static void *choose(void) { return abs; }
    int chosen(int) __attribute__((ifunc(\"choose\")));
    __attribute__((weak)) int nowhere(void);
    int use(void) { return getenv(\"A\") != 0 && nowhere && chosen(*pointers[3]) + local + *pointer + zero[1] + large[7]; }
";

#[needs::cc]
#[test]
fn damaged_files_do_no_harm() {
    survives(&compile::c(SOURCE, &[]), 3000);
}

#[needs::cc]
#[test]
fn damaged_files_with_packed_relocations_do_no_harm() {
    survives(
        &compile::c(SOURCE, &["-Wl,-z,pack-relative-relocs", "-Wl,--hash-style=sysv", "-Wl,-soname,own.so"]),
        3000,
    );
}

#[needs::cc]
#[test]
fn damaged_files_with_own_threads_do_no_harm() {
    let source = format!("{SOURCE}\n#include <pthread.h>\nvoid *start(void) {{ return pthread_create; }}");
    let arguments: &[&str] = if cfg!(target_arch = "x86_64") { &["-mtls-dialect=gnu2"] } else { &[] };
    survives(&compile::c(&source, arguments), 3000);
}

#[needs::cc]
#[test]
fn every_truncation_is_refused_or_harmless() {
    let path = compile::c(SOURCE, &[]);
    let seed = std::fs::read(&path).unwrap();
    for len in (0..seed.len()).step_by(seed.len() / 997) {
        use_without_running(&seed[..len], &path);
    }
}
