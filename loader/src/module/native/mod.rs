//! Native plugins: ELF shared objects, opened by the system's loader from a private copy.
//!
//! ```text
//!   elf      what is in the file, read before any of it runs
//!   edit     changes to the private copy: symbols that bind to the loader in place of the C library
//!   system   whether this system has what the file needs
//!   image    one private mapping: written to a file of its own, opened, closed
//!   imports  what the plugin's undefined symbols bind to: the hostcalls, as C functions
//!   current  which VM runs on this thread
//!   guard    calls that survive a crash of what they call
//!   heap     the allocator of images
//!   vm       a running instance: callbacks down, memory access up
//! ```

mod current;
mod edit;
pub(crate) mod elf;
mod guard;
mod heap;
mod image;
mod imports;
mod system;
mod thread_exit;
mod vm;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use crate::error::{LoadError, StartError};
use crate::vm::VmCell;

/// How native plugins run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NativeOptions {
    /// Contain crashes: a panic, an `abort`, or a fault of the processor in the plugin's own code fails its VM, not the process. Has an
    /// effect on x86-64 Linux; elsewhere a crash ends the process.
    ///
    /// Installs handlers for SIGSEGV, SIGBUS, SIGFPE and SIGILL, once; they pass on what does not come from a plugin.
    pub guard: bool,
    /// Give plugins a faster heap (mimalloc) in place of the C library's. Has an effect with the feature `heap`.
    pub heap: bool,
    /// Where private copies are written; they are removed as soon as they are open. The directory must allow execution.
    pub image_dir: PathBuf,
    /// Keep the private copies while they are in use, so that gdb and perf find their symbols.
    pub keep_images: bool,
}

impl Default for NativeOptions {
    /// Guard and heap on, images in the directory for temporary files.
    fn default() -> Self {
        NativeOptions { guard: true, heap: true, image_dir: std::env::temp_dir(), keep_images: false }
    }
}

/// A native artifact, read and edited.
pub(crate) struct NativeModule {
    name: String,
    elf: elf::Facts,
    /// What is written to private files.
    bytes: Arc<[u8]>,
    edits: edit::Edits,
    options: NativeOptions,
}

impl NativeModule {
    pub(crate) fn new(name: &str, bytes: &[u8], options: NativeOptions) -> Result<NativeModule, LoadError> {
        let malformed = |what| LoadError::Malformed { name: name.to_owned(), what };
        let elf = elf::Facts::read(bytes).map_err(malformed)?;
        system::check(bytes).map_err(malformed)?;
        let version = elf.abi_version.ok_or_else(|| LoadError::NoAbiVersion { name: name.to_owned() })?;
        let unknown: Vec<String> = elf
            .imports
            .iter()
            .filter(|import| import.starts_with("proxy_"))
            .filter(|import| !dynvm_abi::table::hostcall(import).is_some_and(|hostcall| hostcall.in_version(version)))
            .map(|import| super::import_remark(import))
            .collect();
        if !unknown.is_empty() {
            return Err(LoadError::UnknownImports { name: name.to_owned(), version, functions: unknown });
        }
        let mut bytes = bytes.to_vec();
        let edits = edit::edit(&mut bytes, &elf, &options);
        if !options.keep_images {
            edit::cut(&mut bytes, &elf);
        }
        Ok(NativeModule { name: name.to_owned(), elf, bytes: bytes.into(), edits, options })
    }

    pub(crate) fn abi_version(&self) -> AbiVersion {
        self.elf.abi_version.expect("checked when the module was made")
    }

    pub(crate) fn exports(&self, callback: CallbackId) -> bool {
        self.elf.exports.contains_key(callback.describe().name)
    }

    pub(crate) fn instantiate(&self, cell: &Rc<VmCell>) -> Result<vm::NativeVm, StartError> {
        vm::NativeVm::new(self, cell.clone())
    }
}
