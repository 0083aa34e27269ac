//! The plain way to load a plugin: its file, opened by the system's loader (`dlopen`), with no function of the C library replaced.
//!
//! The process has one image of a file, so it can have one VM of it at a time; and no other if the system's loader does not unload it.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use dynvm_abi::table::HOSTCALLS;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

use super::{hostcall_entries, import_library};

/// An image that the system's loader has opened.
pub(super) struct SystemImage {
    library: Option<Library>,
    file: OpenFile,
    base: usize,
    span: Range<usize>,
}

impl SystemImage {
    /// Opens a plugin. Its constructors run.
    ///
    /// `span` is what its segments take, and `marker` a symbol that it exports, with its address; both relative to the base.
    ///
    /// # Safety
    ///
    /// The code is trusted: it runs with all rights of the process.
    ///
    /// # Errors
    ///
    /// What the system said, or that the plugin has a VM already.
    pub(super) unsafe fn open(
        path: Option<&Path>,
        bytes: &[u8],
        span: &Range<u64>,
        marker: (&str, u64),
    ) -> Result<SystemImage, String> {
        provide_hostcalls()?;
        let file = OpenFile::new(path, bytes)?;
        // SAFETY: the caller vouches for the code.
        let library = unsafe { Library::open(Some(&file.path), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(|error| crate::with_causes(&error))?;
        let (name, offset) = marker;
        // SAFETY: only the address is used.
        let symbol = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
        let symbol = symbol.map_err(|error| format!("its symbol {name} is gone: {error}"))?;
        let base = (*symbol as usize)
            .checked_sub(offset as usize)
            .ok_or_else(|| format!("its symbol {name} was found in another library"))?;
        let span = base + span.start as usize..base + span.end as usize;
        Ok(SystemImage { library: Some(library), file, base, span })
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Leaves the image open for ever.
    pub(super) fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for SystemImage {
    fn drop(&mut self) {
        drop(self.library.take());
        // SAFETY: asks whether the file is loaded, and loads nothing.
        let again = unsafe { Library::open(Some(&self.file.path), RTLD_NOW | libc::RTLD_NOLOAD) };
        self.file.stays_loaded = again.is_ok();
    }
}

/// A file that is open in the system's loader.
struct OpenFile {
    /// Keeps a copy in memory, and with it the path, from being reused.
    _copy: Option<File>,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    stays_loaded: bool,
}

/// The files that have a VM, or stay loaded.
static LOADED: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

impl OpenFile {
    /// The plugin's own file, or a copy for one that was loaded from memory.
    fn new(path: Option<&Path>, bytes: &[u8]) -> Result<OpenFile, String> {
        let (copy, path, metadata) = match path {
            Some(path) => (None, path.to_owned(), std::fs::metadata(path)),
            None => {
                let copy = file_in_memory(c"dynvm-plugin", bytes)?;
                let path = path_of(&copy);
                let metadata = copy.metadata();
                (Some(copy), path, metadata)
            }
        };
        let metadata = metadata.map_err(|error| format!("{}: {error}", path.display()))?;
        if copy.is_none() && std::fs::read(&path).ok().as_deref() != Some(bytes) {
            return Err("the file was changed after it was read: load it again".to_owned());
        }
        let identity = (metadata.dev(), metadata.ino());
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.contains(&identity) {
            return Err("the system's loader has one image of a plugin for the process, and it is in use or cannot be unloaded: end the other VM \
                        first, or let this loader map it (Loading::Image)"
                .to_owned());
        }
        loaded.push(identity);
        Ok(OpenFile { _copy: copy, path, identity, stays_loaded: false })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.stays_loaded {
            LOADED.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != self.identity);
        }
    }
}

/// Opens the library in which the system's loader finds the hostcalls, once for the process.
fn provide_hostcalls() -> Result<(), String> {
    static LIBRARY: OnceLock<Result<(), String>> = OnceLock::new();
    let open = || {
        let functions = HOSTCALLS
            .iter()
            .filter_map(|hostcall| Some((hostcall.name, hostcall_entries::find(hostcall.name, false)?)));
        let file = file_in_memory(c"dynvm-hostcalls", &import_library::write(functions))?;
        // SAFETY: the library has no code that runs when it is opened.
        let library = unsafe { Library::open(Some(path_of(&file)), RTLD_NOW | RTLD_GLOBAL) };
        // Plugins refer to it for as long as the process lives. The descriptor stays, so that no other file has its path.
        std::mem::forget(library.map_err(|error| crate::with_causes(&error))?);
        std::mem::forget(file);
        Ok(())
    };
    LIBRARY.get_or_init(open).clone()
}

fn file_in_memory(name: &std::ffi::CStr, bytes: &[u8]) -> Result<File, String> {
    let name = CString::from(name);
    // SAFETY: the name is a C string; the descriptor is new.
    let mut file = unsafe {
        match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(format!("no file in memory: {}", std::io::Error::last_os_error())),
            descriptor => File::from_raw_fd(descriptor),
        }
    };
    file.write_all(bytes).map_err(|error| format!("no file in memory: {error}"))?;
    Ok(file)
}

fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}
