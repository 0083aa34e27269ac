//! Damage to ELF files where it decides something: headers, dynamic entries, and the tables that these name. The fuzz target `image` uses it too.

/// Numbers that are the same in each run.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
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
            9 => self.next() % (len * 2).max(1),
            10 => (before & !0xfff) + 0xff8,
            _ => self.next(),
        }
    }
}

/// A number in an entry: where, its bytes, and the values that have a meaning, if these are few.
type Field = (usize, usize, &'static [u64]);

const ANY: &[u64] = &[];
const SEGMENTS: &[u64] = &[0, 1, 2, 3, 4, 6, 7, 0x6474_e550, 0x6474_e551, 0x6474_e552, 0x6474_e553];
const RIGHTS: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 7];
#[rustfmt::skip]
const TAGS: &[u64] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 35, 36, 37,
    0x6fff_fef5, 0x6fff_fff0, 0x6fff_fff9, 0x6fff_fffb, 0x6fff_fffc, 0x6fff_fffd, 0x6fff_fffe, 0x6fff_ffff, 0x7fff_fffd, 0x7fff_ffff,
];
/// Of x86-64 and aarch64: direct, by symbol, relative, thread-local (`TLSDESC` among them), and indirect.
const RELOCATIONS: &[u64] =
    &[0, 1, 5, 6, 7, 8, 16, 17, 18, 36, 37, 257, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031, 1032];
/// Binding and type of a symbol.
const SYMBOLS: &[u64] = &[0x00, 0x02, 0x10, 0x11, 0x12, 0x16, 0x1a, 0x20, 0x22, 0x26, 0x2a, 0xa1];
const SECTIONS: &[u64] = &[0, 1, 0xfff1, 0xfff2];
const VERSIONS: &[u64] = &[0, 1, 2, 3, 0x8002, 0x8003];

const HEADER: &[Field] = &[(16, 2, ANY), (18, 2, &[62, 183]), (32, 8, ANY), (54, 2, ANY), (56, 2, ANY)];
const PROGRAM_HEADER: &[Field] =
    &[(0, 4, SEGMENTS), (4, 4, RIGHTS), (8, 8, ANY), (16, 8, ANY), (32, 8, ANY), (40, 8, ANY), (48, 8, ANY)];
const DYNAMIC: &[Field] = &[(0, 8, TAGS), (8, 8, ANY), (8, 8, ANY)];
const RELOCATION: &[Field] = &[(0, 8, ANY), (8, 4, RELOCATIONS), (12, 4, ANY), (16, 8, ANY)];
const SYMBOL: &[Field] = &[(0, 4, ANY), (4, 1, SYMBOLS), (5, 1, RIGHTS), (6, 2, SECTIONS), (8, 8, ANY), (16, 8, ANY)];
const LONG: &[Field] = &[(0, 8, ANY)];
const WORD: &[Field] = &[(0, 4, ANY)];
/// Lists of versions mix halves and words.
const VERSION_LIST: &[Field] = &[(0, 2, VERSIONS), (2, 2, ANY), (0, 4, ANY)];

/// Tables by the tag of their address: the tag of their size, if there is one, an entry's size, and its fields.
const TABLES: &[(u64, u64, usize, &[Field])] = &[
    (4, 0, 4, WORD),
    (6, 0, 24, SYMBOL),
    (7, 8, 24, RELOCATION),
    (23, 2, 24, RELOCATION),
    (25, 27, 8, LONG),
    (26, 28, 8, LONG),
    (36, 35, 8, LONG),
    (0x6fff_fef5, 0, 4, WORD),
    (0x6fff_fff0, 0, 2, &[(0, 2, VERSIONS)]),
    (0x6fff_fffc, 0, 4, VERSION_LIST),
    (0x6fff_fffe, 0, 4, VERSION_LIST),
];

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let mut value = [0; 8];
    value[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    Some(u64::from_le_bytes(value))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    number(bytes, at, 8).map(|value| value as usize)
}

/// A run of entries: where, an entry's size, their number, the fields of each.
struct Table(usize, usize, usize, &'static [Field]);

/// The tables of a file, as far as it can be read.
fn tables(bytes: &[u8]) -> Vec<Table> {
    let mut tables = vec![Table(0, 64, 1, HEADER)];
    let (Some(headers), Some(count)) = (long(bytes, 32), number(bytes, 56, 2)) else { return tables };
    tables.push(Table(headers, 56, (count as usize).min(64), PROGRAM_HEADER));
    let mut dynamic = (0, 0);
    let mut segments = Vec::new();
    for at in (0..count as usize).map(|index| headers.wrapping_add(index * 56)) {
        let field = |field| long(bytes, at.wrapping_add(field));
        let (Some(kind), Some(offset), Some(address), Some(size)) =
            (number(bytes, at, 4), field(8), field(16), field(32))
        else {
            break;
        };
        match kind {
            1 => segments.push((address, offset, size)),
            2 => dynamic = (offset, size / 16),
            _ => {}
        }
    }
    tables.push(Table(dynamic.0, 16, dynamic.1.min(64), DYNAMIC));
    let entries: Vec<(u64, usize)> = (0..dynamic.1.min(64))
        .map_while(|index| {
            let at = dynamic.0.checked_add(index * 16)?;
            Some((number(bytes, at, 8)?, long(bytes, at.wrapping_add(8))?))
        })
        .collect();
    let value = |tag| entries.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
    for (tag, size_tag, size, fields) in TABLES {
        let Some(address) = value(*tag) else { continue };
        let segment = segments.iter().find(|(start, _, len)| address.wrapping_sub(*start) < *len);
        let Some(at) = segment.map(|(start, offset, _)| offset.wrapping_add(address.wrapping_sub(*start))) else {
            continue;
        };
        let len = value(*size_tag).filter(|_| *size_tag != 0).unwrap_or(768);
        tables.push(Table(at, *size, (len / size).min(512), fields));
    }
    tables.retain(|Table(at, size, count, _)| {
        *count > 0 && at.checked_add(size * count).is_some_and(|end| end <= bytes.len())
    });
    tables
}

/// The file with a few numbers changed, entries copied over others, or its end cut off.
pub fn damage(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(4) {
        let tables = tables(&bytes);
        let Some(Table(start, size, count, fields)) = (!tables.is_empty()).then(|| random.of(&tables)) else { break };
        let at = start + random.below(*count) * size;
        if *count > 1 && random.below(8) == 0 {
            let from = start + random.below(*count) * size;
            bytes.copy_within(from..from + size, at);
            continue;
        }
        let (offset, len, values) = random.of(fields);
        let place = at + offset..at + offset + len;
        if place.end > bytes.len() {
            continue;
        }
        let before = number(&bytes, place.start, *len).unwrap_or_default();
        let value = match random.below(4) {
            0..3 if !values.is_empty() => *random.of(values),
            // Addresses and sizes of other things.
            0 => {
                let Table(start, size, count, fields) = random.of(&tables);
                let (offset, len, _) = random.of(fields);
                number(&bytes, start + random.below(*count) * size + offset, *len).unwrap_or_default()
            }
            _ => random.near(before, bytes.len() as u64),
        };
        bytes[place].copy_from_slice(&value.to_le_bytes()[..*len]);
    }
    if random.below(20) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// A plugin in C with everything that a linker writes into a shared object.
pub const SOURCE: &str = "
    #include <stdlib.h>
    #include <pthread.h>
    static int value = 1; int *pointers[20] = {&value, &value, &value};
    __thread int local = 2; __thread int *pointer = &value; __thread int zero[50];
    char large[200000];
    __attribute__((constructor)) static void first(void) { value = 2; }
    __attribute__((destructor)) static void last(void) { value = 3; }
    static void *choose(void) { return abs; }
    int chosen(int) __attribute__((ifunc(\"choose\")));
    __attribute__((weak)) int nowhere(void);
    int use(void) { return getenv(\"A\") != 0 && nowhere && chosen(*pointers[3]) + local + *pointer + zero[1] + large[7]; }
    #ifdef THREADS
    void *start(void) { return pthread_create; }
    #endif
";

const DESCRIPTORS: &str = if cfg!(target_arch = "x86_64") { "-mtls-dialect=gnu2" } else { "-mtls-dialect=desc" };

/// The compiler's arguments: plain; packed relocations; thread-local descriptors in one thread and in several; versions and fixed offsets.
pub const VARIANTS: &[&[&str]] = &[
    &[],
    &["-Wl,-z,pack-relative-relocs", "-Wl,--hash-style=sysv", "-Wl,-soname,own.so"],
    &[DESCRIPTORS],
    &[DESCRIPTORS, "-DTHREADS"],
    &["-Wl,--default-symver", "-Wl,-soname,own.so", "-ftls-model=initial-exec"],
];
