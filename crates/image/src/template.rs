//! What all images of a module have in common: a sealed memory file that has the image as it lies in memory, with everything already in it
//! that does not depend on where it is mapped, and the list of words that do.

use std::alloc::Layout;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use crate::elf::{Facts, Fixup, Page, Relocation, Segment};
use crate::error::Error;
use crate::tls::{Control, Index, Owner};

/// Zeroed memory from this size on is not in the file: reading it would allocate it there.
const LARGE: u64 = 64 * 1024;

/// A run of pages of an image.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Addresses relative to the base.
    pub(crate) pages: Range<u64>,
    pub(crate) protection: i32,
    pub(crate) source: Source,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// The memory file, at the same place.
    Memory,
    /// The plugin's file.
    File { offset: u64 },
    /// Zeros.
    Nothing,
}

/// Arguments of descriptors, each of which stays where it is.
type Arguments = Vec<Box<Index>>;

/// Where thread-local storage lies in an image, relative to the base.
#[derive(Clone, Debug)]
pub(crate) struct ThreadLocalArea {
    pub(crate) block: u64,
    pub(crate) layout: Layout,
    pub(crate) initial: Range<u64>,
    /// A [`Control`], if threads have blocks of their own.
    pub(crate) control: Option<u64>,
    end: u64,
}

/// Words that depend on where an image is mapped, by their addresses relative to the base.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The base is added, in ascending order.
    pub(crate) add_base: Vec<u32>,
    /// The base is added, and the thread pointer subtracted.
    pub(crate) add_base_to_thread: Vec<u32>,
    /// What a function of the image returns.
    pub(crate) resolvers: Vec<(u32, u32)>,
    /// Constants that the mapped file does not have.
    pub(crate) constants: Vec<(u32, u64)>,
}

#[derive(Debug)]
pub(crate) struct Template {
    memory: OwnedFd,
    file: Option<File>,
    pub(crate) pieces: Vec<Piece>,
    /// The pages that an image takes.
    pub(crate) pages: Range<u64>,
    pub(crate) alignment: u64,
    pub(crate) words: Words,
    /// Parts of a page of the mapped file that are to be zero.
    pub(crate) zeros: Vec<Range<u64>>,
    pub(crate) read_only: Option<Range<u64>>,
    pub(crate) thread_locals: Option<ThreadLocalArea>,
    /// Arguments of descriptors, which the images refer to.
    _imported: Arguments,
    memory_size: u64,
}

impl Template {
    /// Applies relocations to the parts of the file that can be written to, and writes all to a memory file.
    pub(crate) fn build(
        facts: &Facts,
        relocations: &[Relocation],
        bytes: &[u8],
        owner: Owner,
        file: Option<&File>,
        name: &OsStr,
        resolve: &mut dyn Resolve,
    ) -> Result<Template, Error> {
        let page = Page::system();
        let mut draft = Draft::new(facts, bytes, file.is_some(), owner, relocations, page)?;
        for relocation in relocations {
            draft.apply(relocation, owner, resolve)?;
        }
        draft.copy_initial_values()?;
        draft.words.add_base.sort_unstable();
        draft.words.add_base.dedup();

        let start = page.floor(facts.span().start);
        let end = page.ceil(draft.area.as_ref().map_or(facts.span().end, |area| area.end));
        let memory = create_memory_file(name)?;
        let memory_file = File::from(memory.try_clone().map_err(|source| Error::System { action: "dup", source })?);
        let failed = |source| Error::System { action: "writing the image's memory file", source };
        memory_file.set_len(end - start).map_err(failed)?;
        let mut size = 0;
        let mut write = |bytes: &[u8], at: u64| {
            size += page.ceil(bytes.len() as u64);
            memory_file.write_all_at(bytes, at - start).map_err(failed)
        };
        if file.is_none() {
            for segment in facts.segments.iter().filter(|segment| !segment.rights.write()) {
                write(content(bytes, segment)?, segment.address)?;
            }
            for (segment, content) in &draft.segments {
                write(content, segment.address)?;
            }
            if let Some(table) = facts.header_table.as_ref().filter(|_| has_header(facts)) {
                write_headers(&memory_file, facts, table, start).map_err(failed)?;
            }
        }
        if let Some(area) = &draft.area {
            write(&draft.initial, area.block)?;
            write(&draft.indexes, area.indexes())?;
        }
        drop(memory_file);
        seal(&memory)?;
        let (pieces, zeros) = pieces(facts, draft.area.as_ref(), file.is_some(), page)?;
        let file = file.map(File::try_clone).transpose();
        Ok(Template {
            memory,
            file: file.map_err(|source| Error::System { action: "dup", source })?,
            pieces,
            pages: start..end,
            alignment: facts.alignment.max(page.0),
            words: draft.words,
            zeros,
            read_only: facts.read_only_after_relocation.clone(),
            thread_locals: draft.area,
            _imported: draft.imported,
            memory_size: size,
        })
    }

    pub(crate) fn has_resolvers(&self) -> bool {
        !self.words.resolvers.is_empty()
    }

    /// The descriptor and offset to map for a piece.
    pub(crate) fn descriptor(&self, piece: &Piece) -> Option<(i32, i64)> {
        match (piece.source, &self.file) {
            (Source::Memory, _) => Some((self.memory.as_raw_fd(), (piece.pages.start - self.pages.start) as i64)),
            (Source::File { offset }, Some(file)) => Some((file.as_raw_fd(), offset as i64)),
            _ => None,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.memory_size
    }
}

/// Finds what imports are bound to.
pub(crate) trait Resolve {
    /// The address of an import, by its number; 0 for a weak one that nobody defines.
    fn address(&mut self, import: u32) -> Result<u64, Error>;

    /// Of an imported thread-local variable, the address of the [`Control`] and the offset in the blocks.
    fn thread_local(&mut self, import: u32) -> Result<(u64, u64), Error>;
}

/// An image as it is made up.
struct Draft<'a> {
    segments: Vec<(&'a Segment, Vec<u8>)>,
    area: Option<ThreadLocalArea>,
    /// The initial values of thread-local variables.
    initial: Vec<u8>,
    /// The arguments of descriptors, where threads have blocks of their own.
    indexes: Vec<u8>,
    /// The same for variables of private libraries, which are alike in all images.
    imported: Arguments,
    words: Words,
    keeps_constants: bool,
    facts: &'a Facts,
    bytes: &'a [u8],
}

impl<'a> Draft<'a> {
    fn new(
        facts: &'a Facts,
        bytes: &'a [u8],
        maps_file: bool,
        owner: Owner,
        relocations: &[Relocation],
        page: Page,
    ) -> Result<Draft<'a>, Error> {
        let mut segments = Vec::new();
        for segment in facts.segments.iter().filter(|segment| segment.rights.write()) {
            segments.push((segment, content(bytes, segment)?.to_vec()));
        }
        let area = area(facts, maps_file, owner, relocations, page)?;
        Ok(Draft {
            segments,
            area,
            initial: Vec::new(),
            indexes: Vec::new(),
            imported: Vec::new(),
            words: Words::default(),
            keeps_constants: maps_file,
            facts,
            bytes,
        })
    }

    fn apply(&mut self, relocation: &Relocation, owner: Owner, resolve: &mut dyn Resolve) -> Result<(), Error> {
        let &Relocation { at, fixup, addend } = relocation;
        let no_area = || Error::damaged("it refers to thread-local variables and has none");
        match fixup {
            Fixup::Base => {
                self.put(at, addend as u64)?;
                self.words.add_base.push(at);
            }
            Fixup::Constant | Fixup::TlsOffset => self.put(at, addend as u64)?,
            Fixup::Import(index) => {
                let address = resolve.address(index)?;
                // A weak symbol that nobody defines is 0, whatever is added.
                self.put(at, if address == 0 { 0 } else { address.wrapping_add(addend as u64) })?;
            }
            Fixup::Resolver => {
                let in_code = |segment: &&Segment| {
                    segment.rights.execute() && (segment.address..segment.end()).contains(&(addend as u64))
                };
                if !self.facts.segments.iter().any(|segment| in_code(&segment)) {
                    return Err(Error::damaged("a resolver of a function lies outside of its code"));
                }
                self.words.resolvers.push((at, addend as u32));
            }
            Fixup::TlsModule => {
                let area = self.area.as_ref().ok_or_else(no_area)?;
                self.put(at, area.control.unwrap_or(area.block))?;
                self.words.add_base.push(at);
            }
            Fixup::ThreadOffset => {
                let area = self.area.as_ref().ok_or_else(no_area)?;
                self.put(at, area.block.wrapping_add(addend as u64))?;
                self.words.add_base_to_thread.push(at);
            }
            Fixup::TlsDescriptor => {
                let area = self.area.as_ref().ok_or_else(no_area)?;
                let argument = match area.control {
                    None => area.block.wrapping_add(addend as u64),
                    Some(control) => self.put_index(control, addend as u64),
                };
                self.put(at, owner.descriptor() as u64)?;
                self.put(at + 8, argument)?;
                self.words.add_base.push(at + 8);
            }
            Fixup::ImportedTlsModule(index) => {
                let (control, _) = resolve.thread_local(index)?;
                self.put(at, owner.module_of_thread(control))?;
            }
            Fixup::ImportedTlsOffset(index) => {
                let (_, offset) = resolve.thread_local(index)?;
                self.put(at, offset.wrapping_add(addend as u64))?;
            }
            Fixup::ImportedTlsDescriptor(index) => {
                let (control, offset) = resolve.thread_local(index)?;
                let argument = Box::new(Index::of_thread(control, offset.wrapping_add(addend as u64)));
                self.put(at, Owner::descriptor_of_thread() as u64)?;
                self.put(at + 8, &raw const *argument as u64)?;
                self.imported.push(argument);
            }
        }
        Ok(())
    }

    /// Adds the argument of a descriptor; returns where it is.
    fn put_index(&mut self, control: u64, offset: u64) -> u64 {
        let at = control + Control::SIZE + self.indexes.len() as u64;
        self.indexes.extend(control.to_le_bytes());
        self.indexes.extend(offset.to_le_bytes());
        self.words.add_base.push(at as u32);
        at
    }

    /// Writes a word.
    fn put(&mut self, at: u32, value: u64) -> Result<(), Error> {
        let place = self.segments.iter_mut().find_map(|(segment, content)| {
            let within = usize::try_from(u64::from(at).checked_sub(segment.address)?).ok()?;
            content.get_mut(within..within.checked_add(8)?)
        });
        let place = place.ok_or_else(|| Error::damaged("a relocation lies outside of its initialised data"))?;
        place.copy_from_slice(&value.to_le_bytes());
        if self.keeps_constants {
            self.words.constants.push((at, value));
        }
        Ok(())
    }

    /// The block of thread-local variables is a copy of their initial values, relocated likewise.
    fn copy_initial_values(&mut self) -> Result<(), Error> {
        let Some(area) = &self.area else { return Ok(()) };
        let Range { start, end } = area.initial;
        let cut = || Error::damaged("its initial values of thread-local variables lie outside of its segments");
        let from_segment = self.segments.iter().find_map(|(segment, content)| {
            let within = usize::try_from(start.checked_sub(segment.address)?).ok()?;
            content.get(within..within.checked_add((end - start) as usize)?)
        });
        let initial = match from_segment {
            Some(initial) => initial,
            None => {
                let part = |segment: &&Segment| segment.address <= start && end <= segment.address + segment.file_size;
                let segment = self.facts.segments.iter().find(part).ok_or_else(cut)?;
                let within = (start - segment.address) as usize;
                content(self.bytes, segment)?.get(within..within + (end - start) as usize).ok_or_else(cut)?
            }
        };
        self.initial = initial.to_vec();
        let moved = |at: u32| {
            let is_inside = start <= u64::from(at) && u64::from(at) + 8 <= end;
            is_inside.then(|| (u64::from(at) - start + area.block) as u32)
        };
        let words = &mut self.words;
        for list in [&mut words.add_base, &mut words.add_base_to_thread] {
            let copies: Vec<u32> = list.iter().filter_map(|at| moved(*at)).collect();
            list.extend(copies);
        }
        let copies: Vec<_> =
            words.resolvers.iter().filter_map(|(at, function)| Some((moved(*at)?, *function))).collect();
        words.resolvers.extend(copies);
        Ok(())
    }
}

impl ThreadLocalArea {
    /// Where arguments of descriptors are.
    fn indexes(&self) -> u64 {
        self.control.map_or(self.end, |control| control + Control::SIZE)
    }
}

/// Places thread-local storage behind the image, on its last page if that can be written to and has room.
fn area(
    facts: &Facts,
    maps_file: bool,
    owner: Owner,
    relocations: &[Relocation],
    page: Page,
) -> Result<Option<ThreadLocalArea>, Error> {
    let Some(locals) = &facts.thread_locals else { return Ok(None) };
    let last = facts.segments.last().filter(|segment| segment.rights.write() && !maps_file);
    let start = match last {
        Some(last) if zeroed_pages(last, page).is_empty() => last.end(),
        _ => page.ceil(facts.span().end),
    };
    // Of addresses of blocks, the lowest bit is not used.
    let block = start.next_multiple_of(locals.align.max(8));
    let mut end = block + locals.size;
    let mut control = None;
    if owner != Owner::Image {
        let descriptors = relocations.iter().filter(|relocation| relocation.fixup == Fixup::TlsDescriptor).count();
        control = Some(end.next_multiple_of(8));
        end = end.next_multiple_of(8) + Control::SIZE + 16 * descriptors as u64;
    }
    if end > u64::from(u32::MAX) {
        return Err(Error::TooLarge { size: end });
    }
    let layout = Layout::from_size_align(locals.size as usize, locals.align as usize);
    let layout = layout.map_err(|_| Error::damaged("its thread-local variables have an impossible size"))?;
    let initial = locals.address..locals.address + locals.file_size;
    Ok(Some(ThreadLocalArea { block, layout, initial, control, end }))
}

/// The whole pages at a segment's end that are zero and many.
fn zeroed_pages(segment: &Segment, page: Page) -> Range<u64> {
    let zeros = page.ceil(segment.address + segment.file_size)..page.ceil(segment.end());
    if zeros.end - zeros.start < LARGE { zeros.end..zeros.end } else { zeros }
}

/// The runs of pages of an image, and what to zero in them.
fn pieces(
    facts: &Facts,
    area: Option<&ThreadLocalArea>,
    maps_file: bool,
    page: Page,
) -> Result<(Vec<Piece>, Vec<Range<u64>>), Error> {
    let (mut pieces, mut zeros) = (Vec::new(), Vec::new());
    for segment in &facts.segments {
        let mut zeroed = zeroed_pages(segment, page);
        let mut source = Source::Memory;
        if maps_file {
            zeroed.start = page.ceil(segment.address + segment.file_size);
            if segment.address % page.0 != segment.file_offset % page.0 {
                return Err(Error::damaged("its segments do not lie on pages of the file"));
            }
            source = Source::File { offset: page.floor(segment.file_offset) };
            if segment.rights.write() {
                zeros.push(segment.address + segment.file_size..zeroed.start);
            }
        }
        let protection = segment.rights.protection();
        pieces.push(Piece { pages: page.floor(segment.address)..zeroed.start, protection, source });
        pieces.push(Piece { pages: zeroed, protection, source: Source::Nothing });
    }
    if let Some(area) = area {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let mapped = pieces.iter().map(|piece| piece.pages.end).max().unwrap_or_default();
        let pages = mapped.max(page.floor(area.block))..page.ceil(area.end).max(mapped);
        pieces.push(Piece { pages, protection, source: Source::Memory });
    }
    pieces.retain(|piece| !piece.pages.is_empty());
    Ok((pieces, zeros))
}

fn content<'a>(bytes: &'a [u8], segment: &Segment) -> Result<&'a [u8], Error> {
    let range = segment.file_offset as usize..(segment.file_offset + segment.file_size) as usize;
    bytes.get(range).ok_or(Error::Changed)
}

/// True if the file's header begins the image.
fn has_header(facts: &Facts) -> bool {
    facts.segments.first().is_some_and(|segment| segment.file_offset == 0 && segment.file_size >= 64)
}

/// Makes the memory file an ELF file of its own: what its headers describe lies where it lies in memory, and there are no sections.
fn write_headers(memory: &File, facts: &Facts, table: &Range<u64>, start: u64) -> std::io::Result<()> {
    const SECTIONS_AT: u64 = 40;
    const SECTION_COUNT: u64 = 60;
    const HEADER: u64 = 56;
    for (index, header) in facts.headers.iter().enumerate() {
        let at = table.start - start + index as u64 * HEADER;
        memory.write_all_at(&header.p_offset.to_le_bytes(), at + 8)?;
    }
    memory.write_all_at(&[0; 8], SECTIONS_AT)?;
    memory.write_all_at(&[0; 4], SECTION_COUNT)
}

/// The name is for who reads `/proc/PID/maps`.
fn create_memory_file(name: &OsStr) -> Result<OwnedFd, Error> {
    /// What Linux takes, less what comes before.
    const LENGTH: usize = 200;
    let name = name.as_bytes();
    let name = [b"dynvm-image:", &name[..name.len().min(LENGTH)]].concat();
    let name = CString::new(name).unwrap_or_default();
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Linux before 6.3 does not know the flag.
    for flags in [flags | libc::MFD_NOEXEC_SEAL, flags] {
        // SAFETY: passes a string.
        let memory = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        if memory >= 0 {
            // SAFETY: a new descriptor, which nobody else has.
            return Ok(unsafe { OwnedFd::from_raw_fd(memory) });
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(Error::last_os("memfd_create"))
}

/// Nobody can change the file any more.
fn seal(memory: &OwnedFd) -> Result<(), Error> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open.
    match unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) } {
        0 => Ok(()),
        _ => Err(Error::last_os("sealing the image's memory file")),
    }
}
