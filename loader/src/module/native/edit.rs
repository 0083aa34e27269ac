//! Changes to the private copy of a shared object, before it is opened.
//!
//! Most of them rename undefined symbols, in place, to ones of the import library: so the plugin's own references, and nobody else's,
//! bind to the loader. A name that cannot be changed safely stays, and with it the plain behaviour.

use super::NativeOptions;
use super::elf::Facts;

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// `abort` ends the VM, not the process.
    pub(crate) abort: bool,
    /// Destructors of thread-local variables run when the VM ends, so that the image can be unloaded.
    pub(crate) thread_exit: bool,
    /// Memory comes from the loader's heap.
    pub(crate) heap: bool,
}

const ABORT: &[(&str, &str)] = &[("abort", "dvabt")];

const THREAD_EXIT: &[(&str, &str)] = &[("__cxa_thread_atexit_impl", "dynvm_thread_atexit_impl")];

const HEAP: &[(&str, &str)] = &[
    ("malloc", "dvmllc"),
    ("calloc", "dvcllc"),
    ("posix_memalign", "dynvm_memalign"),
    ("aligned_alloc", "dynvm_aligned"),
    ("memalign", "dvmmlign"),
    ("malloc_usable_size", "dynvm_usable_size"),
];

/// For images that free only what they allocated.
const FREE: &[(&str, &str)] =
    &[("free", "dvfp"), ("realloc", "dvrallp"), ("realpath", "dvrlpath"), ("getcwd", "dvgcwd")];

/// For images that may free what others allocated.
const FREE_ANY: &[(&str, &str)] = &[("free", "dvfr"), ("realloc", "dvrallc")];

/// Functions of the C and C++ libraries whose result the caller frees, beyond those of [`FREE`].
const GIVES_MEMORY: &[&str] = &[
    "__cxa_demangle",
    "__strdup",
    "__strndup",
    "asprintf",
    "__asprintf_chk",
    "canonicalize_file_name",
    "get_current_dir_name",
    "getifaddrs",
    "open_memstream",
    "open_wmemstream",
    "scandir",
    "scandir64",
    "strdup",
    "strndup",
    "tempnam",
    "vasprintf",
    "__vasprintf_chk",
    "wcsdup",
    "dlsym",
    "dlvsym",
];

/// Libraries of which it is known what they hand to be freed.
const KNOWN_LIBRARIES: &[&str] =
    &["ld-linux", "libc.so", "libdl.so", "libgcc_s.so", "libm.so", "libpthread.so", "librt.so", "libstdc++.so"];

/// Functions of the C library that free or resize memory which the plugin allocated, or that replace its allocator: with one of them
/// the C library's heap stays.
const HEAP_CONFLICTS: &[&str] =
    &["getline", "getdelim", "reallocarray", "cfree", "valloc", "pvalloc", "mallopt", "malloc_trim", "obstack_free"];

/// Cuts off what is not mapped, symbols for debuggers above all: it is most of many files, and each VM writes a copy.
pub(crate) fn cut(bytes: &mut Vec<u8>, elf: &Facts) {
    // Offsets in the ELF header, 64 bits.
    const SECTIONS_AT: std::ops::Range<usize> = 0x28..0x30;
    const SECTIONS_COUNT: std::ops::Range<usize> = 0x3c..0x40;
    bytes.truncate(elf.mapped_end);
    bytes[SECTIONS_AT].fill(0);
    bytes[SECTIONS_COUNT].fill(0);
}

/// Makes the changes that the options ask for and the file allows.
pub(crate) fn edit(bytes: &mut [u8], elf: &Facts, options: &NativeOptions) -> Edits {
    for at in &elf.unique_symbols {
        // g++ marks statics of inline functions as unique in the process: copies would share them, and could not be unloaded.
        bytes[*at] = bytes[*at] & 0xf | object::elf::STB_GLOBAL << 4;
    }
    let mut names = Names { bytes, elf };
    for hostcall in dynvm_abi::table::HOSTCALLS {
        // So that the loader's hostcalls are bound even where the process exports others of the same name.
        let renamed = hostcall.name.replacen("proxy_", "dynvm_", 1);
        names.rename_all(&[(hostcall.name, &renamed)]);
    }
    let heap = options.heap
        && cfg!(feature = "heap")
        && !elf.exports.contains_key("malloc")
        && !elf.imports.iter().any(|import| HEAP_CONFLICTS.contains(&import.as_str()));
    Edits {
        abort: options.guard && super::guard::AVAILABLE && names.rename_all(ABORT),
        thread_exit: names.rename_all(THREAD_EXIT),
        heap: heap && names.rename_all(&[HEAP, if frees_only_its_own(elf) { FREE } else { FREE_ANY }].concat()),
    }
}

fn frees_only_its_own(elf: &Facts) -> bool {
    elf.needed.iter().all(|library| KNOWN_LIBRARIES.iter().any(|known| library.starts_with(known)))
        && !GIVES_MEMORY.iter().any(|function| elf.imports.contains(*function))
}

struct Names<'a> {
    bytes: &'a mut [u8],
    elf: &'a Facts,
}

impl Names<'_> {
    /// Renames all of a set that occur, or none: true if at least one was, and each that occurs could be.
    fn rename_all(&mut self, renames: &[(&str, &str)]) -> bool {
        let mut places = Vec::new();
        for (old, new) in renames {
            debug_assert!(new.len() <= old.len(), "{new} fits in the place of {old}");
            for (at, len) in &self.elf.undefined_names {
                if *len == old.len() && self.bytes[*at..*at + *len] == *old.as_bytes() {
                    if !self.is_alone(*at, *len) {
                        return false;
                    }
                    places.push((*at, *old, *new));
                }
            }
        }
        for (at, old, new) in &places {
            let place = &mut self.bytes[*at..*at + old.len()];
            place[..new.len()].copy_from_slice(new.as_bytes());
            place[new.len()..].fill(0);
        }
        !places.is_empty()
    }

    /// Whether no other name shares these bytes: linkers may store a name as the end of a longer one.
    fn is_alone(&self, at: usize, len: usize) -> bool {
        let begins = at == 0 || self.bytes[at - 1] == 0;
        let shared_by_defined = self.elf.other_names.range(at..=at + len).next().is_some();
        let shared_by_undefined = self.elf.undefined_names.iter().any(|(other, _)| (at + 1..=at + len).contains(other));
        begins && !shared_by_defined && !shared_by_undefined
    }
}
