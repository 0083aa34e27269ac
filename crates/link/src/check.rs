//! What has to hold for an object before it becomes part of a program. The checks read what was written, independently of how.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result, bail, ensure};
use dynvm_abi::linked::{HOSTCALL_PREFIX, LIBC, LIBC_PREFIX};
use dynvm_abi::table;
use dynvm_abi::version::AbiVersion;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, elf};

use crate::rewrite::Rewritten;

/// The ABI version that the plugin's marker names.
pub fn abi_version(exports: &[String]) -> Result<AbiVersion> {
    let mut versions = exports.iter().filter_map(|name| AbiVersion::from_marker(name));
    let version = versions.next().with_context(|| {
        let markers = AbiVersion::ALL.map(AbiVersion::marker).join(", ");
        format!(
            "it exports none of {markers}: an SDK for Proxy-Wasm exports one, and a plugin without an SDK defines it"
        )
    })?;
    if let Some(other) = versions.next() {
        bail!("it exports the markers of two versions of the ABI, {version} and {other}: build it with one SDK");
    }
    Ok(version)
}

/// Checks an object.
///
/// `defined`: names of the system's libraries, if they are known.
pub fn check(object: &Rewritten, version: AbiVersion, defined: Option<&HashSet<String>>) -> Result<()> {
    let file: ElfFile64<'_> = ElfFile64::parse(&*object.bytes).context("the object cannot be read")?;
    unwind_tables(&file)?;
    groups(&file)?;
    globals(&file, object)?;
    undefined(&file, version, defined)
}

/// Without them, a panic that the plugin would catch ends the process.
fn unwind_tables(file: &ElfFile64<'_>) -> Result<()> {
    let has = |begin: &str| {
        file.sections().any(|section| section.name().is_ok_and(|name| name.starts_with(begin)) && section.size() > 0)
    };
    ensure!(
        has(".eh_frame") || !has(".gcc_except_table"),
        "it catches panics or exceptions and has no unwind tables: compile it without -fno-asynchronous-unwind-tables, and link it \
         with the LLD of rustc"
    );
    Ok(())
}

/// The program's linker keeps one of the groups with the same name, whatever their members.
fn groups(file: &ElfFile64<'_>) -> Result<()> {
    let is_group = |flags| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_GROUP) != 0);
    match file.sections().find(|section| is_group(section.flags())) {
        Some(section) => bail!(
            "its section {} is in a group, which would be mixed up with other plugins' groups: the linker does not know \
             --force-group-allocation; use an LLD of version 19 or newer",
            section.name().unwrap_or_default()
        ),
        None => Ok(()),
    }
}

fn globals(file: &ElfFile64<'_>, object: &Rewritten) -> Result<()> {
    let own: HashSet<String> = object.globals().into_iter().collect();
    let foreign = file
        .symbols()
        .filter(|symbol| !symbol.is_undefined() && symbol.is_global())
        .find(|symbol| symbol.name().is_ok_and(|name| !own.contains(name)));
    match foreign {
        Some(symbol) => bail!("its symbol {} is still visible to the program", symbol.name().unwrap_or_default()),
        None => Ok(()),
    }
}

fn undefined(file: &ElfFile64<'_>, version: AbiVersion, defined: Option<&HashSet<String>>) -> Result<()> {
    let used = used_symbols(file);
    let mut unknown_hostcalls = Vec::new();
    let mut unknown = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_undefined() && !symbol.is_weak()) {
        let name = symbol.name().unwrap_or_default();
        let is_list = ["__start_", "__stop_"].iter().any(|bound| name.starts_with(bound));
        if name.is_empty() || is_list || !used.contains(&symbol.index().0) {
            continue;
        }
        if let Some(hostcall) = name.strip_prefix(HOSTCALL_PREFIX) {
            let is_known = table::hostcall(hostcall).is_some_and(|known| known.in_version(version));
            if !is_known && !table::is_native_hostcall(hostcall) {
                unknown_hostcalls.push(table::describe_unknown_import(hostcall));
            }
        } else if name.strip_prefix(LIBC_PREFIX).is_some_and(|name| LIBC.contains(&name)) {
        } else if name.starts_with("proxy_") {
            unknown_hostcalls.push(name.to_owned());
        } else if defined.is_some_and(|defined| !defined.contains(name)) {
            unknown.push(format!("{:#}", rustc_demangle::demangle(name)));
        }
    }
    ensure!(
        unknown_hostcalls.is_empty(),
        "it was built for version {version} of the ABI, which does not have {}: use one SDK for all of the plugin, and check the \
         spelling",
        unknown_hostcalls.join(", ")
    );
    ensure!(
        unknown.is_empty(),
        "nothing defines {}: add the missing source files or the SDK, or name the library with `.library(..)`",
        some(&unknown)
    );
    Ok(())
}

/// Symbols that something refers to. A name that was only asked for does not have to be defined.
fn used_symbols(file: &ElfFile64<'_>) -> BTreeSet<usize> {
    let targets = file
        .sections()
        .flat_map(|section| section.relocations().map(|(_, relocation)| relocation.target()).collect::<Vec<_>>());
    targets
        .filter_map(|target| match target {
            object::RelocationTarget::Symbol(index) => Some(index.0),
            _ => None,
        })
        .collect()
}

/// The first names of a list.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let rest = names.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", names[..names.len() - rest].join(", "))
}

#[cfg(test)]
mod tests {
    use object::build::elf::{Builder, SectionData};

    use super::*;

    /// An object with one section.
    fn object(section: &str, flags: u32) -> Rewritten {
        let mut builder = Builder::new(object::Endianness::Little, true);
        builder.header.e_type = elf::ET_REL;
        builder.header.e_machine = elf::EM_X86_64;
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = elf::SHT_STRTAB;
        names.data = SectionData::SectionString;
        let added = builder.sections.add();
        added.name = section.as_bytes().to_vec().into();
        added.sh_type = elf::SHT_PROGBITS;
        added.sh_flags = u64::from(flags);
        added.sh_addralign = 1;
        added.data = SectionData::Data(b"content"[..].into());
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        Rewritten {
            bytes,
            prefix: "dvn_x_".to_owned(),
            exports: Vec::new(),
            imports: Vec::new(),
            thread_locals: 0,
            data: 0,
            bss: 0,
            constructors: 0,
            destructors: 0,
        }
    }

    fn refusal(object: &Rewritten) -> String {
        check(object, AbiVersion::V0_2_1, None).unwrap_err().to_string()
    }

    #[test]
    fn unwind_tables_are_not_lost() {
        assert!(check(&object(".rodata", elf::SHF_ALLOC), AbiVersion::V0_2_1, None).is_ok());
        let message = refusal(&object(".gcc_except_table.x", elf::SHF_ALLOC));
        assert!(message.contains("no unwind tables"), "{message}");
    }

    #[test]
    fn groups_are_refused() {
        let message = refusal(&object(".text.shared", elf::SHF_ALLOC | elf::SHF_GROUP));
        assert!(message.contains(".text.shared is in a group"), "{message}");
    }

    #[test]
    fn one_marker_names_the_version() {
        let markers = |names: &[&str]| abi_version(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(markers(&["proxy_abi_version_0_1_0"]).unwrap(), AbiVersion::V0_1_0);
        assert!(markers(&[]).is_err());
        assert!(markers(&["proxy_abi_version_0_1_0", "proxy_abi_version_0_2_0"]).is_err());
    }
}
