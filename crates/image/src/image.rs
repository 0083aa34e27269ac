//! One private mapping of a module.

use std::ffi::{c_char, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use crate::debugger;
use crate::elf::Page;
use crate::error::Error;
use crate::link::Linked;
use crate::template::{Piece, Template};
use crate::tls::{Control, thread_pointer};
use crate::unwind::Record;
use crate::unwind::table::Registration;

/// Calls a function of an image with at most five integers or pointers, and returns its result.
pub type Run<'a, E> = dyn FnMut(usize, [u64; 5]) -> Result<u64, E> + 'a;

/// An image in memory. Unmapped when dropped; nothing of it runs then.
#[derive(Debug)]
pub struct Image {
    // Before the module, which it was made from.
    mapping: Mapping,
    linked: Arc<Linked>,
}

impl Image {
    /// Maps a module. Nothing of it runs; [`Image::initialize`] comes next.
    ///
    /// # Errors
    ///
    /// The system has no memory or no mappings left.
    pub fn map(linked: &Arc<Linked>) -> Result<Image, Error> {
        let mapping = match linked.take_spare() {
            Some(mapping) => mapping,
            None => Mapping::new(linked)?,
        };
        Ok(Image { mapping, linked: linked.clone() })
    }

    /// Runs what has to run before the image is used: resolvers of functions, then constructors. Stops at the first error.
    ///
    /// `run` calls a function of the image. Nothing is locked meanwhile, so that a call may also be abandoned.
    ///
    /// # Errors
    ///
    /// An error of `run`.
    pub fn initialize<E>(&self, run: &mut Run<'_, E>) -> Result<(), E> {
        let words = &self.linked.template.words;
        for (at, function) in &words.resolvers {
            let address = run(self.address(u64::from(*function)), resolver_arguments())?;
            // SAFETY: checked when the file was read: a word of a segment that can be written to, which is so until the end of this function.
            unsafe { (self.address(u64::from(*at)) as *mut usize).write_unaligned(address as usize) }
        }
        if self.linked.template.has_resolvers() {
            // Should the system refuse it, the image still works.
            let _ = self.mapping.protect(&self.linked.template);
        }
        for function in self.constructors() {
            run(function, constructor_arguments())?;
        }
        Ok(())
    }

    /// Runs destructors. Stops at the first error.
    ///
    /// # Errors
    ///
    /// An error of `run`.
    pub fn finalize<E>(&self, run: &mut Run<'_, E>) -> Result<(), E> {
        for function in self.destructors() {
            run(function, [0; 5])?;
        }
        Ok(())
    }

    /// The addresses of its constructors, in the order in which they run.
    fn constructors(&self) -> Vec<usize> {
        let hooks = &self.linked.facts().hooks;
        let first = hooks.init.map(|at| self.address(at));
        first.into_iter().chain(self.functions(&hooks.init_array)).collect()
    }

    /// The addresses of its destructors, in the order in which they run.
    fn destructors(&self) -> Vec<usize> {
        let hooks = &self.linked.facts().hooks;
        let last = hooks.fini.map(|at| self.address(at));
        self.functions(&hooks.fini_array).into_iter().rev().chain(last).collect()
    }

    fn functions(&self, array: &Range<u64>) -> Vec<usize> {
        let words = (array.start..array.end).step_by(8).map(|at| self.address(at) as *const usize);
        // SAFETY: checked when the file was read: the array lies in a segment, and is aligned.
        let functions = words.map(|word| unsafe { word.read() });
        // 0 and -1 mark what was never filled in.
        functions.filter(|function| *function != 0 && *function != usize::MAX).collect()
    }

    /// What addresses in the file are relative to.
    pub fn base(&self) -> usize {
        self.mapping.base
    }

    /// The addresses that the image takes: its segments, and its thread-local variables.
    pub fn span(&self) -> Range<usize> {
        let pages = &self.linked.template.pages;
        self.address(pages.start)..self.address(pages.end)
    }

    /// The address of something in the file.
    pub fn address(&self, offset: u64) -> usize {
        self.mapping.base.wrapping_add(offset as usize)
    }

    /// The address of a function or variable that the image exports: not of one that is thread-local or [indirect](crate::SymbolKind).
    pub fn symbol(&self, name: &str) -> Option<usize> {
        let export = self.linked.facts().export(name).filter(|export| export.has_place())?;
        Some(self.address(export.address()))
    }

    /// The module.
    pub fn linked(&self) -> &Arc<Linked> {
        &self.linked
    }

    /// Gives the image up for reuse: its next user finds it as newly mapped, and sooner than that. An image that cannot be reused is unmapped.
    ///
    /// For an image that ended well: all its callbacks have returned, its destructors have run, and nothing refers to it.
    pub fn retire(self) {
        let Image { mapping, linked } = self;
        if linked.is_reusable && mapping.reset(&linked.template).is_ok() {
            linked.keep_spare(mapping);
        }
    }

    /// Leaves the image mapped for ever: for one that something may still refer to.
    pub fn leak(self) {
        std::mem::forget(self);
    }
}

/// Up to this size, pages are written anew: that takes less time than giving them to the system, and then a page fault for each.
const REWRITE: usize = 32 * 1024;

/// The pages of an image, and its entry in the table of images.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: usize,
    // Gone before the pages are.
    debugger: Option<debugger::Entry>,
    registration: Option<Registration>,
    _reserved: Reserved,
}

/// A range of addresses. Unmapped when dropped.
#[derive(Debug)]
struct Reserved(Range<usize>);

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: mapped by `reserve`, and nobody uses it any more.
        unsafe { libc::munmap(self.0.start as *mut c_void, self.0.len()) };
    }
}

impl Mapping {
    fn new(linked: &Linked) -> Result<Mapping, Error> {
        let template = &linked.template;
        let page = Page::system().0;
        let len = template.pages.end - template.pages.start;
        // The system aligns to pages.
        let slack = template.alignment - page;
        let reserved = reserve((len + slack) as usize)?;
        let lowest = (reserved.0.start as u64).wrapping_sub(template.pages.start);
        let base = lowest.next_multiple_of(template.alignment) as usize;
        let mut mapping = Mapping { base, debugger: None, registration: None, _reserved: reserved };
        for piece in &template.pieces {
            mapping.map(template, piece)?;
        }
        mapping.relocate(linked);
        if !template.has_resolvers() {
            mapping.protect(template)?;
        }
        mapping.register(linked);
        Ok(mapping)
    }

    fn at(&self, offset: u64) -> usize {
        self.base.wrapping_add(offset as usize)
    }

    fn map(&self, template: &Template, piece: &Piece) -> Result<(), Error> {
        let len = (piece.pages.end - piece.pages.start) as usize;
        let address = self.at(piece.pages.start) as *mut c_void;
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE;
        let (flags, descriptor, offset) = match template.descriptor(piece) {
            Some((descriptor, offset)) => (flags, descriptor, offset),
            None => (flags | libc::MAP_ANONYMOUS, -1, 0),
        };
        // Code is never made executable by mprotect, which a process may be forbidden (PR_SET_MDWE).
        // SAFETY: replaces a part of the range that was reserved for the image.
        let mapped = unsafe { libc::mmap(address, len, piece.protection, flags, descriptor, offset) };
        if mapped == libc::MAP_FAILED { Err(Error::last_os("mapping a segment")) } else { Ok(()) }
    }

    /// Writes what depends on where the image is mapped.
    fn relocate(&self, linked: &Linked) {
        let template = &linked.template;
        let words = &template.words;
        if let (Some(first), Some(last)) = (words.add_base.first(), words.add_base.last()) {
            self.populate(u64::from(*first), u64::from(*last) + 8);
        }
        // SAFETY: checked when the file was read: all lie in segments that can be written to.
        unsafe {
            for zeros in &template.zeros {
                ptr::write_bytes(self.at(zeros.start) as *mut u8, 0, (zeros.end - zeros.start) as usize);
            }
            for (at, value) in &words.constants {
                (self.at(u64::from(*at)) as *mut u64).write_unaligned(*value);
            }
            self.add(&words.add_base, self.base);
            if !words.add_base_to_thread.is_empty() {
                self.add(&words.add_base_to_thread, self.base.wrapping_sub(thread_pointer()));
            }
            if let Some(area) = &template.thread_locals
                && let Some(control) = area.control
            {
                let (block, initial) = (self.at(area.block), self.at(area.initial.start));
                let initial_size = (area.initial.end - area.initial.start) as usize;
                let value = Control::new(linked.owner, block, initial, initial_size, area.layout);
                (self.at(control) as *mut Control).write(value);
            }
        }
    }

    /// Has the pages in memory at once, where that is cheaper than a fault for each. Does nothing on Linux before 5.14.
    fn populate(&self, first: u64, end: u64) {
        let page = Page::system();
        let (start, end) = (page.floor(first), page.ceil(end));
        // SAFETY: the pages are the image's own.
        unsafe {
            libc::madvise(self.at(start) as *mut c_void, (end - start) as usize, libc::MADV_POPULATE_WRITE);
        }
    }

    /// # Safety
    ///
    /// All words lie in pages of the image that can be written to.
    unsafe fn add(&self, words: &[u32], value: usize) {
        for at in words {
            let word = self.at(u64::from(*at)) as *mut usize;
            // SAFETY: the caller's promise.
            unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(value)) }
        }
    }

    /// Makes read-only what is so after relocation.
    fn protect(&self, template: &Template) -> Result<(), Error> {
        let Some(range) = &template.read_only else { return Ok(()) };
        let len = (range.end - range.start) as usize;
        // SAFETY: the pages are the image's own.
        match unsafe { libc::mprotect(self.at(range.start) as *mut c_void, len, libc::PROT_READ) } {
            0 => Ok(()),
            _ => Err(Error::last_os("protecting a segment")),
        }
    }

    fn register(&mut self, linked: &Linked) {
        let facts = linked.facts();
        let span = facts.span();
        let thread_locals = linked.template.thread_locals.as_ref().map_or(0, |area| self.at(area.block));
        let record = Record { base: self.base, thread_locals, module: linked.module.clone() };
        let unwind_table = facts.unwind_table.map_or(0, |at| self.at(at));
        let range = self.at(span.start)..self.at(span.end);
        self.registration = Some(Registration::new(range, unwind_table, Arc::new(record)));
        if linked.is_visible_to_debuggers {
            self.debugger = debugger::Entry::new(self.base, self.at(facts.dynamic_at), &linked.module.name);
        }
    }

    /// Puts back what the image may have changed: all that can be written to.
    fn reset(&self, template: &Template) -> Result<(), Error> {
        let read_only = template.read_only.clone().unwrap_or(0..0);
        for piece in template.pieces.iter().filter(|piece| piece.protection & libc::PROT_WRITE != 0) {
            let before = piece.pages.start..piece.pages.end.min(read_only.start);
            let behind = piece.pages.start.max(read_only.end)..piece.pages.end;
            for pages in [before, behind].into_iter().filter(|pages| !pages.is_empty()) {
                self.reset_pages(template, piece, pages)?;
            }
        }
        let words = &template.words;
        let first = words.add_base.partition_point(|at| u64::from(*at) < read_only.start);
        let last = words.add_base.partition_point(|at| u64::from(*at) < read_only.end);
        // SAFETY: the words outside of what is read-only can be written to, and have the values of the template again.
        unsafe {
            self.add(&words.add_base[..first], self.base);
            self.add(&words.add_base[last.max(first)..], self.base);
        }
        Ok(())
    }

    fn reset_pages(&self, template: &Template, piece: &Piece, pages: Range<u64>) -> Result<(), Error> {
        let (address, len) = (self.at(pages.start) as *mut c_void, (pages.end - pages.start) as usize);
        let is_reset = match template.descriptor(piece) {
            Some((descriptor, offset)) if len <= REWRITE => {
                let offset = offset + (pages.start - piece.pages.start) as libc::off_t;
                // SAFETY: the pages are the image's own, can be written to, and nobody uses them.
                unsafe { libc::pread(descriptor, address, len, offset) == len as isize }
            }
            // SAFETY: as above.
            _ => unsafe { libc::madvise(address, len, libc::MADV_DONTNEED) == 0 },
        };
        if is_reset { Ok(()) } else { Err(Error::last_os("resetting a segment")) }
    }
}

fn reserve(len: usize) -> Result<Reserved, Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: reserves addresses that nobody uses.
    let address = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(Error::last_os("reserving addresses for an image"));
    }
    Ok(Reserved(address as usize..address as usize + len))
}

/// What constructors are passed: no arguments, and the environment of the process.
fn constructor_arguments() -> [u64; 5] {
    struct Null([*const c_void; 1]);
    // SAFETY: a null pointer, which nobody changes.
    unsafe impl Sync for Null {}
    static NO_ARGUMENTS: Null = Null([ptr::null()]);
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: only its value is read.
    let environment = unsafe { (&raw const environ).read() };
    [0, NO_ARGUMENTS.0.as_ptr() as u64, environment as u64, 0, 0]
}

/// What resolvers are passed: on x86-64 nothing, on aarch64 the features of the processor.
fn resolver_arguments() -> [u64; 5] {
    #[cfg(target_arch = "aarch64")]
    {
        /// `__ifunc_arg_t`: its size, and the features.
        #[repr(C)]
        struct Features([u64; 3]);
        static FEATURES: std::sync::OnceLock<Features> = std::sync::OnceLock::new();
        const HAS_SECOND_ARGUMENT: u64 = 1 << 62;
        // SAFETY: reads the auxiliary vector.
        let features = FEATURES.get_or_init(|| unsafe {
            Features([24, libc::getauxval(libc::AT_HWCAP), libc::getauxval(libc::AT_HWCAP2)])
        });
        return [features.0[1] | HAS_SECOND_ARGUMENT, &raw const *features as u64, 0, 0, 0];
    }
    #[cfg(not(target_arch = "aarch64"))]
    [0; 5]
}
