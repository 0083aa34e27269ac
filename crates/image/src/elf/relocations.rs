//! Relocations: the words of an image that depend on where it is mapped, and on symbols of others.

use object::elf;

use super::dynamic::Dynamic;
use super::reader::{Bytes, Layout};
use super::symbols::{Definition, SymbolKind, Symbols};
use crate::error::Error;
use crate::runtimes::is_private;

/// What a word becomes, with the relocation's addend `A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fixup {
    /// Base + A.
    Base,
    /// A.
    Constant,
    /// An import's address + A.
    Import(u32),
    /// What the resolver at base + A returns.
    Resolver,
    /// What names the image's thread-local storage for `__tls_get_addr`.
    TlsModule,
    /// A, an offset in the block of thread-local variables.
    TlsOffset,
    /// The block of thread-local variables + A, relative to the thread pointer.
    ThreadOffset,
    /// Two words: a function, and its argument for offset A in the block of thread-local variables.
    TlsDescriptor,
    /// The same three for an imported variable of a private library, and A.
    ImportedTlsModule(u32),
    ImportedTlsOffset(u32),
    ImportedTlsDescriptor(u32),
}

/// One relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relocation {
    /// Address of the word, relative to the base.
    pub(crate) at: u32,
    pub(crate) fixup: Fixup,
    pub(crate) addend: i64,
}

/// What a relocation's type asks for, before its symbol is looked at.
enum Type {
    None,
    Base,
    Symbol,
    TlsModule,
    TlsOffset,
    ThreadOffset,
    TlsDescriptor,
    Resolver,
}

impl Type {
    fn of(machine: u16, kind: u32) -> Option<Type> {
        Some(match (machine, kind) {
            (_, 0) => Type::None,
            (elf::EM_X86_64, kind) => match kind {
                elf::R_X86_64_RELATIVE => Type::Base,
                elf::R_X86_64_64 | elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => Type::Symbol,
                elf::R_X86_64_DTPMOD64 => Type::TlsModule,
                elf::R_X86_64_DTPOFF64 => Type::TlsOffset,
                elf::R_X86_64_TPOFF64 => Type::ThreadOffset,
                elf::R_X86_64_TLSDESC => Type::TlsDescriptor,
                elf::R_X86_64_IRELATIVE => Type::Resolver,
                _ => return None,
            },
            (elf::EM_AARCH64, kind) => match kind {
                elf::R_AARCH64_RELATIVE => Type::Base,
                elf::R_AARCH64_ABS64 | elf::R_AARCH64_GLOB_DAT | elf::R_AARCH64_JUMP_SLOT => Type::Symbol,
                elf::R_AARCH64_TLS_DTPMOD => Type::TlsModule,
                elf::R_AARCH64_TLS_DTPREL => Type::TlsOffset,
                elf::R_AARCH64_TLS_TPREL => Type::ThreadOffset,
                elf::R_AARCH64_TLSDESC => Type::TlsDescriptor,
                elf::R_AARCH64_IRELATIVE => Type::Resolver,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// The tables of relocations in the file.
pub(super) struct Tables<'a> {
    /// Entries with addends, of 24 bytes.
    with_addends: [Bytes<'a>; 2],
    /// The packed form of relocations that add the base.
    packed: Bytes<'a>,
}

/// The size of an entry with addend.
const ENTRY: u64 = 24;

impl<'a> Tables<'a> {
    pub(super) fn read(layout: &Layout<'a>, dynamic: &Dynamic<'a>) -> Result<Tables<'a>, Error> {
        if dynamic.get(elf::DT_REL).is_some() && dynamic.get(elf::DT_RELSZ).is_some_and(|size| size > 0) {
            return Err(Error::damaged("it has relocations without addends, which its machine does not use"));
        }
        let rela = [elf::DT_RELA, elf::DT_RELASZ, elf::DT_RELAENT];
        let plt = [elf::DT_JMPREL, elf::DT_PLTRELSZ, elf::DT_RELAENT];
        let packed = [elf::DT_RELR, elf::DT_RELRSZ, elf::DT_RELRENT];
        if dynamic.get(elf::DT_PLTREL).is_some_and(|kind| kind != elf::DT_RELA as u64) {
            return Err(Error::damaged("it has relocations without addends, which its machine does not use"));
        }
        let all = dynamic.table(layout, rela, ENTRY, "relocation table")?;
        let mut plt_table = dynamic.table(layout, plt, ENTRY, "relocation table of functions")?;
        // Some linkers count the second table into the first.
        if let (Some(all_at), Some(plt_at)) = (dynamic.get(elf::DT_RELA), dynamic.get(elf::DT_JMPREL))
            && (all_at..all_at + all.0.len() as u64).contains(&plt_at)
        {
            plt_table = Bytes::default();
        }
        Ok(Tables {
            with_addends: [all, plt_table],
            packed: dynamic.table(layout, packed, 8, "packed relocation table")?,
        })
    }

    fn entries(&self) -> impl Iterator<Item = (u64, u64, i64)> {
        self.with_addends.into_iter().flat_map(|table| {
            (0..table.0.len() as u64 / ENTRY).map(move |index| {
                let word = |at| table.u64(index * ENTRY + at).expect("in the table");
                (word(0), word(8), word(16) as i64)
            })
        })
    }

    /// One more than the last symbol that a relocation refers to.
    pub(super) fn referred(&self) -> u64 {
        self.entries().map(|(_, info, _)| (info >> 32) + 1).max().unwrap_or(0)
    }

    /// The relocations, each checked to lie in memory that the file initialises and may be written to.
    pub(super) fn resolve(
        &self,
        machine: u16,
        layout: &Layout<'a>,
        symbols: &Symbols,
        has_tls: bool,
    ) -> Result<Vec<Relocation>, Error> {
        let mut relocations = Vec::with_capacity(self.entries().count());
        let target = Target { layout, last: 0.into() };
        for (at, info, addend) in self.entries() {
            let (kind, symbol) = (info as u32, (info >> 32) as usize);
            let Some(kind) = Type::of(machine, kind) else { return Err(Error::Relocation { kind, at }) };
            if matches!(kind, Type::None) {
                continue;
            }
            let size = if matches!(kind, Type::TlsDescriptor) { 16 } else { 8 };
            target.check(at, size)?;
            let definition = symbols.definitions[symbol];
            let (fixup, addend) = resolve(kind, definition, addend, symbols, has_tls)?;
            relocations.push(Relocation { at: at as u32, fixup, addend });
        }
        self.unpack(layout, &target, &mut relocations)?;
        Ok(relocations)
    }

    /// The packed form: an address, or a map of which of the next 63 words are meant. The addend is what the file has there.
    fn unpack(
        &self,
        layout: &Layout<'a>,
        target: &Target<'_, 'a>,
        relocations: &mut Vec<Relocation>,
    ) -> Result<(), Error> {
        let mut next: u64 = 0;
        let mut add = |at: u64| -> Result<(), Error> {
            target.check(at, 8)?;
            let addend = layout.from(at).and_then(|rest| rest.u64(0)).expect("checked to be in the file");
            relocations.push(Relocation { at: at as u32, fixup: Fixup::Base, addend: addend as i64 });
            Ok(())
        };
        for index in 0..self.packed.0.len() as u64 / 8 {
            let entry = self.packed.u64(index * 8).expect("in the table");
            if entry & 1 == 0 {
                add(entry)?;
                next = entry.saturating_add(8);
                continue;
            }
            for bit in (0..63).filter(|bit| entry >> (bit + 1) & 1 == 1) {
                add(next.saturating_add(bit * 8))?;
            }
            next = next.saturating_add(63 * 8);
        }
        Ok(())
    }
}

/// Checks addresses of words. Remembers the segment of the last one: nearly all lie in one.
struct Target<'l, 'a> {
    layout: &'l Layout<'a>,
    last: std::cell::Cell<usize>,
}

impl Target<'_, '_> {
    fn check(&self, at: u64, size: u64) -> Result<(), Error> {
        let segments = &self.layout.segments;
        let end = at.checked_add(size);
        let has = |index: &usize| {
            let segment = &segments[*index];
            segment.rights.write()
                && segment.address <= at
                && end.is_some_and(|end| end <= segment.address + segment.file_size)
        };
        if has(&self.last.get()) {
            return Ok(());
        }
        let Some(index) = (0..segments.len()).find(has) else {
            return Err(if segments.iter().any(|segment| !segment.rights.write() && segment.contains(at)) {
                Error::TextRelocations
            } else {
                Error::damaged(format!("it has a relocation at {at:#x}, outside of its initialised data"))
            });
        };
        self.last.set(index);
        Ok(())
    }
}

/// What a relocation does, by its type and its symbol.
fn resolve(
    kind: Type,
    definition: Definition,
    addend: i64,
    symbols: &Symbols,
    has_tls: bool,
) -> Result<(Fixup, i64), Error> {
    let fixup = match kind {
        Type::None | Type::Base => return Ok((Fixup::Base, addend)),
        Type::Resolver => return Ok((Fixup::Resolver, addend)),
        Type::Symbol => {
            return Ok(match definition {
                Definition::Own { address, kind: SymbolKind::Indirect } => (Fixup::Resolver, address as i64),
                Definition::Own { address, .. } => (Fixup::Base, addend.wrapping_add(address as i64)),
                Definition::Absolute(value) => (Fixup::Constant, addend.wrapping_add(value as i64)),
                Definition::Import(index) => (Fixup::Import(index), addend),
                Definition::None => (Fixup::Constant, addend),
            });
        }
        Type::TlsModule => Fixup::TlsModule,
        Type::TlsOffset => Fixup::TlsOffset,
        Type::ThreadOffset => Fixup::ThreadOffset,
        Type::TlsDescriptor => Fixup::TlsDescriptor,
    };
    if let Definition::Import(index) = definition {
        let import = &symbols.imports[index as usize];
        let fixup = match fixup {
            Fixup::TlsModule => Fixup::ImportedTlsModule(index),
            Fixup::TlsOffset => Fixup::ImportedTlsOffset(index),
            Fixup::TlsDescriptor => Fixup::ImportedTlsDescriptor(index),
            _ => return Err(Error::ForeignThreadLocal { symbol: import.name().to_owned() }),
        };
        if !import.library().is_some_and(is_private) {
            return Err(Error::ForeignThreadLocal { symbol: import.name().to_owned() });
        }
        return Ok((fixup, addend));
    }
    if !has_tls {
        return Err(Error::damaged("it refers to thread-local variables and has none"));
    }
    let value = match definition {
        Definition::Own { address, .. } | Definition::Absolute(address) => address,
        Definition::Import(_) | Definition::None => 0,
    };
    Ok((fixup, addend.wrapping_add(value as i64)))
}
