//! Linking and mapping with what a program would bind.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use dynvm_image::{Error, Facts, Image, Import, Importer, Linked, Linker, Runtimes};

/// Nothing is bound beyond the system's, but for destructors that would run after the image: they do not run.
pub fn nothing(_: Importer<'_>, import: &Import) -> Option<usize> {
    extern "C" fn ignore() -> i32 {
        0
    }
    let registers = ["__cxa_atexit", "__cxa_thread_atexit", "__cxa_thread_atexit_impl"].contains(&import.name());
    registers.then_some(ignore as *const () as usize)
}

/// The private libraries of this process.
pub fn runtimes() -> &'static Runtimes {
    static RUNTIMES: OnceLock<Runtimes> = OnceLock::new();
    RUNTIMES.get_or_init(|| Runtimes::new(nothing))
}

pub fn link_with(path: &Path, bind: &dyn dynvm_image::Bind) -> Result<Arc<Linked>, Error> {
    let bytes = std::fs::read(path).unwrap();
    let facts = Facts::read(&bytes)?;
    // SAFETY: a file that the test has compiled.
    unsafe { Linker::new(bind).runtimes(runtimes()).path(path).link(facts, &bytes) }
}

pub fn try_link(path: &Path) -> Result<Arc<Linked>, Error> {
    link_with(path, &nothing)
}

pub fn link(path: &Path) -> Arc<Linked> {
    try_link(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Calls a function of an image.
pub fn run(function: usize, [a, b, c, d, e]: [u64; 5]) -> Result<u64, Infallible> {
    // SAFETY: a function of the test's, which takes at most five integers or pointers.
    Ok(unsafe {
        let function: unsafe extern "C-unwind" fn(u64, u64, u64, u64, u64) -> u64 = std::mem::transmute(function);
        function(a, b, c, d, e)
    })
}

/// An image that is ready to be called.
pub fn start(linked: &Arc<Linked>) -> Image {
    let image = Image::map(linked).unwrap();
    let Ok(()) = image.initialize(&mut run);
    image
}

pub fn load(path: &Path) -> Image {
    start(&link(path))
}

/// Ends an image as one that ended well.
pub fn stop(image: Image) {
    let Ok(()) = image.finalize(&mut run);
    image.retire();
}

/// Calls an exported function, whose result is an `int`.
pub fn call(image: &Image, name: &str, argument: u64) -> i32 {
    let function = image.symbol(name).unwrap_or_else(|| panic!("no {name}"));
    let Ok(result) = run(function, [argument, 0, 0, 0, 0]);
    result as i32
}
