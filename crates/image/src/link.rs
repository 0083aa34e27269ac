//! Linking: everything about a module that is the same for all its images is done once.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::bind::{Bind, Importer};
use crate::elf::{Facts, Functions, Import};
use crate::error::Error;
use crate::image::Mapping;
use crate::needed::Library;
use crate::original::Original;
use crate::runtimes::{Runtime, Runtimes, is_private};
use crate::template::{Resolve, Template};
use crate::tls::Owner;
use crate::unwind;

/// The most unused images of a module that are kept for the next ones.
const SPARE: usize = 4;

/// Functions with which an image may change the rights of its own pages, so that it cannot be used a second time.
const CHANGES_RIGHTS: &[&str] = &["mprotect", "pkey_mprotect", "mremap", "remap_file_pages"];

/// Links files: resolves their symbols, and writes what their images have in common to a sealed memory file.
#[derive(Clone, Copy)]
pub struct Linker<'a> {
    bind: &'a dyn Bind,
    runtimes: Option<&'a Runtimes>,
    path: Option<&'a Path>,
    original: Option<&'a Original>,
    maps_file: bool,
    is_visible_to_debuggers: bool,
    importer: Importer<'a>,
    owner: Option<Owner>,
    shared: &'a [&'a Runtime],
}

impl<'a> Linker<'a> {
    /// A linker that asks `bind` first for each symbol.
    pub fn new(bind: &'a dyn Bind) -> Linker<'a> {
        Linker {
            bind,
            runtimes: None,
            path: None,
            original: None,
            maps_file: false,
            is_visible_to_debuggers: false,
            importer: Importer::Plugin,
            owner: None,
            shared: &[],
        }
    }

    /// Sets the private copies of libgcc_s and libstdc++ that images use. Without them, exceptions and backtraces end at the image's frames.
    pub fn runtimes(mut self, runtimes: &'a Runtimes) -> Linker<'a> {
        self.runtimes = Some(runtimes);
        self
    }

    /// Sets where the file is: for the libraries that it needs, for names in backtraces, and for what is read later.
    pub fn path(mut self, path: &'a Path) -> Linker<'a> {
        self.path = Some(path);
        self
    }

    /// Sets the open file that the bytes are from. They may be its [first ones](crate::mapped_size), and the path is not opened.
    pub fn original(mut self, original: &'a Original) -> Linker<'a> {
        self.original = Some(original);
        self
    }

    /// Sets whether the file itself is mapped, not a copy in memory: profilers and valgrind then find its symbols. For development alone: who
    /// overwrites the file changes running images.
    pub fn map_file(mut self, map: bool) -> Linker<'a> {
        self.maps_file = map;
        self
    }

    /// Sets whether gdb lists the images among the process's libraries. Has an effect with glibc 2.35 or newer, and with a path.
    pub fn debugger(mut self, visible: bool) -> Linker<'a> {
        self.is_visible_to_debuggers = visible;
        self
    }

    pub(crate) fn runtime(mut self, name: &'a str, shared: &'a [&'a Runtime]) -> Linker<'a> {
        self.importer = Importer::Runtime(name);
        self.owner = Some(Owner::OtherThreads);
        self.shared = shared;
        self
    }

    /// Links a file. Opens the libraries that it needs; none of the file's own code runs.
    ///
    /// # Errors
    ///
    /// A library or symbol is missing, or the system refuses what is asked of it.
    ///
    /// # Safety
    ///
    /// `facts` were read from `bytes`. The libraries that the file needs are trusted: their constructors run. Addresses that
    /// [`Bind`] gives are of functions and variables that fit their names, and that outlive the images.
    pub unsafe fn link(self, facts: Facts, bytes: &[u8]) -> Result<Arc<Linked>, Error> {
        unwind::prepare();
        let owner = self.owner.unwrap_or(match facts.starts_threads() {
            Some(_) => Owner::Threads,
            None => Owner::Image,
        });
        if facts.has_static_tls && owner != Owner::Image {
            let function = facts.starts_threads().unwrap_or("those of the process use it too").to_owned();
            return Err(Error::StaticTlsWithThreads { function });
        }
        let mut facts = facts;
        let relocations = std::mem::take(&mut facts.relocations);
        let original = self.open(bytes.len()).map_err(|source| Error::System { action: "opening it", source })?;
        let mapped_file = original.as_ref().map(Original::file).filter(|_| self.maps_file);
        if let Some(file) = mapped_file {
            check_content(file, bytes)?;
        }
        // SAFETY: the caller's promise.
        let mut scope = unsafe { Scope::open(&self, &facts, owner)? };
        let file_name = self.path.and_then(Path::file_name).unwrap_or_default();
        let template = Template::build(&facts, &relocations, bytes, owner, mapped_file, file_name, &mut scope)?;
        let path = self.path.map(|path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
        let name = path.as_deref().map(|path| path.as_os_str().as_bytes()).unwrap_or_default();
        let is_reusable = owner == Owner::Image
            && mapped_file.is_none()
            && !facts.has_static_tls
            && !template.has_resolvers()
            && !CHANGES_RIGHTS.iter().any(|function| facts.does_import(function));
        let functions = match original {
            Some(_) => OnceLock::new(),
            None => Functions::read(bytes).into(),
        };
        Ok(Arc::new(Linked {
            original,
            functions,
            module: Arc::new(Module { name: CString::new(name).unwrap_or_default(), facts }),
            template,
            owner,
            is_reusable,
            is_visible_to_debuggers: self.is_visible_to_debuggers,
            spare: Mutex::new(Vec::new()),
        }))
    }

    /// The file that the bytes are from; `None` if the path has become another one's.
    fn open(&self, size: usize) -> io::Result<Option<Original>> {
        if let Some(original) = self.original {
            return Ok(Some(original.clone()));
        }
        let opened = self.path.map(|path| Original::new(File::open(path)?)).transpose()?;
        Ok(opened.filter(|original| self.maps_file || original.size() == size as u64))
    }
}

/// A file that is mapped has the bytes that were read.
fn check_content(file: &File, bytes: &[u8]) -> Result<(), Error> {
    let mut content = vec![0; bytes.len()];
    match file.read_exact_at(&mut content, 0) {
        Ok(()) if content == bytes => Ok(()),
        _ => Err(Error::Changed),
    }
}

/// An exception cannot pass between the private libstdc++ and the system's.
fn check_runtime(linker: &Linker<'_>, facts: &Facts, name: &str, library: Library) -> Result<(), Error> {
    const CPP: &str = "libstdc++.so.6";
    let uses = |needed: &[String]| needed.iter().any(|name| name == CPP);
    if linker.runtimes.is_some() && uses(facts.needed()) && uses(&library.needed(name)) {
        return Err(Error::TwoCppRuntimes { library: name.to_owned() });
    }
    Ok(())
}

/// Where symbols are looked up.
struct Scope<'a> {
    linker: &'a Linker<'a>,
    facts: &'a Facts,
    owner: Owner,
    runtimes: Vec<&'a Runtime>,
    libraries: Vec<Library>,
    resolved: Vec<Option<u64>>,
}

impl<'a> Scope<'a> {
    /// Opens the libraries that the file needs.
    unsafe fn open(linker: &'a Linker<'a>, facts: &'a Facts, owner: Owner) -> Result<Scope<'a>, Error> {
        let mut runtimes = linker.shared.to_vec();
        let mut libraries = Vec::new();
        for needed in facts.needed_files(linker.path)? {
            match linker.runtimes {
                Some(private) if is_private(&needed.name) => runtimes.push(private.get(&needed.name)?),
                // The private copies are given.
                None if linker.shared.iter().any(|runtime| runtime.name() == needed.name) => {}
                _ => {
                    // SAFETY: the caller's promise.
                    let library = unsafe { Library::open(&needed)? };
                    check_runtime(linker, facts, &needed.name, library)?;
                    libraries.push(library);
                }
            }
        }
        Ok(Scope { linker, facts, owner, runtimes, libraries, resolved: vec![None; facts.imports().len()] })
    }

    fn find(&self, import: &'a Import) -> Option<usize> {
        if import.name() == "__tls_get_addr" {
            return Some(self.owner.get_address());
        }
        if let Some(address) = self.linker.bind.bind(self.linker.importer, import) {
            return Some(address);
        }
        if let Some(address) = self.interposed(import.name()) {
            return Some(address);
        }
        let found = self.runtimes(import).find_map(|runtime| runtime.find(import));
        if found.is_some() || (import.library().is_some() && self.runtimes(import).next().is_some()) {
            // A symbol of a private copy is never the system's: the two do not fit each other.
            return found;
        }
        std::iter::once(&Library::PROCESS).chain(&self.libraries).find_map(|library| library.find(import))
    }

    fn runtimes(&self, import: &'a Import) -> impl Iterator<Item = &'a Runtime> {
        self.runtimes.iter().copied().filter(|runtime| import.library().is_none_or(|name| name == runtime.name()))
    }

    /// What unwinders and backtraces ask the system's loader.
    fn interposed(&self, name: &str) -> Option<usize> {
        Some(match name {
            "_dl_find_object" => unwind::find_object as *const () as usize,
            "dl_iterate_phdr" if self.linker.importer == Importer::Plugin => {
                unwind::iterate_headers as *const () as usize
            }
            "dl_iterate_phdr" => unwind::iterate_headers_for_unwinder as *const () as usize,
            "dladdr" => unwind::describe_address as *const () as usize,
            _ => return None,
        })
    }
}

impl Resolve for Scope<'_> {
    fn address(&mut self, index: u32) -> Result<u64, Error> {
        if let Some(address) = self.resolved[index as usize] {
            return Ok(address);
        }
        let import = &self.facts.imports()[index as usize];
        let address = match self.find(import) {
            Some(address) => address as u64,
            None if import.is_weak() => 0,
            None => {
                return Err(Error::Unresolved {
                    symbol: import.name().to_owned(),
                    version: import.version().map(str::to_owned),
                    library: import.library().map(str::to_owned),
                });
            }
        };
        self.resolved[index as usize] = Some(address);
        Ok(address)
    }

    fn thread_local(&mut self, index: u32) -> Result<(u64, u64), Error> {
        let import = &self.facts.imports()[index as usize];
        let found = self.runtimes(import).find_map(|runtime| runtime.find_thread_local(import));
        found.ok_or_else(|| Error::ForeignThreadLocal { symbol: import.name().to_owned() })
    }
}

/// What is known of a module while one of its images is mapped.
#[derive(Debug)]
pub(crate) struct Module {
    /// The file's path, or empty.
    pub(crate) name: CString,
    pub(crate) facts: Facts,
}

/// A linked module, of which images are mapped.
#[derive(Debug)]
pub struct Linked {
    pub(crate) module: Arc<Module>,
    pub(crate) template: Template,
    pub(crate) owner: Owner,
    pub(crate) is_reusable: bool,
    pub(crate) is_visible_to_debuggers: bool,
    original: Option<Original>,
    functions: OnceLock<Functions>,
    /// Images that were used and reset.
    spare: Mutex<Vec<Mapping>>,
}

impl Linked {
    /// Facts of the file.
    pub fn facts(&self) -> &Facts {
        &self.module.facts
    }

    /// The file's functions by address, read when this is first called: of a file that was linked with its path, from the file, if it is
    /// still the same one.
    pub fn functions(&self) -> &Functions {
        let read = || self.original.as_ref().and_then(Original::read).map(|bytes| Functions::read(&bytes));
        self.functions.get_or_init(|| read().unwrap_or_default())
    }

    /// Bytes in memory that all images share.
    pub fn shared_size(&self) -> u64 {
        self.template.size()
    }

    pub(crate) fn take_spare(&self) -> Option<Mapping> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn keep_spare(&self, mapping: Mapping) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(mapping);
        } else {
            // Unmapped outside of the lock.
            drop(spare);
            drop(mapping);
        }
    }
}
