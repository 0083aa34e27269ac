//! Maps ELF shared objects into the process without the system's loader: linked once, then mapped privately as often as needed, each image
//! with its own variables.
//!
//! `dlopen` gives a process one copy of a library. DynVM needs one for each VM: with private statics and thread-local variables, its
//! undefined symbols bound to the VM's host, constructors that run guarded, in microseconds, and gone without a trace when the VM ends. So
//! this crate does what a loader does, in two steps:
//!
//! ```text
//!   bytes -- Facts::read ---> Facts     what is in the file; refusals with a reason
//!         -- Linker::link --> Linked    symbols resolved once; a sealed memory file, relocated as far as all images agree
//!         -- Image::map ----> Image     a few mmap calls, and one addition for each pointer
//! ```
//!
//! ```no_run
//! use std::path::Path;
//! use dynvm_image::{Facts, Image, Import, Importer, Linker, Runtimes};
//!
//! extern "C" fn log(level: u32) {
//!     println!("the plugin logs at level {level}");
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = Path::new("plugin.so");
//! let bytes = std::fs::read(path)?;
//! let facts = Facts::read(&bytes)?;
//!
//! // Here a program decides whether it trusts the file and the libraries that it brings along.
//! for library in facts.needed_files(Some(path))? {
//!     println!("needs {} at {:?}", library.name, library.path);
//! }
//!
//! let bind = |_: Importer<'_>, import: &Import| match import.name() {
//!     "proxy_log" => Some(log as *const () as usize),
//!     _ => None,
//! };
//! // One for the process.
//! let runtimes = Runtimes::new(bind);
//! // SAFETY: the plugin is trusted, and `log` has the type that it expects.
//! let linked = unsafe { Linker::new(&bind).runtimes(&runtimes).path(path).link(facts, &bytes)? };
//!
//! let image = Image::map(&linked)?;
//! // How code of the image is called is the program's choice: guarded, if it can.
//! let mut run = |function: usize, [a, b, c, d, e]: [u64; 5]| -> Result<u64, String> {
//!     // SAFETY: a function of the plugin that takes at most five integers or pointers.
//!     let function: unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64 = unsafe { std::mem::transmute(function) };
//!     Ok(unsafe { function(a, b, c, d, e) })
//! };
//! image.initialize(&mut run)?;
//! let start = image.symbol("proxy_on_vm_start").ok_or("no such function")?;
//! run(start, [1, 0, 0, 0, 0])?;
//! image.finalize(&mut run)?;
//! image.retire();
//! # Ok(())
//! # }
//! ```
//!
//! # What differs from `dlopen`
//!
//! - A symbol that the file defines is the file's own, always. Undefined symbols go first to [`Bind`], then to the libraries that the file
//!   needs, in the version that it asks for.
//! - Libraries that the file needs are opened by the system's loader, once for the process. libgcc_s and libstdc++ are exceptions:
//!   [`Runtimes`]. A library that is not the system's is opened in a child process first: one whose constructors crash or never end is an
//!   error.
//! - `dl_iterate_phdr`, `dladdr` and `_dl_find_object` find images when an image calls them, not when another library does; `dlsym` never
//!   does.
//! - Destructors that an image registers with the system (`__cxa_atexit`, `__cxa_thread_atexit_impl`, `__cxa_thread_atexit`) run after it
//!   is unmapped, unless the program binds these names and runs them before, or [leaks](Image::leak) the image.
//! - An exception cannot pass between an image and a C++ library that the system's loader has opened for it, since each has its own
//!   libstdc++. A C++ plugin that needs such a library is refused.
//! - Nothing is written to a file system.
//!
//! # Threads
//!
//! An image takes its thread-local variables along, so that it can be called on one thread now and on another later, but on one at a time.
//! [`Facts::pinned`] names the exceptions. Mapping and unmapping take no lock for longer than a table of addresses is changed, and none
//! while code of an image runs.
//!
//! # Platforms
//!
//! The crate is for Linux on x86-64 and aarch64, and empty elsewhere. Two copies of it in a process are independent.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod bind;
mod debugger;
mod elf;
mod error;
mod image;
mod link;
mod needed;
mod original;
mod runtimes;
mod template;
mod tls;
mod trial;
mod unwind;

pub use bind::{Bind, Importer};
pub use elf::{Export, Facts, Functions, Import, MACHINE, Pinned, SymbolKind, mapped_size};
pub use error::Error;
pub use image::{Image, Run};
pub use link::{Linked, Linker};
pub use needed::Needed;
pub use original::Original;
pub use runtimes::{Frame, Runtimes, Unwinder};
