//! The libraries that a file needs, and where they are.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::elf::{Facts, Import};
use crate::error::Error;
use crate::trial;

/// A library that a file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needed {
    /// The name in the file.
    pub name: String,
    /// Where the file itself says that it is; `None`: where the system's loader looks.
    pub path: Option<PathBuf>,
}

/// Libraries that come with the system's loader and compiler. They are the system's, whatever folders the file names.
const OF_THE_SYSTEM: &[&str] =
    &["ld-linux", "libc.so.", "libdl.so.", "libgcc_s.so.", "libm.so.", "libpthread.so.", "librt.so.", "libstdc++.so."];

impl Facts {
    /// The libraries that will be opened when the file is linked. `path` is where the plugin's file is; `None`: nowhere, it was loaded from
    /// memory.
    ///
    /// Nothing is opened here, so that a program can first decide whether it trusts them.
    ///
    /// # Errors
    ///
    /// The file looks for a library in a folder relative to itself or to the working directory, and this cannot be followed.
    pub fn needed_files(&self, path: Option<&Path>) -> Result<Vec<Needed>, Error> {
        let origin = path.and_then(|path| Some(std::fs::canonicalize(path).ok()?.parent()?.to_owned()));
        let folders = Folders { origin: origin.as_deref(), folders: self.library_folders() };
        self.needed().iter().map(|name| Ok(Needed { name: name.clone(), path: folders.find(name)? })).collect()
    }
}

/// True for libraries of the C library and of the compiler.
fn is_of_the_system(name: &str) -> bool {
    OF_THE_SYSTEM.iter().any(|known| name.starts_with(known))
}

struct Folders<'a> {
    origin: Option<&'a Path>,
    folders: &'a [String],
}

impl Folders<'_> {
    fn find(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        if is_of_the_system(name) {
            return Ok(None);
        }
        if name.contains('/') {
            return self.expand(name, name).map(Some);
        }
        for folder in self.folders {
            let path = self.expand(name, folder)?.join(name);
            if path.is_file() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// A path of the file, with the folder of the plugin in place of `$ORIGIN`.
    fn expand(&self, name: &str, path: &str) -> Result<PathBuf, Error> {
        // Who loads from memory has no file whose owner answers for the folders that it names.
        let none = || Error::NoOrigin { name: name.to_owned(), folder: path.to_owned() };
        let origin = self.origin.ok_or_else(none)?;
        let rest = ["$ORIGIN", "${ORIGIN}"].into_iter().find_map(|token| path.strip_prefix(token));
        let expanded = match rest {
            Some(rest) => {
                let mut expanded = origin.as_os_str().to_owned();
                expanded.push(rest);
                PathBuf::from(expanded)
            }
            None => PathBuf::from(path),
        };
        if !expanded.is_absolute() {
            return Err(Error::RelativePath { path: path.to_owned() });
        }
        Ok(expanded)
    }
}

/// A library that the system's loader has opened. It stays open: images refer to it by address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library(*mut c_void);

impl Library {
    /// What the whole process shares.
    pub(crate) const PROCESS: Library = Library(libc::RTLD_DEFAULT);

    /// Opens a library.
    ///
    /// # Safety
    ///
    /// Its constructors run: it is trusted.
    pub(crate) unsafe fn open(needed: &Needed) -> Result<Library, Error> {
        let bytes = needed.path.as_ref().map_or(needed.name.as_bytes(), |path| path.as_os_str().as_bytes());
        let failed = |reason| Error::Library { name: needed.name.clone(), reason };
        let name = CString::new(bytes).map_err(|_| failed("its name has a zero in it".to_owned()))?;
        if !is_of_the_system(&needed.name) {
            // SAFETY: the caller's promise.
            unsafe { trial::open(&name) }
                .map_err(|reason| Error::Constructors { library: needed.name.clone(), reason })?;
        }
        // SAFETY: the caller's promise. An error's text is copied before anything else is called.
        unsafe {
            let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            if handle.is_null() {
                let text = libc::dlerror();
                let text = if text.is_null() { c"" } else { CStr::from_ptr(text) };
                return Err(failed(text.to_string_lossy().into_owned()));
            }
            Ok(Library(handle))
        }
    }

    /// The libraries that this one needs, as far as they can be read; of those that come with the system, none.
    pub(crate) fn needed(self, name: &str) -> Vec<String> {
        if is_of_the_system(name) {
            return Vec::new();
        }
        let facts = self.path().and_then(|path| Facts::read(&std::fs::read(path).ok()?).ok());
        facts.map_or(Vec::new(), |facts| facts.needed().to_vec())
    }

    /// The address of a symbol, in the version that the import asks for.
    pub(crate) fn find(self, import: &Import) -> Option<usize> {
        let name = CString::new(import.name()).ok()?;
        let version = import.version().map(CString::new).transpose().ok()?;
        // SAFETY: looks up a name in an open library.
        let address = unsafe {
            match version {
                Some(version) => find_version(self.0, &name, &version),
                None => libc::dlsym(self.0, name.as_ptr()),
            }
        };
        (!address.is_null()).then_some(address as usize)
    }

    /// Where the system's loader found the library.
    #[cfg(target_env = "gnu")]
    pub(crate) fn path(self) -> Option<PathBuf> {
        use std::ffi::{OsStr, c_char};

        /// The beginning of `struct link_map`.
        #[repr(C)]
        struct LinkMap {
            base: usize,
            name: *const c_char,
        }

        let mut map: *const LinkMap = std::ptr::null();
        // SAFETY: the library is open; its link map and the name in it live as long.
        unsafe {
            if libc::dlinfo(self.0, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) != 0 || map.is_null() {
                return None;
            }
            let name = CStr::from_ptr((*map).name);
            Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
        }
    }

    /// Where the system's loader found the library.
    #[cfg(not(target_env = "gnu"))]
    pub(crate) fn path(self) -> Option<PathBuf> {
        None
    }
}

#[cfg(target_env = "gnu")]
unsafe fn find_version(library: *mut c_void, name: &CStr, version: &CStr) -> *mut c_void {
    // SAFETY: looks up a name in an open library.
    unsafe { libc::dlvsym(library, name.as_ptr(), version.as_ptr()) }
}

/// Other C libraries than glibc have no versions.
#[cfg(not(target_env = "gnu"))]
unsafe fn find_version(library: *mut c_void, name: &CStr, _: &CStr) -> *mut c_void {
    // SAFETY: looks up a name in an open library.
    unsafe { libc::dlsym(library, name.as_ptr()) }
}
