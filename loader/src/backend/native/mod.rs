//! Native plugins: ELF shared objects, opened by the system's loader from a private copy.
//!
//! ```text
//!   elf               reads the file, before any of it runs
//!   patch             changes the private copy, so that symbols bind to the loader instead of the C library
//!   string_table      renames symbols for patch
//!   glibc             checks that this system has the symbols that the file needs
//!   image             one private mapping: written to a separate file, opened, closed
//!   dependencies      opens the libraries that the file needs
//!   imports           binds undefined symbols to the hostcalls, as C functions
//!   custom_hostcalls  hostcalls implemented by an embedder
//!   guest             access of hostcalls to the plugin's memory
//!   current_instance  the VM that runs on this thread
//!   guard             calls that survive a crash of the called function: faults (signals),
//!                     exceptions (exception), exits of the process (process_exit)
//!   crash_cause       describes a crash, with its backtrace (backtrace)
//!   address_check     tests addresses from a plugin before the host uses them
//!   heap              the allocator of images: one private heap per VM
//!   constructors, destructors
//!                     code of the image that runs at its start and end
//!   stdio             sends standard output and error to the log
//!   clock, random, environment
//!                     interposed functions of libc for time, randomness and environment
//!   thread_context    hostcalls on threads that a plugin starts
//!   vm                a running instance: callbacks down, memory access up
//! ```

mod address_check;
mod backtrace;
mod clock;
mod constructors;
mod crash_cause;
mod current_instance;
pub(crate) mod custom_hostcalls;
mod dependencies;
mod destructors;
pub(crate) mod elf;
mod environment;
mod exception;
mod glibc;
mod guard;
mod guest;
mod heap;
mod image;
mod imports;
mod patch;
mod process_exit;
mod random;
mod signals;
mod stdio;
mod string_table;
mod thread_context;
mod vm;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use super::{Backend, Code, Instance};
use crate::artifact::BackendKind;
use crate::error::{LoadError, StartError};
use crate::instance::InstanceState;
pub(crate) use address_check::{readable, writable};
pub(crate) use vm::NativeVm;

/// How native plugins run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Contain crashes: a panic, an `abort`, or a fault of the processor in the plugin's own code fails its VM, not the process. Has an
    /// effect on x86-64 Linux; elsewhere a crash ends the process.
    ///
    /// Installs handlers for SIGSEGV, SIGBUS, SIGFPE and SIGILL, once; they pass on what does not come from a plugin.
    pub contain_crashes: bool,
    /// Give each VM a heap of its own (mimalloc) in place of the C library's: faster, counted, limited by
    /// [`VmConfig::memory_limit`](crate::VmConfig::memory_limit), and freed whole when the VM ends. Has an effect with the feature `heap`.
    pub heap: bool,
    /// Which changes are made to the private copy. All are, by default, where the file allows.
    pub edits: ImageEdits,
    /// Where private copies are written; they are removed as soon as they are open. The directory must allow execution.
    pub image_dir: PathBuf,
    /// Keep the private copies while they are in use, so that gdb and perf find their symbols.
    pub keep_images: bool,
}

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

    /// Sets the directory for private copies of images.
    pub fn image_dir(mut self, dir: impl Into<PathBuf>) -> Options {
        self.image_dir = dir.into();
        self
    }

    /// Sets whether private copies stay on disk while they are in use.
    pub fn keep_images(mut self, keep: bool) -> Options {
        self.keep_images = keep;
        self
    }
}

/// Changes to the private copy of an image. Without one, the plain behaviour of the system stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageEdits {
    /// `abort`, `exit`, `_exit`, `assert` and the stack protector end the VM. Else they end the process.
    pub exits: bool,
    /// Destructors of thread-local variables run when the VM ends. Else when the thread ends, and until then the image stays mapped.
    pub thread_destructors: bool,
    /// Destructors of static variables run when the VM ends well. Else when the image is closed, so that of a failed VM it stays mapped.
    pub static_destructors: bool,
    /// Constructors run guarded. Else a crash in one ends the process.
    pub constructors: bool,
    /// Standard output and error, as far as the image writes them itself, go to the log. Else to those of the process.
    pub output: bool,
    /// Where the image itself asks the C library or libstdc++ for the time, it is that of the host's [`Clock`](crate::host::Clock). Else the
    /// system's.
    pub clock: bool,
    /// Where the image itself asks the C library for random bytes, they are those of the host's [`Random`](crate::host::Random). Else the
    /// system's.
    pub random: bool,
    /// Where the image itself asks the C library for an environment variable, that of [`VmConfig::environment`](crate::VmConfig) comes
    /// first. Else the process's alone.
    pub environment: bool,
    /// Unique symbols of C++ (`STB_GNU_UNIQUE`) are the image's own. Else all images share them, and none can be unloaded.
    pub unique_symbols: bool,
}

impl Default for ImageEdits {
    /// All of them.
    fn default() -> Self {
        ImageEdits {
            exits: true,
            thread_destructors: true,
            static_destructors: true,
            constructors: true,
            output: true,
            clock: true,
            random: true,
            environment: true,
            unique_symbols: true,
        }
    }
}

impl ImageEdits {
    /// None of them.
    pub fn none() -> ImageEdits {
        ImageEdits {
            exits: false,
            thread_destructors: false,
            static_destructors: false,
            constructors: false,
            output: false,
            clock: false,
            random: false,
            environment: false,
            unique_symbols: false,
        }
    }
}

impl Default for Options {
    /// Guard and heap on, images in the directory for temporary files.
    fn default() -> Self {
        Options {
            contain_crashes: true,
            heap: true,
            edits: ImageEdits::default(),
            image_dir: std::env::temp_dir(),
            keep_images: false,
        }
    }
}

/// Reads and edits shared objects, and opens them.
pub(crate) struct NativeBackend {
    options: Options,
}

impl NativeBackend {
    pub(crate) fn new(options: Options) -> NativeBackend {
        NativeBackend { options }
    }
}

impl Backend for NativeBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Native
    }

    fn compile(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn Code>, LoadError> {
        Ok(Arc::new(NativeModule::new(name, bytes, self.options.clone())?))
    }
}

/// A native artifact, read and edited.
pub(crate) struct NativeModule {
    name: String,
    elf: Arc<elf::Facts>,
    /// What is written to private files.
    bytes: Arc<[u8]>,
    edits: patch::Edits,
    options: Options,
}

impl NativeModule {
    fn new(name: &str, bytes: &[u8], options: Options) -> Result<NativeModule, LoadError> {
        let malformed = |what| LoadError::Malformed { name: name.to_owned(), what };
        let elf = elf::Facts::read(bytes).map_err(malformed)?;
        glibc::check(bytes).map_err(malformed)?;
        let version = elf.abi_version.ok_or_else(|| LoadError::NoAbiVersion { name: name.to_owned() })?;
        let unknown: Vec<String> = elf
            .imports
            .iter()
            .filter(|import| import.starts_with("proxy_"))
            .filter(|import| !dynvm_abi::table::is_native_hostcall(import))
            .filter(|import| !dynvm_abi::table::hostcall(import).is_some_and(|hostcall| hostcall.in_version(version)))
            .map(|import| dynvm_abi::table::describe_unknown_import(import))
            .collect();
        if !unknown.is_empty() {
            return Err(LoadError::UnknownImports { name: name.to_owned(), version, functions: unknown });
        }
        let mut mapped = bytes.to_vec();
        if !options.keep_images {
            patch::cut(&mut mapped, &elf);
        }
        let (bytes, edits) = patch::edit(&mapped, &elf, &options);
        Ok(NativeModule { name: name.to_owned(), elf: Arc::new(elf), bytes: bytes.into(), edits, options })
    }

    /// An instance that makes hostcalls of the embedder's.
    pub(crate) fn instantiate_custom(
        &self,
        state: &Rc<InstanceState>,
        foreign: custom_hostcalls::CustomHostcalls,
    ) -> Result<NativeVm, StartError> {
        NativeVm::new(self, state.clone(), Some(foreign))
    }

    /// The hostcalls that it imports by name, except those that only native plugins have.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &str> {
        let hostcalls = self.elf.imports.iter().map(String::as_str).filter(|import| import.starts_with("proxy_"));
        hostcalls.filter(|import| !dynvm_abi::table::is_native_hostcall(import))
    }

    /// Installs the handlers that checks of addresses need, if crashes are contained.
    pub(crate) fn install_handlers(&self) {
        if self.options.contain_crashes && guard::AVAILABLE {
            signals::install();
        }
    }

    /// Whether it exports a function or object.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.elf.exports.contains_key(name)
    }
}

impl Code for NativeModule {
    fn abi_version(&self) -> AbiVersion {
        self.elf.abi_version.expect("checked when the module was made")
    }

    fn exports(&self, callback: CallbackId) -> bool {
        self.elf.exports.contains_key(callback.describe().name)
    }

    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError> {
        Ok(Box::new(NativeVm::new(self, state.clone(), None)?))
    }
}
