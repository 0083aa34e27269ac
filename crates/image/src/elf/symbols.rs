//! The dynamic symbols: what an image defines, and what it needs of others.

use std::collections::HashMap;

use object::elf;

use super::dynamic::Dynamic;
use super::reader::{Bytes, Layout};
use crate::error::Error;

/// What a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymbolKind {
    /// A function.
    Function,
    /// A function that is chosen when the image is mapped, by a resolver in the image (`STT_GNU_IFUNC`).
    Indirect,
    /// A variable.
    Object,
    /// A thread-local variable.
    ThreadLocal,
    /// The file does not say.
    Unknown,
}

/// A symbol that an image defines.
#[derive(Clone, Debug)]
pub struct Export {
    pub(crate) name: Box<str>,
    /// Index of the version's name; 0 and 1 are none.
    version: u16,
    /// Not the default version of its name.
    hidden: bool,
    /// Where the name is in memory, relative to the image's base.
    pub(crate) name_at: u32,
    address: u64,
    size: u64,
    kind: SymbolKind,
    absolute: bool,
}

impl Export {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address relative to the image's base; of a thread-local variable, the offset in its block.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it is.
    pub fn kind(&self) -> SymbolKind {
        self.kind
    }

    /// True if what the symbol names is at its address: not in a thread's block, nor known to a resolver alone.
    pub(crate) fn has_place(&self) -> bool {
        !self.absolute && !matches!(self.kind, SymbolKind::ThreadLocal | SymbolKind::Indirect)
    }
}

/// A symbol that an image needs of others.
#[derive(Clone, Debug)]
pub struct Import {
    pub(crate) name: Box<str>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) library: Option<Box<str>>,
    pub(crate) weak: bool,
    kind: SymbolKind,
}

impl Import {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that the file asks for, such as `GLIBC_2.34`.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The library that defined that version when the file was linked.
    pub fn library(&self) -> Option<&str> {
        self.library.as_deref()
    }

    /// True if the image does without, and sees the address 0.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// What it is, as far as the file says.
    pub fn kind(&self) -> SymbolKind {
        self.kind
    }
}

/// A symbol as relocations refer to it.
#[derive(Clone, Copy)]
pub(super) enum Definition {
    /// At an address relative to the base.
    Own { address: u64, kind: SymbolKind },
    /// At an address that the base does not change.
    Absolute(u64),
    /// By the number of an import.
    Import(u32),
    /// Nothing: the symbol 0.
    None,
}

/// The symbol table, sorted out.
pub(super) struct Symbols {
    pub(super) exports: Vec<Export>,
    pub(super) imports: Vec<Import>,
    pub(super) version_names: Vec<Box<str>>,
    /// For each symbol of the table.
    pub(super) definitions: Vec<Definition>,
}

/// The size of an entry.
const ENTRY: u64 = 24;

/// The most libraries of which versions are read.
const LIBRARIES: u64 = 256;

/// The most versions of one library that are read.
const VERSIONS: u16 = 1024;

impl Symbols {
    /// Reads the table. `referred` is one more than the last symbol that a relocation refers to.
    pub(super) fn read(layout: &Layout<'_>, dynamic: &Dynamic<'_>, referred: u64) -> Result<Symbols, Error> {
        let at = dynamic.get(elf::DT_SYMTAB).ok_or_else(|| Error::damaged("it has no symbol table"))?;
        let count = count(layout, dynamic)?.max(referred).max(1);
        let size = count.checked_mul(ENTRY).ok_or_else(|| Error::damaged("its symbol table is too long"))?;
        let table = layout.table(at, size, "symbol table")?;
        let strings_at = dynamic.get(elf::DT_STRTAB).unwrap_or_default();
        let mut versions = Versions::read(layout, dynamic, count)?;

        let mut symbols = Symbols {
            exports: Vec::new(),
            imports: Vec::new(),
            version_names: std::mem::take(&mut versions.defined),
            definitions: vec![Definition::None; count as usize],
        };
        for index in 1..count {
            let entry = table.range(index * ENTRY, ENTRY).expect("in the table");
            let name_at = entry.u32(0).expect("an entry has 24 bytes");
            let (info, other) = (entry.0[4], entry.0[5]);
            let section = entry.u16(6).expect("an entry has 24 bytes");
            let address = entry.u64(8).expect("an entry has 24 bytes");
            let (bind, kind) = (info >> 4, kind(info & 0xf));
            let version = versions.of_symbol(index);
            let definition = if section != elf::SHN_UNDEF {
                if bind != elf::STB_LOCAL && matches!(other & 3, elf::STV_DEFAULT | elf::STV_PROTECTED) {
                    symbols.exports.push(Export {
                        name: dynamic.string(u64::from(name_at))?.into(),
                        version: version & elf::VERSYM_VERSION,
                        hidden: version & elf::VERSYM_HIDDEN != 0,
                        name_at: u32::try_from(strings_at + u64::from(name_at)).unwrap_or_default(),
                        address,
                        size: entry.u64(16).expect("an entry has 24 bytes"),
                        kind,
                        absolute: section == elf::SHN_ABS,
                    });
                }
                if section == elf::SHN_ABS { Definition::Absolute(address) } else { Definition::Own { address, kind } }
            } else if bind == elf::STB_LOCAL {
                Definition::None
            } else {
                let needed = versions.needed.get(&(version & elf::VERSYM_VERSION));
                symbols.imports.push(Import {
                    name: dynamic.string(u64::from(name_at))?.into(),
                    version: needed.map(|(version, _)| version.clone()),
                    library: needed.map(|(_, library)| library.clone()),
                    weak: bind == elf::STB_WEAK,
                    kind,
                });
                Definition::Import(symbols.imports.len() as u32 - 1)
            };
            symbols.definitions[index as usize] = definition;
        }
        // Stable: of two symbols of one name, the first stays first.
        symbols.exports.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(symbols)
    }
}

/// Finds the export of a name, in a version if the caller knows one.
pub(super) fn find<'a>(
    exports: &'a [Export],
    versions: &[Box<str>],
    name: &str,
    version: Option<&str>,
) -> Option<&'a Export> {
    let first = exports.partition_point(|export| *export.name < *name);
    let mut same = exports[first..].iter().take_while(|export| *export.name == *name);
    match version {
        None => same.clone().find(|export| !export.hidden).or_else(|| same.next()),
        Some(version) => same.find(|export| {
            let has = versions.get(usize::from(export.version)).map_or("", |name| &**name);
            // A library without versions satisfies any.
            has == version || (versions.is_empty() && export.version <= elf::VER_NDX_GLOBAL)
        }),
    }
}

fn kind(kind: u8) -> SymbolKind {
    match kind {
        elf::STT_FUNC => SymbolKind::Function,
        elf::STT_GNU_IFUNC => SymbolKind::Indirect,
        elf::STT_OBJECT | elf::STT_COMMON => SymbolKind::Object,
        elf::STT_TLS => SymbolKind::ThreadLocal,
        _ => SymbolKind::Unknown,
    }
}

/// The number of symbols as the hash tables tell it: the file has no other count in memory.
fn count(layout: &Layout<'_>, dynamic: &Dynamic<'_>) -> Result<u64, Error> {
    let cut = || Error::damaged("its hash table lies outside of what is mapped of the file");
    if let Some(hash) = dynamic.get(elf::DT_HASH) {
        let table = layout.from(hash).ok_or_else(cut)?;
        return Ok(u64::from(table.u32(4).ok_or_else(cut)?));
    }
    let Some(hash) = dynamic.get(elf::DT_GNU_HASH) else { return Ok(0) };
    let table = layout.from(hash).ok_or_else(cut)?;
    gnu_count(table).ok_or_else(cut)
}

/// The GNU table has defined symbols only, in the order of the symbol table: the chain of the last bucket ends with the last symbol.
fn gnu_count(table: Bytes<'_>) -> Option<u64> {
    let (buckets, first, bloom) = (u64::from(table.u32(0)?), u64::from(table.u32(4)?), u64::from(table.u32(8)?));
    let buckets_at = 16 + bloom * 8;
    let chains_at = buckets_at + buckets * 4;
    table.range(buckets_at, buckets * 4)?;
    let mut last = 0;
    for bucket in 0..buckets {
        last = last.max(u64::from(table.u32(buckets_at + bucket * 4)?));
    }
    if last < first {
        return Some(first);
    }
    while table.u32(chains_at + (last - first) * 4)? & 1 == 0 {
        last += 1;
    }
    Some(last + 1)
}

/// Versions of symbols.
struct Versions<'a> {
    of_symbols: Bytes<'a>,
    /// By index: the version and the library that has to define it.
    needed: HashMap<u16, (Box<str>, Box<str>)>,
    /// By index: the version that the image defines; empty names in between.
    defined: Vec<Box<str>>,
}

impl<'a> Versions<'a> {
    fn read(layout: &Layout<'a>, dynamic: &Dynamic<'_>, symbols: u64) -> Result<Versions<'a>, Error> {
        let mut versions = Versions { of_symbols: Bytes::default(), needed: HashMap::new(), defined: Vec::new() };
        let Some(at) = dynamic.get(elf::DT_VERSYM) else { return Ok(versions) };
        versions.of_symbols = layout.table(at, symbols * 2, "table of versions")?;
        let list = |tag: i64, count: i64| {
            let at = dynamic.get(tag)?;
            Some((layout.from(at)?, dynamic.get(count)?))
        };
        let cut = || Error::damaged("its list of versions is cut off");
        if let Some((list, count)) = list(elf::DT_VERNEED, elf::DT_VERNEEDNUM) {
            versions.read_needed(list, count, dynamic).ok_or_else(cut)?;
        }
        if let Some((list, count)) = list(elf::DT_VERDEF, elf::DT_VERDEFNUM) {
            versions.read_defined(list, count, dynamic).ok_or_else(cut)?;
        }
        Ok(versions)
    }

    fn of_symbol(&self, index: u64) -> u16 {
        self.of_symbols.u16(index * 2).unwrap_or(elf::VER_NDX_GLOBAL)
    }

    fn read_needed(&mut self, list: Bytes<'_>, count: u64, dynamic: &Dynamic<'_>) -> Option<()> {
        let mut at = 0;
        for _ in 0..count.min(LIBRARIES) {
            let library: Box<str> = dynamic.string(u64::from(list.u32(at + 4)?)).ok()?.into();
            let mut entry = at + u64::from(list.u32(at + 8)?);
            for _ in 0..list.u16(at + 2)?.min(VERSIONS) {
                let index = list.u16(entry + 6)? & elf::VERSYM_VERSION;
                let name = dynamic.string(u64::from(list.u32(entry + 8)?)).ok()?;
                self.needed.entry(index).or_insert_with(|| (name.into(), library.clone()));
                match list.u32(entry + 12)? {
                    0 => break,
                    next => entry += u64::from(next),
                }
            }
            match list.u32(at + 12)? {
                0 => break,
                next => at += u64::from(next),
            }
        }
        Some(())
    }

    fn read_defined(&mut self, list: Bytes<'_>, count: u64, dynamic: &Dynamic<'_>) -> Option<()> {
        let mut at = 0;
        for _ in 0..count.min(u64::from(elf::VERSYM_VERSION)) {
            let index = usize::from(list.u16(at + 4)? & elf::VERSYM_VERSION);
            let entry = at + u64::from(list.u32(at + 12)?);
            let name = dynamic.string(u64::from(list.u32(entry)?)).ok()?;
            if self.defined.len() <= index {
                self.defined.resize(index + 1, "".into());
            }
            self.defined[index] = name.into();
            match list.u32(at + 16)? {
                0 => break,
                next => at += u64::from(next),
            }
        }
        Some(())
    }
}
