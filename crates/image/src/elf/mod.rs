//! What is in a shared object, read before any of it runs.
//!
//! Only what the file maps is read, through its program headers and its dynamic section, as the system's loader does: section headers may be
//! missing, and may lie.

mod dynamic;
mod functions;
mod reader;
mod relocations;
mod symbols;

use std::fmt;
use std::ops::Range;

use object::elf;

use crate::error::Error;
use dynamic::{Dynamic, PROGRAM};
pub use functions::Functions;
pub use reader::mapped_size;
use reader::{Bytes, Layout};
pub(crate) use relocations::{Fixup, Relocation};
pub use symbols::{Export, Import, SymbolKind};

/// The number of this machine in ELF files.
#[cfg(target_arch = "x86_64")]
pub const MACHINE: u16 = elf::EM_X86_64;
/// The number of this machine in ELF files.
#[cfg(target_arch = "aarch64")]
pub const MACHINE: u16 = elf::EM_AARCH64;

/// Functions that start threads which run code of their caller.
const STARTS_THREADS: &[&str] = &["pthread_create", "thrd_create", "timer_create", "GOMP_parallel"];

/// The member function of `std::thread` that starts one, in any version of libstdc++.
const STARTS_CPP_THREADS: &str = "_ZNSt6thread15_M_start_thread";

/// Why images of a file have to stay on the thread that mapped them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pinned {
    /// Its thread-local variables have a fixed distance to the thread pointer.
    StaticTls,
    /// It can start threads, and each thread then has thread-local variables of its own.
    Threads {
        /// The function that starts threads.
        function: String,
    },
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pinned::StaticTls => f.write_str(
                "its thread-local storage is of the initial-exec model, which is bound to a thread: compile it without \
                 -ftls-model=initial-exec",
            ),
            Pinned::Threads { function } => write!(
                f,
                "it can start threads ({function}), so that each thread has thread-local variables of its own: link it without \
                 what calls that function"
            ),
        }
    }
}

/// A size of pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page(pub(crate) u64);

impl Page {
    /// The system's.
    pub(crate) fn system() -> Page {
        // SAFETY: takes a number.
        Page(unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64)
    }

    /// The page that an address is in.
    pub(crate) fn floor(self, address: u64) -> u64 {
        address & !(self.0 - 1)
    }

    /// The first page that begins at an address or behind it.
    pub(crate) fn ceil(self, address: u64) -> u64 {
        self.floor(address + self.0 - 1)
    }
}

/// What a segment may be used for (`p_flags`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights(u32);

impl Rights {
    pub(crate) fn read(self) -> bool {
        self.0 & elf::PF_R != 0
    }

    pub(crate) fn write(self) -> bool {
        self.0 & elf::PF_W != 0
    }

    pub(crate) fn execute(self) -> bool {
        self.0 & elf::PF_X != 0
    }

    /// As for `mmap`.
    pub(crate) fn protection(self) -> i32 {
        let all = [(elf::PF_R, libc::PROT_READ), (elf::PF_W, libc::PROT_WRITE), (elf::PF_X, libc::PROT_EXEC)];
        all.into_iter().filter(|(flag, _)| self.0 & flag != 0).fold(0, |sum, (_, protection)| sum | protection)
    }
}

/// A part of the file that is mapped, or that a header describes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) rights: Rights,
    pub(crate) file_offset: u64,
    pub(crate) file_size: u64,
    pub(crate) address: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.address + self.memory_size
    }

    fn contains(&self, address: u64) -> bool {
        (self.address..self.end()).contains(&address)
    }
}

/// The initial values of thread-local variables, and the size of their block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadLocals {
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

/// Functions of an image that run at its start and end.
#[derive(Clone, Debug)]
pub(crate) struct Hooks {
    pub(crate) init: Option<u64>,
    pub(crate) init_array: Range<u64>,
    pub(crate) fini_array: Range<u64>,
    pub(crate) fini: Option<u64>,
}

/// Facts of a shared object.
#[derive(Debug)]
pub struct Facts {
    pub(crate) machine: u16,
    pub(crate) segments: Vec<Segment>,
    pub(crate) alignment: u64,
    /// The addresses of the program headers, if they are mapped.
    pub(crate) header_table: Option<Range<u64>>,
    pub(crate) headers: Vec<libc::Elf64_Phdr>,
    pub(crate) dynamic_at: u64,
    pub(crate) hooks: Hooks,
    pub(crate) thread_locals: Option<ThreadLocals>,
    pub(crate) read_only_after_relocation: Option<Range<u64>>,
    /// Where the table of unwinding information is (`.eh_frame_hdr`).
    pub(crate) unwind_table: Option<u64>,
    pub(crate) relocations: Vec<Relocation>,
    /// Its thread-local variables have a fixed distance to the thread pointer (initial-exec).
    pub(crate) has_static_tls: bool,
    exports: Vec<Export>,
    imports: Vec<Import>,
    version_names: Vec<Box<str>>,
    needed: Vec<String>,
    soname: Option<String>,
    library_folders: Vec<String>,
}

impl Facts {
    /// Reads a file for this machine. Never panics, whatever the bytes are.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and what to do.
    pub fn read(bytes: &[u8]) -> Result<Facts, Error> {
        let machine = check_identity(bytes)?;
        if machine != MACHINE {
            return Err(Error::Machine { file: machine, here: MACHINE });
        }
        Facts::read_checked(bytes, machine, Page::system())
    }

    /// Reads a file for any machine of which this crate knows the relocations: x86-64 and aarch64.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and what to do.
    pub fn read_for_any_machine(bytes: &[u8]) -> Result<Facts, Error> {
        match check_identity(bytes)? {
            machine @ (elf::EM_X86_64 | elf::EM_AARCH64) => Facts::read_checked(bytes, machine, Page(4096)),
            machine => Err(Error::Machine { file: machine, here: MACHINE }),
        }
    }

    fn read_checked(bytes: &[u8], machine: u16, page: Page) -> Result<Facts, Error> {
        let layout = Layout::read(bytes, page)?;
        let has = |kind| layout.headers.iter().find(|(found, _)| *found == kind).map(|(_, segment)| segment);
        if has(elf::PT_INTERP).is_some() {
            return Err(PROGRAM);
        }
        if has(elf::PT_GNU_STACK).is_some_and(|stack| stack.rights.execute()) {
            return Err(Error::ExecutableStack);
        }
        let thread_locals = has(elf::PT_TLS).map(|segment| thread_locals(&layout, segment)).transpose()?;
        let dynamic = Dynamic::read(&layout)?;
        let tables = relocations::Tables::read(&layout, &dynamic)?;
        let symbols = symbols::Symbols::read(&layout, &dynamic, tables.referred())?;
        let relocations = tables.resolve(machine, &layout, &symbols, thread_locals.is_some())?;
        let hooks = Hooks {
            init: dynamic.function(&layout, elf::DT_INIT)?,
            init_array: dynamic.functions(&layout, elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ)?,
            fini_array: dynamic.functions(&layout, elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ)?,
            fini: dynamic.function(&layout, elf::DT_FINI)?,
        };
        let folders = match dynamic.strings(elf::DT_RUNPATH)? {
            none if none.is_empty() => dynamic.strings(elf::DT_RPATH)?,
            some => some,
        };
        let facts = Facts {
            machine,
            alignment: layout.alignment,
            header_table: layout.table.clone(),
            headers: layout.headers.iter().map(|(kind, segment)| program_header(&layout, *kind, segment)).collect(),
            dynamic_at: dynamic.at,
            hooks,
            thread_locals,
            read_only_after_relocation: has(elf::PT_GNU_RELRO).and_then(|part| read_only(&layout, part, page)),
            unwind_table: has(elf::PT_GNU_EH_FRAME)
                .map(|table| table.address)
                .filter(|address| layout.segment(*address, 12).is_some()),
            segments: layout.segments,
            has_static_tls: relocations.iter().any(|relocation| relocation.fixup == Fixup::ThreadOffset),
            relocations,
            exports: symbols.exports,
            imports: symbols.imports,
            version_names: symbols.version_names,
            needed: dynamic.strings(elf::DT_NEEDED)?,
            soname: dynamic.get(elf::DT_SONAME).map(|at| dynamic.string(at)).transpose()?,
            library_folders: folders.iter().flat_map(|list| list.split(':')).map(str::to_owned).collect(),
        };
        if facts.has_static_tls
            && let Some(function) = facts.starts_threads()
        {
            return Err(Error::StaticTlsWithThreads { function: function.to_owned() });
        }
        Ok(facts)
    }

    /// The addresses that the segments take, relative to the base.
    pub fn span(&self) -> Range<u64> {
        let first = self.segments.first().map_or(0, |segment| segment.address);
        first..self.segments.last().map_or(0, Segment::end)
    }

    /// The symbols that the image defines, by name.
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// The default version of a symbol that the image defines.
    pub fn export(&self, name: &str) -> Option<&Export> {
        self.export_of_version(name, None)
    }

    pub(crate) fn export_of_version(&self, name: &str, version: Option<&str>) -> Option<&Export> {
        symbols::find(&self.exports, &self.version_names, name, version)
    }

    /// The symbol that has an address.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<&Export> {
        let placed = self.exports.iter().filter(|export| export.has_place() && export.address() <= address);
        placed.filter(|export| address - export.address() < export.size().max(1)).max_by_key(|export| export.address())
    }

    /// The symbols that the image needs of others.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// True if the image needs a symbol of this name.
    pub fn does_import(&self, name: &str) -> bool {
        self.imports.iter().any(|import| &*import.name == name)
    }

    /// The libraries that the image needs, as the file names them.
    pub fn needed(&self) -> &[String] {
        &self.needed
    }

    /// The name that the file gives itself (`DT_SONAME`).
    pub fn soname(&self) -> Option<&str> {
        self.soname.as_deref()
    }

    /// Folders in which the file looks for libraries (`DT_RUNPATH`, or else `DT_RPATH`), as it names them.
    pub fn library_folders(&self) -> &[String] {
        &self.library_folders
    }

    /// The machine's number (`e_machine`).
    pub fn machine(&self) -> u16 {
        self.machine
    }

    /// The function with which the image may start threads.
    pub fn starts_threads(&self) -> Option<&str> {
        let names = self.imports.iter().map(Import::name);
        names.into_iter().find(|name| STARTS_THREADS.contains(name) || name.starts_with(STARTS_CPP_THREADS))
    }

    /// Why images have to stay on the thread that mapped them; `None`: they may move to another thread between calls.
    pub fn pinned(&self) -> Option<Pinned> {
        if self.has_static_tls {
            return Some(Pinned::StaticTls);
        }
        self.starts_threads().map(|function| Pinned::Threads { function: function.to_owned() })
    }
}

/// Class, byte order and type. Gives the machine.
fn check_identity(bytes: &[u8]) -> Result<u16, Error> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(Error::NotLoadable("this is not an ELF file: build the plugin as a shared object"));
    }
    if bytes.len() < 64 {
        return Err(Error::damaged(format!("it has {} bytes, less than its header", bytes.len())));
    }
    if bytes[4] != elf::ELFCLASS64 {
        return Err(Error::NotLoadable(
            "this is a 32-bit ELF file; this loader runs 64-bit plugins: build it for this machine",
        ));
    }
    if bytes[5] != elf::ELFDATA2LSB {
        return Err(Error::NotLoadable(
            "this ELF file is big endian; this machine is little endian: build the plugin for it",
        ));
    }
    let short = |at| Bytes(bytes).u16(at).expect("the header has 64 bytes");
    match short(16) {
        elf::ET_DYN => Ok(short(18)),
        elf::ET_REL => Err(Error::NotLoadable("this is an object file (.o), not linked yet: link it with -shared")),
        elf::ET_EXEC => Err(PROGRAM),
        elf::ET_CORE => Err(Error::NotLoadable("this is a core dump, not a shared object: load the plugin's file")),
        _ => Err(Error::damaged("it is of an unknown type")),
    }
}

fn thread_locals(layout: &Layout<'_>, segment: &Segment) -> Result<ThreadLocals, Error> {
    /// More than any thread's stack.
    const LIMIT: u64 = 1 << 28;
    let &Segment { address, file_size, memory_size: size, align, .. } = segment;
    if size < file_size || size > LIMIT {
        return Err(Error::damaged("its thread-local variables have an impossible size"));
    }
    layout.table(address, file_size, "initial values of thread-local variables")?;
    Ok(ThreadLocals { address, file_size, size, align })
}

/// The pages that are read-only once they are relocated. As for the system's loader, a page that is not whole stays writable, unless its
/// segment has nothing behind it.
fn read_only(layout: &Layout<'_>, part: &Segment, page: Page) -> Option<Range<u64>> {
    let segment = layout.segments.iter().find(|segment| segment.rights.write() && segment.contains(part.address))?;
    let end = page.floor(part.address.checked_add(part.memory_size)?).min(page.ceil(segment.end()));
    Some(page.floor(part.address)..end).filter(|range| !range.is_empty())
}

/// A program header of the image: what it describes lies in the image's file where it lies in memory.
fn program_header(layout: &Layout<'_>, kind: u32, segment: &Segment) -> libc::Elf64_Phdr {
    let start = layout.segments.first().map_or(0, |segment| segment.address);
    libc::Elf64_Phdr {
        p_type: kind,
        p_flags: segment.rights.0,
        p_offset: segment.address.saturating_sub(start),
        p_vaddr: segment.address,
        p_paddr: segment.address,
        p_filesz: segment.file_size,
        p_memsz: segment.memory_size,
        p_align: segment.align,
    }
}
