//! Native plugins: ELF shared objects, mapped once for each VM, and parts of the program.
//!
//! ```text
//!   module            a checked artifact, linked once by the crate dynvm-image
//!   interface         what its file exports (exports) and imports
//!   interposed        the functions of libc that plugins have from the loader
//!   bind              what its undefined symbols bind to: hostcalls and interposed functions
//!   linked            plugins that are part of the program
//!   mapping           an image and its heap, as long as something uses them
//!   system_loader     the plain way, through dlopen, with hostcalls from an import_library
//!   hostcall_entries  the hostcalls, as C functions
//!   custom_hostcalls  hostcalls implemented by an embedder
//!   direct_hostcalls  the same in fewest instructions
//!   guest             access of hostcalls to the plugin's memory
//!   current_instance  the VM that runs on this thread
//!   guard             calls that survive a crash of the called function: faults (signals),
//!                     exceptions (exception), exits of the process (process_exit)
//!   prepared          the same in fewest instructions, for calls by an embedder
//!   containment       the rule for which of them are contained
//!   known_code        library functions that may be abandoned, and the text of libraries
//!   libc_functions    what is known of functions of libc
//!   child_process     child processes that a plugin forks
//!   door              the way into the host's code
//!   thread_stack      how much of the stack is left
//!   registers         the registers of an interrupted thread
//!   unwinder          walks stacks with frames of images
//!   crash_cause       describes a crash, with its backtrace (backtrace, functions)
//!   address_check     tests addresses from a plugin before the host uses them
//!   heap, lines       interposed functions of libc that allocate
//!   destructors, keys, threads, plugin_signals
//!                     interposed functions of libc whose effects end with the VM
//!   locale            the interposed function of libc that sets the locale of a thread
//!   stdio, clock, random, environment
//!                     interposed functions of libc for output, time, randomness and environment
//!   thread_context    hostcalls on threads that a plugin starts
//!   limitations       what VMs of a module lack
//!   sanitizers        plugins built with one
//!   pinned            which plugins have to stay on their threads
//!   vm                a running instance: callbacks down, memory access up
//! ```

mod address_check;
mod backtrace;
#[cfg(feature = "native")]
mod bind;
mod child_process;
mod clock;
mod containment;
mod crash_cause;
mod current_instance;
pub(crate) mod custom_hostcalls;
mod destructors;
#[cfg(feature = "native")]
mod direct_hostcalls;
mod door;
mod environment;
mod exception;
mod exports;
mod functions;
mod guard;
mod guest;
mod heap;
mod hostcall_entries;
#[cfg(feature = "native")]
mod import_library;
pub(crate) mod interface;
mod interposed;
mod keys;
mod known_code;
mod libc_functions;
mod limitations;
mod lines;
#[cfg(feature = "null")]
mod linked;
mod locale;
mod mapping;
mod module;
#[cfg(feature = "native")]
mod pinned;
mod plugin_signals;
pub(crate) mod prepared;
mod process_exit;
mod random;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod registers;
#[cfg(feature = "native")]
mod sanitizers;
mod signals;
mod stdio;
#[cfg(feature = "native")]
mod system_loader;
mod thread_context;
mod thread_stack;
mod threads;
mod unwinder;
mod vm;

#[cfg(feature = "native")]
use {
    super::{Backend, Code, Source},
    crate::artifact::BackendKind,
    crate::error::LoadError,
    std::sync::Arc,
};

pub use address_check::Fault;
pub(crate) use address_check::{catch_faults, readable, writable};
pub(crate) use module::NativeModule;
pub(crate) use vm::NativeVm;

#[cfg(feature = "native")]
/// How native plugins run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Contain crashes: a panic, an `abort`, or a processor fault in the plugin's own code fails its VM, not the process. Without it, and on
    /// systems other than Linux on x86-64 and aarch64, a crash ends the process.
    ///
    /// Installs handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP; they pass on what does not come from a plugin. Each start of a
    /// VM puts handlers that were installed since behind them.
    pub contain_crashes: bool,
    /// Give each VM a private heap instead of the C library's: counted, limited by
    /// [`VmConfig::memory_limit`](crate::VmConfig::memory_limit), and freed as a whole when the VM ends.
    pub heap: bool,
    /// Functions of the C library that the host's services replace in the plugin.
    pub interpose: Interpose,
    /// Who maps the plugin.
    pub loading: Loading,
    /// Tell debuggers about mapped images, so that gdb finds their symbols.
    pub debugger: bool,
    /// Map the plugin's file instead of a private copy in memory, so that perf and valgrind find its symbols. A file that is overwritten in
    /// place then changes or crashes running VMs: for development only.
    pub map_file: bool,
    /// Let embedders define hostcalls that no version of the ABI has ([`image::Hostcalls`](crate::image::Hostcalls)). A symbol that nothing
    /// defines is then reported when a VM starts, not when the module is loaded.
    pub own_hostcalls: bool,
}

#[cfg(feature = "native")]
impl Options {
    /// Sets whether crashes are contained.
    pub fn contain_crashes(mut self, contain: bool) -> Options {
        self.contain_crashes = contain;
        self
    }

    /// Sets whether each VM has its own heap.
    pub fn heap(mut self, heap: bool) -> Options {
        self.heap = heap;
        self
    }

    /// Sets which functions of the C library are replaced.
    pub fn interpose(mut self, interpose: Interpose) -> Options {
        self.interpose = interpose;
        self
    }

    /// Sets who maps the plugin.
    pub fn loading(mut self, loading: Loading) -> Options {
        self.loading = loading;
        self
    }

    /// Sets whether debuggers are told about images.
    pub fn debugger(mut self, debugger: bool) -> Options {
        self.debugger = debugger;
        self
    }

    /// Sets whether embedders may define further hostcalls.
    pub fn own_hostcalls(mut self, own_hostcalls: bool) -> Options {
        self.own_hostcalls = own_hostcalls;
        self
    }

    /// Sets whether the plugin's file is mapped instead of a copy.
    pub fn map_file(mut self, map_file: bool) -> Options {
        self.map_file = map_file;
        self
    }
}

#[cfg(feature = "native")]
impl Default for Options {
    /// Containment, private heaps and all replacements on; images mapped by this crate.
    fn default() -> Self {
        Options {
            contain_crashes: true,
            heap: true,
            interpose: Interpose::default(),
            loading: Loading::default(),
            debugger: false,
            map_file: false,
            own_hostcalls: false,
        }
    }
}

#[cfg(feature = "native")]
/// Who maps a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loading {
    /// This crate: a private image for each VM.
    #[default]
    Image,
    /// The system's loader (`dlopen`): the plain file, one image for the process, so one VM of it at a time. For plugins that need it, such
    /// as Go's `c-shared` libraries and builds with sanitizers.
    ///
    /// The C library's functions are not replaced, the heap is the C library's, crashes are not contained, and the image may stay
    /// after its VM.
    System,
}

#[cfg(feature = "native")]
/// Functions of the C library that the host's services replace, where the plugin's own code calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interpose {
    /// Standard output and error go to the log. Otherwise, to those of the process.
    pub output: bool,
    /// The time is that of the host's [`Clock`](crate::host::Clock). Otherwise, the system's.
    pub clock: bool,
    /// Random bytes are those of the host's [`Random`](crate::host::Random). Otherwise, the system's.
    pub random: bool,
    /// Environment variables are first those of [`VmConfig::environment`](crate::VmConfig), then the process's. Otherwise, the process's alone.
    pub environment: bool,
}

#[cfg(feature = "native")]
impl Default for Interpose {
    /// All of them.
    fn default() -> Self {
        Interpose { output: true, clock: true, random: true, environment: true }
    }
}

#[cfg(feature = "native")]
impl Interpose {
    /// None of them.
    pub fn none() -> Interpose {
        Interpose { output: false, clock: false, random: false, environment: false }
    }
}

#[cfg(feature = "native")]
/// Links shared objects, and maps them.
pub(crate) struct NativeBackend {
    options: Options,
}

#[cfg(feature = "native")]
impl NativeBackend {
    pub(crate) fn new(options: Options) -> NativeBackend {
        NativeBackend { options }
    }
}

#[cfg(feature = "native")]
impl Backend for NativeBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Native
    }

    fn compile(&self, source: &Source<'_>) -> Result<Arc<dyn Code>, LoadError> {
        Ok(Arc::new(NativeModule::new(source, self.options.clone())?))
    }
}
