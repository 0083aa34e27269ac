//! Private copies of the libraries that throw, catch and walk stacks.
//!
//! libgcc_s asks the system's loader where an address lies, and the system's loader does not know images. So images are bound to copies of
//! libgcc_s and libstdc++ that this crate has mapped, once, and that ask it instead. The rest of the process keeps the system's.

use std::convert::Infallible;
use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::bind::Bind;
use crate::elf::{Facts, Import, SymbolKind};
use crate::error::Error;
use crate::image::Image;
use crate::link::Linker;
use crate::needed::{Library, Needed};

/// The libraries, each behind those that it needs.
const NAMES: [&str; 2] = ["libgcc_s.so.1", "libstdc++.so.6"];

/// The private copies of `libgcc_s.so.1` and `libstdc++.so.6`, for all images of a process. Each is mapped when a file first needs it, and
/// stays for as long as the process.
pub struct Runtimes {
    bind: Box<dyn Bind + Send + Sync>,
    loaded: Mutex<[Option<&'static Runtime>; NAMES.len()]>,
}

/// One private copy.
#[derive(Debug)]
pub(crate) struct Runtime {
    name: &'static str,
    image: Image,
}

/// True if images get a private copy of a library.
pub(crate) fn is_private(library: &str) -> bool {
    NAMES.contains(&library)
}

impl Runtimes {
    /// Takes what the libraries' own undefined symbols are bound to. A plugin's `operator new` is libstdc++'s, so that it ends in what `malloc`
    /// is bound to here.
    ///
    /// What is given is called for all plugins, and also while no plugin runs. What libstdc++ allocates once for the whole process, such as its
    /// list of time zones, comes from there too, and may not be freed with the VM that was the first to ask for it.
    pub fn new(bind: impl Bind + Send + Sync + 'static) -> Runtimes {
        Runtimes { bind: Box::new(bind), loaded: Mutex::default() }
    }

    /// The functions of the private libgcc_s that walk stacks.
    ///
    /// # Errors
    ///
    /// The system has no libgcc_s, or it cannot be mapped.
    pub fn unwinder(&self) -> Result<Unwinder, Error> {
        let runtime = self.get(NAMES[0])?;
        let function = |name: &str| {
            let missing =
                || Error::Unresolved { symbol: name.to_owned(), version: None, library: Some(NAMES[0].to_owned()) };
            runtime.image.symbol(name).ok_or_else(missing)
        };
        let unwinder = Unwinder {
            walk: function("_Unwind_Backtrace")?,
            address: function("_Unwind_GetIPInfo")?,
            frame: function("_Unwind_GetCFA")?,
            language_data: function("_Unwind_GetLanguageSpecificData")?,
            enclosing: function("_Unwind_FindEnclosingFunction")?,
        };
        // The first walk initialises libgcc's tables; a signal handler must not be the first.
        unwinder.walk(&mut |_| false);
        Ok(unwinder)
    }

    /// The private copy of a library such as `libstdc++.so.6`, if a file has needed it so far: for functions of it that the program itself
    /// calls, and to know which addresses are its.
    pub fn image(&self, library: &str) -> Option<&'static Image> {
        let index = NAMES.iter().position(|name| *name == library)?;
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded[index].map(|runtime| &runtime.image)
    }

    /// The private copy of a library, mapped now if it was not yet.
    pub(crate) fn get(&self, name: &str) -> Result<&'static Runtime, Error> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before: Vec<&Runtime> = Vec::new();
        for (slot, own) in loaded.iter_mut().zip(NAMES) {
            let runtime = match *slot {
                Some(runtime) => runtime,
                None => *slot.insert(Runtime::load(own, &*self.bind, &before)?),
            };
            if own == name {
                return Ok(runtime);
            }
            before.push(runtime);
        }
        Err(Error::Library { name: name.to_owned(), reason: "it has no private copy".to_owned() })
    }
}

impl std::fmt::Debug for Runtimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtimes").finish_non_exhaustive()
    }
}

impl Runtime {
    fn load(name: &'static str, bind: &dyn Bind, before: &[&Runtime]) -> Result<&'static Runtime, Error> {
        let path = find(name)?;
        let bytes =
            std::fs::read(&path).map_err(|source| Error::System { action: "reading libgcc_s or libstdc++", source })?;
        let facts = Facts::read(&bytes)?;
        // SAFETY: a library of the system, which trusts those that it needs; what is bound is its caller's promise.
        let linked = unsafe { Linker::new(bind).path(&path).runtime(name, before).link(facts, &bytes)? };
        let image = Image::map(&linked)?;
        let initialized = image.initialize::<Infallible>(&mut |function, arguments| {
            // SAFETY: a constructor of a library of the system.
            Ok(unsafe { call(function, arguments) })
        });
        match initialized {
            Ok(()) => {}
            Err(never) => match never {},
        }
        Ok(Box::leak(Box::new(Runtime { name, image })))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The address of a symbol.
    pub(crate) fn find(&self, import: &Import) -> Option<usize> {
        let export = self.image.linked().facts().export_of_version(import.name(), import.version())?;
        export.has_place().then(|| self.image.address(export.address()))
    }

    /// What finds the blocks of thread-local variables, and the offset of a variable in them.
    pub(crate) fn find_thread_local(&self, import: &Import) -> Option<(u64, u64)> {
        let linked = self.image.linked();
        let export = linked.facts().export_of_version(import.name(), import.version())?;
        let control = linked.template.thread_locals.as_ref()?.control?;
        let is_thread_local = export.kind() == SymbolKind::ThreadLocal;
        is_thread_local.then(|| (self.image.address(control) as u64, export.address()))
    }
}

/// Where the system's loader finds a library. It is opened for that, and stays open.
fn find(name: &str) -> Result<PathBuf, Error> {
    let needed = Needed { name: name.to_owned(), path: None };
    // SAFETY: a library of the system.
    let library = unsafe { Library::open(&needed)? };
    let unknown = || Error::Library { name: name.to_owned(), reason: "the system does not say where it is".to_owned() };
    library.path().filter(|path| path.is_absolute()).ok_or_else(unknown)
}

/// # Safety
///
/// The function takes at most five integers or pointers.
unsafe fn call(function: usize, a: [u64; 5]) -> u64 {
    // SAFETY: the caller's promise. Surplus arguments are in registers, which a C function may ignore.
    unsafe {
        let function: unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64 = transmute(function);
        function(a[0], a[1], a[2], a[3], a[4])
    }
}

/// Walks stacks with frames of images: the private libgcc_s's `_Unwind_Backtrace`. Takes no lock and allocates nothing, so that a signal
/// handler may use it.
#[derive(Clone, Copy, Debug)]
pub struct Unwinder {
    walk: usize,
    address: usize,
    frame: usize,
    language_data: usize,
    enclosing: usize,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Where the frame goes on: behind the call that it made, or at the instruction that a signal interrupted.
    pub address: usize,
    /// True if a signal interrupted the frame.
    pub is_interrupted: bool,
    /// Where the frame's stack began when its function was called (`_Unwind_GetCFA`).
    pub frame: usize,
    /// What the frame's function does when it is unwound (`_Unwind_GetLanguageSpecificData`); 0: nothing.
    pub language_data: usize,
}

struct Walk<'a> {
    unwinder: Unwinder,
    visit: &'a mut dyn FnMut(Frame) -> bool,
}

impl Unwinder {
    /// The beginning of the function that has an instruction; 0: it is in none that is known.
    pub fn function_of(&self, instruction: usize) -> usize {
        type Function = unsafe extern "C" fn(usize) -> usize;
        // SAFETY: the function's type is that of libgcc's, which looks up the byte before.
        unsafe { transmute::<usize, Function>(self.enclosing)(instruction.wrapping_add(1)) }
    }

    /// Shows the frames of this thread, innermost first, from the caller on, until `visit` returns false. On a damaged stack the walk may
    /// fault.
    #[inline(never)]
    pub fn walk(&self, visit: &mut dyn FnMut(Frame) -> bool) {
        type Function = unsafe extern "C" fn(extern "C" fn(*mut c_void, *mut c_void) -> c_int, *mut c_void) -> c_int;
        let mut walk = Walk { unwinder: *self, visit };
        // SAFETY: the function's type is that of libgcc's. The callback gets the walk back, which outlives the call.
        unsafe { transmute::<usize, Function>(self.walk)(show, (&raw mut walk).cast()) };
    }
}

extern "C" fn show(context: *mut c_void, walk: *mut c_void) -> c_int {
    const NO_REASON: c_int = 0;
    const END_OF_STACK: c_int = 5;
    type Address = unsafe extern "C" fn(*mut c_void, *mut c_int) -> usize;
    type Start = unsafe extern "C" fn(*mut c_void) -> usize;
    // SAFETY: the unwinder passes its context and what it was given; the functions' types are those of libgcc's.
    let (walk, frame) = unsafe {
        let walk = &mut *walk.cast::<Walk<'_>>();
        let mut interrupted = 0;
        let address = transmute::<usize, Address>(walk.unwinder.address)(context, &mut interrupted);
        let frame = transmute::<usize, Start>(walk.unwinder.frame)(context);
        let language_data = transmute::<usize, Start>(walk.unwinder.language_data)(context);
        (walk, Frame { address, is_interrupted: interrupted != 0, frame, language_data })
    };
    if (walk.visit)(frame) { NO_REASON } else { END_OF_STACK }
}
