//! What is in a shared object, read before any of it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use dynvm_abi::version::AbiVersion;
use object::LittleEndian as LE;
use object::elf::{self, Dyn64, FileHeader64, Sym64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, Sym as _};
use object::read::{ReadRef as _, StringTable};

use super::backtrace::Symbols;

/// The machine that this loader runs on.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = elf::EM_AARCH64;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: u16 = elf::EM_NONE;

/// Facts of a shared object.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The newest ABI version whose marker is exported.
    pub(crate) abi_version: Option<AbiVersion>,
    /// Exported functions and objects: name to address relative to the image's base.
    pub(crate) exports: BTreeMap<String, u64>,
    /// Undefined symbols.
    pub(crate) imports: BTreeSet<String>,
    /// Libraries that it needs.
    pub(crate) needed: Vec<String>,
    /// The addresses that its segments take, relative to the image's base.
    pub(crate) span: Range<u64>,
    /// The end of what is mapped, as an offset in the file: behind it are symbols for debuggers and section headers.
    pub(super) mapped_end: usize,
    /// Undefined symbols of the dynamic symbol table.
    pub(super) undefined: Vec<Undefined>,
    /// Where the string table of the dynamic symbols begins in the file.
    pub(super) strings_at: usize,
    /// Offsets in the file of the type and binding of symbols that are unique in the process (`STB_GNU_UNIQUE`).
    pub(super) unique_symbols: Vec<usize>,
    /// Functions that run when the image is opened and closed.
    pub(super) hooks: Hooks,
    /// Functions, by address, relative to the image's base.
    pub(super) functions: Symbols,
    /// Offsets in the file at which names of other symbols and of the dynamic section begin.
    pub(super) other_names: BTreeSet<usize>,
}

/// A symbol that a library of the process has to define.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undefined {
    /// Where its name begins in the file, and how long it is.
    pub(super) name_at: usize,
    pub(super) name_len: usize,
    /// Where its entry in the symbol table begins in the file.
    pub(super) entry_at: usize,
}

/// The functions that the system's loader calls when it opens and closes an image, and where the dynamic section says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Hooks {
    /// Address of the function that is called first (`DT_INIT`).
    pub(super) init: Option<u64>,
    /// Addresses at which the addresses of functions stand (`DT_INIT_ARRAY`).
    pub(super) init_array: Range<u64>,
    /// The same for closing, called last to first (`DT_FINI_ARRAY`).
    pub(super) fini_array: Range<u64>,
    /// Called last (`DT_FINI`).
    pub(super) fini: Option<u64>,
    /// Offsets in the file of entries of the dynamic section: of the functions, and of the arrays' sizes.
    pub(super) function_entries: Vec<usize>,
    pub(super) size_entries: Vec<usize>,
}

impl Hooks {
    fn read(dynamic: &[Dyn64<LE>], at: usize) -> Hooks {
        let entry = |wanted: i64| {
            let index = dynamic.iter().position(|entry| entry.d_tag(LE) == wanted)?;
            Some((dynamic[index].d_val(LE), at + index * size_of::<Dyn64<LE>>()))
        };
        let mut hooks = Hooks::default();
        for (tag, address) in [(elf::DT_INIT, &mut hooks.init), (elf::DT_FINI, &mut hooks.fini)] {
            if let Some((value, at)) = entry(tag) {
                *address = Some(value);
                hooks.function_entries.push(at);
            }
        }
        for (array_tag, size_tag, range) in [
            (elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ, &mut hooks.init_array),
            (elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ, &mut hooks.fini_array),
        ] {
            if let (Some((start, _)), Some((size, at))) = (entry(array_tag), entry(size_tag)) {
                *range = start..start.saturating_add(size);
                hooks.size_entries.push(at);
            }
        }
        hooks
    }
}

impl Facts {
    /// Reads a file for this machine. Never panics, whatever the bytes are.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, and what to do.
    pub(crate) fn read(bytes: &[u8]) -> Result<Facts, String> {
        let machine = check_identity(bytes)?;
        if machine != MACHINE {
            return Err(format!(
                "this ELF file is for {}; this machine is {}: build the plugin for it, or use its .wasm",
                machine_name(machine),
                machine_name(MACHINE),
            ));
        }
        Facts::read_tables(bytes)
    }

    /// Reads a file for any machine: nothing that is read here depends on it.
    pub(crate) fn read_for_any_machine(bytes: &[u8]) -> Result<Facts, String> {
        check_identity(bytes)?;
        Facts::read_tables(bytes)
    }

    fn read_tables(bytes: &[u8]) -> Result<Facts, String> {
        let damaged = |what: &str| format!("the ELF file is damaged or truncated: {what}; copy or build it again");
        let header = FileHeader64::<LE>::parse(bytes).map_err(|error| damaged(&error.to_string()))?;
        let segments = header.program_headers(LE, bytes).map_err(|error| damaged(&error.to_string()))?;

        let (mut first, mut last) = (u64::MAX, 0);
        let mut mapped_end = 0;
        let mut dynamic: Option<&[Dyn64<LE>]> = None;
        let mut dynamic_at = 0;
        for segment in segments {
            match segment.p_type(LE) {
                elf::PT_LOAD => {
                    let start = segment.p_vaddr(LE);
                    let end =
                        start.checked_add(segment.p_memsz(LE)).ok_or_else(|| damaged("a segment wraps around"))?;
                    segment.data(LE, bytes).map_err(|()| damaged("a segment lies beyond the end of the file"))?;
                    mapped_end = mapped_end.max(segment.p_offset(LE) + segment.p_filesz(LE));
                    (first, last) = (first.min(start), last.max(end));
                }
                elf::PT_DYNAMIC => {
                    dynamic_at = segment.p_offset(LE) as usize;
                    dynamic = segment.dynamic(LE, bytes).map_err(|error| damaged(&error.to_string()))?;
                }
                elf::PT_INTERP => {
                    return Err("this is a program, not a shared object: build the plugin as a library (crate-type = [\"cdylib\"], or \
                                -shared)"
                        .to_owned());
                }
                _ => {}
            }
        }
        let dynamic = dynamic.ok_or_else(|| {
            "the file has no dynamic section, so it cannot be loaded: build the plugin as a shared object".to_owned()
        })?;
        if first >= last {
            return Err(damaged("it has no loadable segment"));
        }

        // Addresses in the dynamic section are virtual; the tables lie in the file where their segments say.
        let offset_of = |address: u64| -> Option<u64> {
            segments.iter().filter(|s| s.p_type(LE) == elf::PT_LOAD).find_map(|s| {
                let within = address.checked_sub(s.p_vaddr(LE)).filter(|within| *within < s.p_filesz(LE))?;
                s.p_offset(LE).checked_add(within)
            })
        };
        let tag = |wanted: i64| dynamic.iter().find(|entry| entry.d_tag(LE) == wanted).map(|entry| entry.d_val(LE));
        let table = |wanted: i64, what: &str| -> Result<u64, String> {
            let address = tag(wanted).ok_or_else(|| damaged(&format!("it has no {what}")))?;
            offset_of(address).ok_or_else(|| damaged(&format!("its {what} lies outside of the file")))
        };
        let strings_at = table(elf::DT_STRTAB, "string table")?;
        let strings_len = tag(elf::DT_STRSZ).ok_or_else(|| damaged("the size of its string table is missing"))?;
        let strings_end = strings_at.checked_add(strings_len).filter(|end| *end <= bytes.len() as u64);
        let strings_end = strings_end.ok_or_else(|| damaged("its string table ends beyond the file"))?;
        let strings = StringTable::new(bytes, strings_at, strings_end);
        let symbols_at = table(elf::DT_SYMTAB, "symbol table")?;
        let count = symbol_count(bytes, header, &offset_of, &tag)
            .ok_or_else(|| damaged("the number of its symbols cannot be told"))?;
        let symbols: &[Sym64<LE>] =
            bytes.read_slice_at(symbols_at, count).map_err(|()| damaged("its symbol table ends beyond the file"))?;

        let mut facts = Facts {
            abi_version: None,
            exports: BTreeMap::new(),
            imports: BTreeSet::new(),
            needed: Vec::new(),
            span: first..last,
            mapped_end: mapped_end as usize,
            undefined: Vec::new(),
            strings_at: strings_at as usize,
            unique_symbols: Vec::new(),
            hooks: Hooks::read(dynamic, dynamic_at),
            functions: functions(bytes, header).unwrap_or_default(),
            other_names: BTreeSet::new(),
        };
        for (index, symbol) in symbols.iter().enumerate().skip(1) {
            let name =
                symbol.name(LE, strings).map_err(|_| damaged("a symbol's name lies outside of the string table"))?;
            let at = (strings_at + u64::from(symbol.st_name(LE))) as usize;
            let text = String::from_utf8_lossy(name).into_owned();
            let entry_at = symbols_at as usize + index * size_of::<Sym64<LE>>();
            let visible = symbol.st_bind() != elf::STB_LOCAL;
            if symbol.st_shndx(LE) == elf::SHN_UNDEF {
                facts.undefined.push(Undefined { name_at: at, name_len: name.len(), entry_at });
                if visible && !text.is_empty() {
                    facts.imports.insert(text);
                }
            } else {
                facts.other_names.insert(at);
                if symbol.st_bind() == elf::STB_GNU_UNIQUE {
                    // st_info follows st_name, which has 4 bytes.
                    facts.unique_symbols.push(entry_at + 4);
                }
                if visible && matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_OBJECT | elf::STT_NOTYPE) {
                    facts.exports.insert(text, symbol.st_value(LE));
                }
            }
        }
        for entry in dynamic {
            let tag = entry.d_tag(LE);
            if matches!(tag, elf::DT_NEEDED | elf::DT_SONAME | elf::DT_RPATH | elf::DT_RUNPATH) {
                let at = u32::try_from(entry.d_val(LE)).ok();
                let name = at
                    .and_then(|at| strings.get(at).ok())
                    .ok_or_else(|| damaged("the name of a library is missing"))?;
                facts.other_names.insert((strings_at + entry.d_val(LE)) as usize);
                if tag == elf::DT_NEEDED {
                    facts.needed.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        facts.abi_version =
            AbiVersion::ALL.into_iter().rev().find(|version| facts.exports.contains_key(version.marker()));
        if let Some((name, address)) = facts.exports.iter().find(|(_, address)| !facts.span.contains(address))
            && facts.abi_version.is_some_and(|_| name.starts_with("proxy_"))
        {
            return Err(damaged(&format!("symbol {name} has the address {address:#x}, outside of the image")));
        }
        Ok(facts)
    }
}

/// All functions: of the table for debuggers, or what is left of it in a stripped file, the dynamic symbols.
fn functions(bytes: &[u8], header: &FileHeader64<LE>) -> Option<Symbols> {
    let sections = header.sections(LE, bytes).ok()?;
    let table = [elf::SHT_SYMTAB, elf::SHT_DYNSYM]
        .into_iter()
        .filter_map(|kind| sections.symbols(LE, bytes, kind).ok())
        .find(|table| !table.is_empty())?;
    let functions =
        table.iter().filter(|symbol| symbol.st_type() == elf::STT_FUNC && symbol.st_shndx(LE) != elf::SHN_UNDEF);
    Some(Symbols::new(functions.filter_map(|symbol| {
        let name = std::str::from_utf8(symbol.name(LE, table.strings()).ok()?).ok()?;
        Some((symbol.st_value(LE), symbol.st_size(LE), name))
    })))
}

/// Class, byte order and type. Gives the machine.
fn check_identity(bytes: &[u8]) -> Result<u16, String> {
    let Some(ident) = bytes.get(..20) else {
        return Err(format!(
            "the ELF file is truncated: it has {} bytes, less than its header; copy or build it again",
            bytes.len()
        ));
    };
    if ident[4] != elf::ELFCLASS64 {
        return Err("this is a 32-bit ELF file; this loader runs 64-bit plugins: build it for this machine".to_owned());
    }
    if ident[5] != elf::ELFDATA2LSB {
        return Err("this ELF file is big endian; this machine is little endian: build the plugin for it".to_owned());
    }
    let kind = u16::from_le_bytes([ident[16], ident[17]]);
    let machine = u16::from_le_bytes([ident[18], ident[19]]);
    match kind {
        elf::ET_DYN => Ok(machine),
        elf::ET_REL => Err("this is an object file (.o), not linked yet: link it with -shared".to_owned()),
        elf::ET_EXEC => Err("this is a program, not a shared object: build the plugin as a library".to_owned()),
        elf::ET_CORE => Err("this is a core dump, not a shared object".to_owned()),
        other => Err(format!("this is an ELF file of type {other}, not a shared object")),
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        elf::EM_X86_64 => "x86-64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_386 => "x86 (32 bits)".to_owned(),
        elf::EM_ARM => "arm (32 bits)".to_owned(),
        elf::EM_RISCV => "riscv".to_owned(),
        elf::EM_PPC64 => "ppc64".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        other => format!("machine number {other}"),
    }
}

/// The number of dynamic symbols. The dynamic section does not say; the hash tables do, and section headers where they are left.
fn symbol_count(
    bytes: &[u8],
    header: &FileHeader64<LE>,
    offset_of: &impl Fn(u64) -> Option<u64>,
    tag: &impl Fn(i64) -> Option<u64>,
) -> Option<usize> {
    let u32_at = |offset: u64| Some(bytes.read_at::<object::U32<LE>>(offset).ok()?.get(LE));
    if let Some(hash) = tag(elf::DT_HASH).and_then(offset_of) {
        return Some(u32_at(hash.checked_add(4)?)? as usize);
    }
    if let Some(sections) = header.sections(LE, bytes).ok().filter(|s| !s.is_empty()) {
        use object::read::elf::SectionHeader as _;
        if let Some(section) = sections.iter().find(|s| s.sh_type(LE) == elf::SHT_DYNSYM) {
            return Some((section.sh_size(LE) / size_of::<Sym64<LE>>() as u64) as usize);
        }
    }
    // The GNU table lists defined symbols only, in order, after the undefined: follow the chain of the last bucket to its end.
    let hash = offset_of(tag(elf::DT_GNU_HASH)?)?;
    let (buckets, base, bloom) = (u32_at(hash)?, u32_at(hash + 4)?, u32_at(hash + 8)?);
    let buckets_at = hash.checked_add(16 + u64::from(bloom) * 8)?;
    let chains_at = buckets_at + u64::from(buckets) * 4;
    let mut last = 0;
    for bucket in 0..u64::from(buckets) {
        last = last.max(u32_at(buckets_at + bucket * 4)?);
    }
    if last < base {
        return Some(base as usize);
    }
    while u32_at(chains_at + u64::from(last - base) * 4)? & 1 == 0 {
        last = last.checked_add(1)?;
    }
    Some(last as usize + 1)
}
