//! What the undefined symbols of an image bind to: hostcalls, and what takes the place of functions of libc.
//!
//! A name that is not in the table, or that [`Bindings`] leaves to the system, binds to the libraries that the plugin needs.

use std::ffi::c_void;

use dynvm_image::{Bind, Facts, Import, Importer};

use super::heap::ALLOCATES;
use super::interposed::interposed;
use super::libc_functions::{Effect, is_of_process, may_have};
use super::{
    Interpose, Options, child_process, clock, destructors, environment, heap, hostcall_entries, keys, limitations,
    lines, locale, plugin_signals, process_exit, random, stdio, threads,
};

/// Why a function is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its effects end with the VM: destructors, thread-specific keys, threads.
    Lifetime,
    /// It ends the process or the thread.
    Exit,
    Output,
    Clock,
    Random,
    Environment,
    /// Allocation, and functions of libc that resize memory of their caller.
    Heap,
}

struct Entry {
    name: &'static str,
    kind: Kind,
    function: *const c_void,
}

// SAFETY: addresses of functions, which any thread may call.
unsafe impl Sync for Entry {}

macro_rules! entries {
    ($($kind:ident { $($name:literal => $function:path,)* })*) => {
        static INTERPOSED: &[Entry] =
            &[$($(Entry { name: $name, kind: Kind::$kind, function: $function as *const c_void },)*)*];
    };
}

interposed!(entries);

/// An image with one of these changes the process's environment, and would not find there what it put.
const CHANGES_ENVIRONMENT: &[&str] = &["setenv", "unsetenv", "putenv", "clearenv", "environ", "__environ", "_environ"];

/// Libraries of the C library and the compiler. They neither free nor resize memory of their caller, and keep nothing for a thread beyond
/// a call. C++'s is loaded like an image, and allocates from the same heap.
const OF_THE_SYSTEM: &[&str] = &[
    "ld-linux",
    "libc.so",
    "libdl.so",
    "libgcc_s.so",
    "libm.so",
    "libpthread.so",
    "librt.so",
    "libstdc++.so",
    "libutil.so",
    "libresolv.so",
];

/// Which functions are replaced for one module.
#[derive(Clone, Copy)]
pub(super) struct Bindings {
    interpose: Interpose,
    exits: bool,
    environment: bool,
    /// Embedders bring hostcalls.
    direct: bool,
    /// The image allocates from its VM's heap.
    pub(super) heap: bool,
}

impl Bindings {
    /// Decides by what the image imports, exports and needs.
    pub(super) fn new(facts: &Facts, options: &Options) -> Bindings {
        Bindings {
            interpose: options.interpose,
            exits: limitations::uncontained(options.contain_crashes).is_none(),
            environment: changes_environment(facts).is_none(),
            direct: options.own_hostcalls,
            heap: allocates(facts) && shares_heap(facts, options).is_none(),
        }
    }

    fn replaces(&self, kind: Kind) -> bool {
        match kind {
            Kind::Lifetime => true,
            Kind::Exit => self.exits,
            Kind::Output => self.interpose.output,
            Kind::Clock => self.interpose.clock,
            Kind::Random => self.interpose.random,
            Kind::Environment => self.interpose.environment && self.environment,
            Kind::Heap => self.heap,
        }
    }
}

impl Bind for Bindings {
    fn bind(&self, _: Importer<'_>, import: &Import) -> Option<usize> {
        let name = import.name();
        hostcall_entries::find(name, self.direct).or_else(|| interposed(name, |kind| self.replaces(kind)))
    }
}

/// The same, and hostcalls of an embedder's own, in the order of their slots.
pub(super) struct WithOwn<'a>(pub(super) &'a Bindings, pub(super) &'a [&'a str]);

impl Bind for WithOwn<'_> {
    fn bind(&self, importer: Importer<'_>, import: &Import) -> Option<usize> {
        self.0
            .bind(importer, import)
            .or_else(|| hostcall_entries::own(self.1.iter().position(|name| *name == import.name())?))
    }
}

/// What libgcc_s and libstdc++ bind to. All plugins share one copy of them, so what these libraries keep for themselves (keys, destructors)
/// outlives every VM, and what they do for the plugin that runs (threads, memory, the end of an uncaught exception) is its VM's.
pub(super) struct RuntimeBindings;

impl Bind for RuntimeBindings {
    fn bind(&self, _: Importer<'_>, import: &Import) -> Option<usize> {
        let name = import.name();
        interposed(name, |kind| kind == Kind::Heap || matches!(name, "pthread_create" | "abort"))
    }
}

fn imported<'a>(facts: &Facts, names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| facts.does_import(name))
}

/// Whether an image allocates memory.
pub(super) fn allocates(facts: &Facts) -> bool {
    imported(facts, ALLOCATES).is_some()
}

/// Why an image allocates from the C library's heap, if it allocates; `None`: each VM has its own.
pub(super) fn shares_heap(facts: &Facts, options: &Options) -> Option<String> {
    if !options.heap {
        return Some("by option (native::Options::heap)".to_owned());
    }
    if facts.export("malloc").is_some() {
        return Some("it defines malloc".to_owned());
    }
    let changing = source(facts, Effect::ChangedMemory);
    changing.map(|source| format!("it {source}, which may resize or free its memory"))
}

/// Libraries that an image needs besides those of the C library and the compiler.
pub(super) fn own_libraries(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.needed().iter().map(String::as_str).filter(|library| !is_of_the_system(library))
}

/// Functions that an image imports and that may have an effect. Those of libraries of its own and hostcalls of an embedder's are not among
/// them.
pub(super) fn functions_with(facts: &Facts, effect: Effect) -> impl Iterator<Item = &str> {
    facts.imports().iter().map(Import::name).filter(move |name| may_have(effect, name) && is_of_process(name))
}

/// A library or function by which an image may have an effect, as the rest of a sentence.
pub(super) fn source(facts: &Facts, effect: Effect) -> Option<String> {
    let library = own_libraries(facts).next().map(|library| format!("needs {library}"));
    library.or_else(|| functions_with(facts, effect).next().map(|function| format!("calls {function}")))
}

/// The function or variable by which an image changes the process's environment.
pub(super) fn changes_environment(facts: &Facts) -> Option<&'static str> {
    imported(facts, CHANGES_ENVIRONMENT)
}

/// Whether a library is one of the C library and the compiler.
pub(super) fn is_of_the_system(library: &str) -> bool {
    OF_THE_SYSTEM.iter().any(|known| library.starts_with(known))
}

fn interposed(name: &str, wanted: impl Fn(Kind) -> bool) -> Option<usize> {
    let entry = INTERPOSED.iter().find(|entry| entry.name == name)?;
    wanted(entry.kind).then_some(entry.function as usize)
}
