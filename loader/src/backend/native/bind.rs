//! What the undefined symbols of an image bind to: hostcalls, and what takes the place of functions of libc.
//!
//! A name that is not in the table, or that [`Bindings`] leaves to the system, binds to the libraries that the plugin needs.

use std::ffi::c_void;

use dynvm_image::{Bind, Facts, Import, Importer};

use super::{
    Interpose, Options, child_process, clock, destructors, environment, heap, hostcall_entries, keys, lines,
    plugin_signals, process_exit, random, stdio, threads,
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
        &[$($(Entry { name: $name, kind: Kind::$kind, function: $function as *const c_void },)*)*]
    };
}

static INTERPOSED: &[Entry] = entries! {
    Lifetime {
        "__cxa_thread_atexit_impl" => destructors::at_thread_exit,
        "__cxa_thread_atexit" => destructors::at_thread_exit,
        "__cxa_atexit" => destructors::at_exit,
        "__cxa_at_quick_exit" => destructors::at_quick_exit,
        "on_exit" => destructors::on_exit,
        "pthread_key_create" => keys::create,
        "pthread_key_delete" => keys::delete,
        "tss_create" => keys::create_c11,
        "tss_delete" => keys::delete_c11,
        "pthread_create" => threads::create,
        "thrd_create" => threads::create_c11,
        "pthread_sigmask" => plugin_signals::set_mask,
        "sigprocmask" => plugin_signals::set_mask,
        "putenv" => environment::putenv,
        "vfork" => child_process::vfork,
    }
    Exit {
        "abort" => process_exit::abort,
        "exit" => process_exit::exit,
        "_exit" => process_exit::exit_now,
        "_Exit" => process_exit::exit_now,
        "quick_exit" => process_exit::exit,
        "pthread_exit" => process_exit::thread_exit,
        "thrd_exit" => process_exit::thread_exit,
        "__assert_fail" => process_exit::assert_fail,
        "__stack_chk_fail" => process_exit::stack_chk_fail,
    }
    Output {
        "write" => stdio::write,
        "writev" => stdio::writev,
    }
    Clock {
        "clock_gettime" => clock::clock_gettime,
        "gettimeofday" => clock::gettimeofday,
        "time" => clock::time,
        "_ZNSt6chrono3_V212system_clock3nowEv" => clock::system_clock_now,
        "_ZNSt6chrono3_V212steady_clock3nowEv" => clock::steady_clock_now,
    }
    Random {
        "getrandom" => random::getrandom,
        "getentropy" => random::getentropy,
        "syscall" => random::syscall,
        "dlsym" => random::dlsym,
        "_Z17__wasi_random_getPhm" => random::random_get,
    }
    Environment {
        "getenv" => environment::getenv,
        "secure_getenv" => environment::getenv,
    }
    Heap {
        "malloc" => heap::malloc,
        "calloc" => heap::calloc,
        "realloc" => heap::realloc,
        "reallocarray" => heap::reallocarray,
        "free" => heap::free,
        "cfree" => heap::free,
        "posix_memalign" => heap::posix_memalign,
        "aligned_alloc" => heap::aligned_alloc,
        "memalign" => heap::aligned_alloc,
        "valloc" => heap::valloc,
        "pvalloc" => heap::valloc,
        "malloc_usable_size" => heap::usable_size,
        "getline" => lines::getline,
        "getdelim" => lines::getdelim,
        "__getdelim" => lines::getdelim,
    }
};

/// An image with one of these changes the process's environment, and would not find there what it put.
const CHANGES_ENVIRONMENT: &[&str] = &["setenv", "unsetenv", "putenv", "clearenv", "environ", "__environ", "_environ"];

/// Functions by which an image allocates, C++'s `new` among them.
const ALLOCATES: &[&str] =
    &["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "_Znwm", "_Znam"];

/// Functions of libc that resize or free memory that their caller allocated, besides those in [`INTERPOSED`], or that
/// replace the allocator.
const RESIZES_MEMORY: &[&str] = &[
    "argz_add",
    "argz_add_sep",
    "argz_append",
    "argz_delete",
    "argz_insert",
    "argz_replace",
    "envz_add",
    "envz_merge",
    "envz_remove",
    "envz_strip",
    "mallopt",
    "malloc_trim",
    "obstack_free",
    "_obstack_begin",
    "_obstack_newchunk",
];

/// Libraries that neither free nor resize memory of their caller. C++'s is loaded like an image, and allocates from the
/// same heap.
const KEEPS_OFF_MEMORY: &[&str] = &[
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
        let imports_any = |names: &[&str]| names.iter().any(|name| facts.does_import(name));
        let known = |library: &String| KEEPS_OFF_MEMORY.iter().any(|known| library.starts_with(known));
        Bindings {
            interpose: options.interpose,
            exits: options.contain_crashes && super::guard::AVAILABLE,
            environment: !imports_any(CHANGES_ENVIRONMENT),
            direct: options.own_hostcalls,
            heap: options.heap
                && facts.imports().iter().any(|import| ALLOCATES.contains(&import.name()))
                && facts.export("malloc").is_none()
                && facts.needed().iter().all(known)
                && !imports_any(RESIZES_MEMORY),
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

fn interposed(name: &str, wanted: impl Fn(Kind) -> bool) -> Option<usize> {
    let entry = INTERPOSED.iter().find(|entry| entry.name == name)?;
    wanted(entry.kind).then_some(entry.function as usize)
}
