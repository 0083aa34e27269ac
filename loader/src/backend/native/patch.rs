//! Changes to the private copy of a shared object, before it is opened.
//!
//! Most of them rename undefined symbols, in place, to ones of the import library: so the plugin's own references, and nobody else's,
//! bind to the loader. A name that cannot be changed safely stays, and with it the plain behaviour.

use std::borrow::Cow;

use super::elf::Facts;
use super::string_table::Names;
use super::{Options, constructors};

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// `abort`, `exit` and their like end the VM, not the process.
    pub(crate) exits: bool,
    /// Destructors of thread-local variables run when the VM ends, so that the image can be unloaded.
    pub(crate) thread_destructors: bool,
    /// Destructors of static variables run when the VM ends, unless it failed.
    pub(crate) static_destructors: bool,
    /// The loader runs constructors, guarded, not the system's loader under its lock.
    pub(crate) constructors: bool,
    /// Standard output and error go to the log.
    pub(crate) output: bool,
    /// The time is that of the host's clock.
    pub(crate) clock: bool,
    /// Random bytes are those of the host.
    pub(crate) random: bool,
    /// Environment variables are first those of the VM.
    pub(crate) environment: bool,
    /// Memory comes from the loader's heap.
    pub(crate) heap: bool,
}

/// Ends of the process, each bound on its own where it occurs.
const EXITS: &[(&str, &str)] = &[
    ("abort", "dvabt"),
    ("exit", "dvex"),
    ("_exit", "dvex_"),
    ("_Exit", "dvEx_"),
    ("__assert_fail", "dynvm_assert"),
    ("__stack_chk_fail", "dynvm_stack_chk"),
];

const THREAD_DESTRUCTORS: &[(&str, &str)] =
    &[("__cxa_thread_atexit_impl", "dynvm_thread_atexit_impl"), ("__cxa_thread_atexit", "dynvm_thread_atexit")];

const STATIC_DESTRUCTORS: &[(&str, &str)] = &[("__cxa_atexit", "dynvm_atexit")];

const OUTPUT: &[(&str, &str)] = &[("write", "dvwrt"), ("writev", "dvwrtv")];

/// The C library's, and what libstdc++ asks it in the plugin's place.
const CLOCK: &[(&str, &str)] = &[
    ("clock_gettime", "dynvm_clock"),
    ("gettimeofday", "dynvm_tod"),
    ("time", "dvtm"),
    ("_ZNSt6chrono3_V212system_clock3nowEv", "dynvm_system_clock_now"),
    ("_ZNSt6chrono3_V212steady_clock3nowEv", "dynvm_steady_clock_now"),
];

/// The functions, and the ways around them.
const RANDOM: &[(&str, &str)] =
    &[("getrandom", "dynvm_rnd"), ("getentropy", "dynvm_entr"), ("syscall", "dvsyscl"), ("dlsym", "dvsym")];

const ENVIRONMENT: &[(&str, &str)] = &[("getenv", "dvgenv"), ("secure_getenv", "dynvm_sgetenv")];

/// An image with one of these changes the process's environment, and would not find there what it put.
const ENVIRONMENT_CONFLICTS: &[&str] =
    &["setenv", "unsetenv", "putenv", "clearenv", "environ", "__environ", "_environ"];

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

/// Makes the changes that the options ask for and the file allows, and reads the file again: a change that did not come out as it should
/// is an error, and the file is loaded unchanged.
pub(crate) fn edit(original: &[u8], elf: &Facts, options: &Options) -> (Vec<u8>, Edits) {
    let mut bytes = original.to_vec();
    let edits = make(&mut bytes, elf, options);
    match verify(&bytes, elf, edits) {
        Ok(()) => (bytes, edits),
        Err(_) => {
            // The hostcalls' names alone: without them nothing runs.
            let mut bytes = original.to_vec();
            rename_hostcalls(&mut Names::new(&mut bytes, elf));
            (bytes, Edits::default())
        }
    }
}

fn make(bytes: &mut [u8], elf: &Facts, options: &Options) -> Edits {
    let wanted = &options.edits;
    if wanted.unique_symbols {
        for at in &elf.unique_symbols {
            // g++ marks statics of inline functions as unique in the process: copies would share them, and could not be unloaded.
            bytes[*at] = bytes[*at] & 0xf | object::elf::STB_GLOBAL << 4;
        }
    }
    let constructors = wanted.constructors && constructors::take_over(bytes, elf);
    let mut names = Names::new(bytes, elf);
    rename_hostcalls(&mut names);
    let heap = options.heap
        && cfg!(feature = "heap")
        && !elf.exports.contains_key("malloc")
        && !imports_any(elf, HEAP_CONFLICTS);
    let mut each = |functions: &[(&str, &str)], wanted: bool| {
        functions.iter().filter(|_| wanted).fold(false, |made, function| names.rename_all(&[*function]) | made)
    };
    let exits = each(EXITS, wanted.exits && options.contain_crashes && super::guard::AVAILABLE);
    let output = each(OUTPUT, wanted.output);
    let clock = each(CLOCK, wanted.clock);
    let random = each(RANDOM, wanted.random);
    let environment = each(ENVIRONMENT, wanted.environment && !imports_any(elf, ENVIRONMENT_CONFLICTS));
    Edits {
        exits,
        thread_destructors: wanted.thread_destructors && names.rename_all(THREAD_DESTRUCTORS),
        static_destructors: wanted.static_destructors && names.rename_all(STATIC_DESTRUCTORS),
        constructors,
        output,
        clock,
        random,
        environment,
        heap: heap && names.rename_all(&[HEAP, if frees_only_its_own(elf) { FREE } else { FREE_ANY }].concat()),
    }
}

/// Renames undefined symbols of an edited file, for one VM.
///
/// # Errors
///
/// A symbol cannot be renamed.
pub(crate) fn rename<'a>(bytes: &'a [u8], elf: &Facts, renames: &[(&str, &str)]) -> Result<Cow<'a, [u8]>, String> {
    let mut renamed = Cow::Borrowed(bytes);
    for rename in renames.iter().filter(|(name, _)| elf.imports.contains(*name)) {
        if !Names::new(renamed.to_mut(), elf).rename_all(&[*rename]) {
            return Err(format!(
                "the symbol {} shares its name with another, so the host's function cannot be bound",
                rename.0
            ));
        }
    }
    Ok(renamed)
}

fn imports_any(elf: &Facts, functions: &[&str]) -> bool {
    functions.iter().any(|function| elf.imports.contains(*function))
}

/// So that the loader's hostcalls are bound even where the process exports others of the same name.
fn rename_hostcalls(names: &mut Names<'_>) {
    let native = dynvm_abi::table::NATIVE_HOSTCALLS.iter().map(|hostcall| hostcall.name);
    for name in dynvm_abi::table::HOSTCALLS.iter().map(|hostcall| hostcall.name).chain(native) {
        let renamed = name.replacen("proxy_", "dynvm_", 1);
        names.rename_all(&[(name, &renamed)]);
    }
}

/// Reads the edited file: the same exports, the imports renamed, the hooks gone.
fn verify(bytes: &[u8], before: &Facts, edits: Edits) -> Result<(), String> {
    let after = Facts::read_for_any_machine(bytes)?;
    let gone = |renames: &[(&str, &str)]| renames.iter().all(|(old, _)| !after.imports.contains(*old));
    let sets = [
        (edits.thread_destructors, THREAD_DESTRUCTORS),
        (edits.static_destructors, STATIC_DESTRUCTORS),
        (edits.heap, HEAP),
    ];
    if after.exports != before.exports
        || after.needed != before.needed
        || after.undefined.len() != before.undefined.len()
    {
        return Err("the symbols are not what they were".to_owned());
    }
    if sets.into_iter().any(|(made, renames)| made && !gone(renames)) {
        return Err("a symbol was not renamed".to_owned());
    }
    let hooks = &after.hooks;
    if edits.constructors
        && !(hooks.init.is_none() && hooks.fini.is_none() && hooks.init_array.is_empty() && hooks.fini_array.is_empty())
    {
        return Err("the dynamic section still names constructors".to_owned());
    }
    Ok(())
}

fn frees_only_its_own(elf: &Facts) -> bool {
    elf.needed.iter().all(|library| KNOWN_LIBRARIES.iter().any(|known| library.starts_with(known)))
        && !GIVES_MEMORY.iter().any(|function| elf.imports.contains(*function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::native::ImageEdits;

    /// A plugin for a machine, with one use of each symbol that is replaced: `testdata/edited.c`. It need not run here.
    fn plugin(machine: &str) -> &'static [u8] {
        match machine {
            "x86_64" => include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/edited-x86_64.so")),
            _ => include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/edited-aarch64.so")),
        }
    }

    #[test]
    fn all_is_edited_and_verified_on_each_machine() {
        for target in ["x86_64", "aarch64"] {
            let bytes = plugin(target);
            let before = Facts::read_for_any_machine(bytes).unwrap();
            assert!(!before.hooks.init_array.is_empty() && !before.hooks.fini_array.is_empty());
            let options = Options::default();
            let (edited, edits) = edit(bytes, &before, &options);
            let expected = Edits {
                exits: super::super::guard::AVAILABLE,
                thread_destructors: true,
                static_destructors: true,
                constructors: true,
                output: true,
                clock: true,
                random: true,
                environment: true,
                heap: cfg!(feature = "heap"),
            };
            assert_eq!(edits, expected, "{target}");
            let after = Facts::read_for_any_machine(&edited).unwrap();
            assert!(after.hooks.init_array.is_empty() && after.hooks.fini_array.is_empty());
            for name in [
                "__cxa_atexit",
                "__cxa_thread_atexit_impl",
                "write",
                "time",
                "clock_gettime",
                "getrandom",
                "getenv",
                "proxy_log",
            ] {
                assert!(!after.imports.contains(name), "{target}: {name}");
            }
            assert!(after.imports.contains("dynvm_log"), "{target}");
            assert_eq!((after.exports, after.span), (before.exports.clone(), before.span.clone()));

            let none = Options { edits: ImageEdits::none(), heap: false, contain_crashes: false, ..options };
            let (edited, edits) = edit(bytes, &before, &none);
            assert_eq!(edits, Edits::default());
            assert!(Facts::read_for_any_machine(&edited).unwrap().imports.contains("__cxa_atexit"));
        }
    }

    /// What does not come out as it should is not used.
    #[test]
    fn a_change_that_went_wrong_is_noticed() {
        let bytes = plugin("x86_64");
        let facts = Facts::read_for_any_machine(bytes).unwrap();
        let made = Edits { constructors: true, ..Edits::default() };
        assert!(verify(bytes, &facts, made).unwrap_err().contains("constructors"));
        let made = Edits { heap: true, ..Edits::default() };
        assert!(verify(bytes, &facts, made).unwrap_err().contains("renamed"));
        assert!(verify(&bytes[..bytes.len() / 2], &facts, Edits::default()).is_err());
    }
}
