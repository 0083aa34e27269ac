//! Names and sections of a joined object: the plugin's own names become local, its exports get a prefix, and what it takes from the
//! host gets the names by which the loader defines it.

use anyhow::{Context, Result, ensure};
use dynvm_abi::linked::{HOSTCALL_PREFIX, LIBC, LIBC_PREFIX};
use dynvm_abi::table;
use object::build::elf::{Builder, Section, SectionData, SectionId, Symbol};
use object::elf;

use crate::layout;

/// An object that can be linked beside others.
pub struct Rewritten {
    pub bytes: Vec<u8>,
    /// What begins the names that are visible to the program.
    pub prefix: String,
    /// The exports, by their names in the plugin.
    pub exports: Vec<String>,
    /// What others define, by its name in the plugin.
    pub imports: Vec<String>,
    /// The size of the block of thread-local variables.
    pub thread_locals: u64,
    /// The size of the statics with initial values.
    pub data: u64,
    /// The size of the statics without.
    pub bss: u64,
    /// The number of constructors.
    pub constructors: u64,
    /// The number of destructors.
    pub destructors: u64,
}

impl Rewritten {
    /// The names that are visible to the program.
    pub fn globals(&self) -> Vec<String> {
        let blocks = [
            (TLS, self.thread_locals),
            (TLS_INITIAL, self.thread_locals),
            (DATA, self.data),
            (DATA_INITIAL, self.data),
            (BSS, self.bss),
            (CONSTRUCTORS, self.constructors),
            (DESTRUCTORS, self.destructors),
        ];
        let blocks = blocks.into_iter().filter(|(_, size)| *size > 0).map(|(name, _)| name);
        self.exports.iter().map(String::as_str).chain(blocks).map(|name| format!("{}{name}", self.prefix)).collect()
    }
}

// Names after the prefix, which no export has.
pub const TEXT: &str = "text";
pub const TLS: &str = "block_tls";
pub const TLS_INITIAL: &str = "block_tls_initial";
pub const DATA: &str = "block_data";
pub const DATA_INITIAL: &str = "block_data_initial";
pub const BSS: &str = "block_bss";
pub const CONSTRUCTORS: &str = "constructors";
pub const DESTRUCTORS: &str = "destructors";

/// Rewrites an object.
///
/// `exports`: the names that stay visible. `statics`: the statics are joined and get symbols.
pub fn rewrite(joined: &[u8], prefix: &str, exports: &[String], statics: bool) -> Result<Rewritten> {
    let mut object = Builder::read(joined).context("the joined object cannot be read")?;
    let (exported, imports) = rename(&mut object, prefix, exports)?;
    separate_lists(&mut object, prefix);
    collect_text(&mut object, prefix);

    let mut block = |section: &str, symbol: &str, initial: Option<&str>| -> Result<u64> {
        let Some((id, size)) = find(&object, section) else { return Ok(0) };
        if let Some(initial) = initial {
            let copy = copy_as_constant(&mut object, id, &format!("{prefix}{initial}"))?;
            mark(&mut object, copy, &format!("{prefix}{initial}"));
        }
        mark(&mut object, id, &format!("{prefix}{symbol}"));
        Ok(size)
    };
    let thread_locals = block(".tdata", TLS, Some(TLS_INITIAL))?;
    let (data, bss) = match statics {
        true => (block(".data", DATA, Some(DATA_INITIAL))?, block(".bss", BSS, None)?),
        false => (0, 0),
    };
    let constructors = list(&mut object, ".init_array", &format!("{prefix}{CONSTRUCTORS}"));
    let destructors = list(&mut object, ".fini_array", &format!("{prefix}{DESTRUCTORS}"));

    let mut bytes = Vec::new();
    object.write(&mut bytes).context("the object cannot be written")?;
    Ok(Rewritten {
        bytes,
        prefix: prefix.to_owned(),
        exports: exported,
        imports,
        thread_locals,
        data,
        bss,
        constructors,
        destructors,
    })
}

/// Renames exports and what the loader defines, and makes all other names local. Returns the exports and the imports.
fn rename(object: &mut Builder<'_>, prefix: &str, exports: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut exported, mut imports) = (Vec::new(), Vec::new());
    for symbol in &mut object.symbols {
        if symbol.st_bind() == elf::STB_LOCAL {
            continue;
        }
        let name = text(&symbol.name);
        if is_undefined(symbol) {
            if !name.is_empty() {
                imports.push(name.clone());
            }
            let defined_by_loader = if table::hostcall(&name).is_some() || table::is_native_hostcall(&name) {
                format!("{HOSTCALL_PREFIX}{name}")
            } else if LIBC.contains(&name.as_str()) {
                format!("{LIBC_PREFIX}{name}")
            } else {
                continue;
            };
            symbol.name = defined_by_loader.into_bytes().into();
            // The standard library asks weakly for some of them, and a weak name takes nothing out of the loader's library.
            symbol.set_st_info(elf::STB_GLOBAL, symbol.st_type());
            continue;
        }
        ensure!(
            symbol.section.is_some() || symbol.st_shndx != elf::SHN_COMMON,
            "`{name}` is a common symbol, which programs share by its name: compile the plugin with -fno-common"
        );
        if exports.contains(&name) {
            symbol.name = format!("{prefix}{name}").into_bytes().into();
            symbol.set_st_info(elf::STB_GLOBAL, symbol.st_type());
            // For the program, not for shared objects that it loads.
            symbol.st_other = elf::STV_HIDDEN;
            exported.push(name);
        } else {
            symbol.set_st_info(elf::STB_LOCAL, symbol.st_type());
        }
    }
    exported.sort();
    imports.sort();
    Ok((exported, imports))
}

fn is_undefined(symbol: &Symbol<'_>) -> bool {
    symbol.section.is_none() && symbol.st_shndx == elf::SHN_UNDEF
}

/// Renames sections that code walks from `__start_<name>` to `__stop_<name>`: the linker would join those of all plugins.
fn separate_lists(object: &mut Builder<'_>, prefix: &str) {
    let mut names = Vec::new();
    for symbol in &mut object.symbols {
        let name = text(&symbol.name);
        let bound = ["__start_", "__stop_"].into_iter().find_map(|bound| Some((bound, name.strip_prefix(bound)?)));
        if let (Some((bound, section)), true) = (bound, is_undefined(symbol)) {
            names.push(section.to_owned());
            symbol.name = format!("{bound}{prefix}{section}").into_bytes().into();
        }
    }
    for section in &mut object.sections {
        let name = text(&section.name);
        if names.contains(&name) {
            section.name = format!("{prefix}{name}").into_bytes().into();
        }
    }
}

/// Gives all code one name, by which the program's linker keeps it together and knows where it begins and ends.
fn collect_text(object: &mut Builder<'_>, prefix: &str) {
    for section in &mut object.sections {
        let is_text = section.name.strip_prefix(b".text").is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
        if is_text {
            section.name = format!("{prefix}{TEXT}").into_bytes().into();
        }
    }
}

/// A section by name, and its size if that is not 0.
fn find(object: &Builder<'_>, name: &str) -> Option<(SectionId, u64)> {
    let section = object.sections.iter().find(|section| *section.name == *name.as_bytes())?;
    let size = size(section);
    (size > 0).then(|| (section.id(), size))
}

fn size(section: &Section<'_>) -> u64 {
    match &section.data {
        SectionData::Data(bytes) => bytes.len() as u64,
        SectionData::UninitializedData(size) => *size,
        _ => 0,
    }
}

/// Copies variables and their relocations to a constant: what they hold at the start.
fn copy_as_constant(object: &mut Builder<'_>, id: SectionId, name: &str) -> Result<SectionId> {
    let is_of_section = |section: &&Section<'_>| section.sh_info_section == Some(id);
    let relocations = object.sections.iter().find(is_of_section).map(Section::id);
    if let Some(relocations) = relocations
        && let SectionData::Relocation(list) = &object.sections.get(relocations).data
    {
        let is_absolute = |kind| match object.header.e_machine {
            elf::EM_X86_64 => kind == elf::R_X86_64_64,
            elf::EM_AARCH64 => kind == elf::R_AARCH64_ABS64,
            _ => false,
        };
        ensure!(
            list.iter().all(|relocation| is_absolute(relocation.r_type)),
            "a variable's initial value depends on its own address, and cannot be copied: compile the plugin with -fPIC, or, if it is \
             meant, use a shared object"
        );
    }
    let copy = object.sections.copy(id);
    copy.name = format!(".data.rel.ro.{name}").into_bytes().into();
    copy.sh_type = elf::SHT_PROGBITS;
    if let SectionData::UninitializedData(size) = copy.data {
        copy.data = SectionData::Data(vec![0; usize::try_from(size)?].into());
    }
    copy.sh_flags = u64::from(elf::SHF_ALLOC | elf::SHF_WRITE);
    let copy = copy.id();
    if let Some(relocations) = relocations {
        let of_copy = object.sections.copy(relocations);
        of_copy.name = format!(".rela.data.rel.ro.{name}").into_bytes().into();
        of_copy.sh_info_section = Some(copy);
    }
    Ok(copy)
}

/// Puts a symbol that the program can see at the start of a section.
fn mark(object: &mut Builder<'_>, section: SectionId, name: &str) {
    let target = object.sections.get(section);
    let (size, flags) = (size(target), target.sh_flags);
    let kind = if flags & u64::from(elf::SHF_TLS) != 0 { elf::STT_TLS } else { elf::STT_OBJECT };
    let symbol = object.symbols.add();
    symbol.name = name.to_owned().into_bytes().into();
    symbol.section = Some(section);
    symbol.st_size = size;
    symbol.st_other = elf::STV_HIDDEN;
    symbol.set_st_info(elf::STB_GLOBAL, kind);
}

/// Turns a list of functions that the C library would call into a constant. Returns the number of functions.
fn list(object: &mut Builder<'_>, section: &str, symbol: &str) -> u64 {
    let Some((id, size)) = find(object, section) else { return 0 };
    let list = object.sections.get_mut(id);
    list.name = format!(".data.rel.ro.{symbol}").into_bytes().into();
    list.sh_type = elf::SHT_PROGBITS;
    mark(object, id, symbol);
    size / 8
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Names of sections with statics that are not joined by [`layout`], so that they could not be set back.
pub fn other_variables(joined: &[u8]) -> Result<Vec<String>> {
    let object = Builder::read(joined).context("the joined object cannot be read")?;
    let is_variable = |section: &&Section<'_>| {
        let name = text(&section.name);
        let flags = section.sh_flags;
        let writable = flags & u64::from(elf::SHF_WRITE) != 0 && flags & u64::from(elf::SHF_TLS) == 0;
        let known = layout::holds_statics(&name)
            || [".data.rel.ro", ".init_array", ".fini_array"].iter().any(|known| name.starts_with(known));
        writable && !known && size(section) > 0
    };
    Ok(object.sections.iter().filter(is_variable).map(|section| text(&section.name)).collect())
}
