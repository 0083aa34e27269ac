//! The functions by which a plugin and its host meet: what its file exports and imports.

use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(feature = "native")]
use {
    crate::error::LoadError,
    dynvm_abi::version::AbiVersion,
    dynvm_image::Facts,
    object::read::elf::{Dyn as _, ElfFile64},
    object::{LittleEndian, Object as _, ObjectSegment as _, ObjectSymbol as _},
    std::collections::BTreeMap,
    std::ops::Range,
};

use super::exports::Exports;
use super::mapping::Leaves;
use super::plugin_signals::may_be_unseen;

/// Dynamic symbols of a shared object.
#[derive(Debug)]
pub(crate) struct Interface {
    /// Exported functions and variables, with their addresses relative to the image's base.
    pub(crate) exports: Arc<Exports>,
    /// Symbols that other libraries define.
    pub(crate) imports: BTreeSet<String>,
    /// The libraries that it needs, as the file names them.
    #[cfg(feature = "native")]
    pub(crate) needed: Vec<String>,
    /// The addresses that the segments take, relative to the image's base.
    #[cfg(feature = "native")]
    pub(super) span: Range<u64>,
}

impl Interface {
    /// What the plugin may leave with others. `is_bound`: the loader replaces functions that it calls.
    pub(super) fn leaves(&self, addresses: bool, is_bound: bool) -> Leaves {
        Leaves { addresses, unseen_handlers: may_be_unseen(is_bound, |function| self.imports.contains(function)) }
    }
}

#[cfg(feature = "native")]
impl Interface {
    /// Reads a file for any machine; `None` if it is damaged.
    pub(crate) fn read(bytes: &[u8]) -> Option<Interface> {
        let file = ElfFile64::<LittleEndian>::parse(bytes).ok()?;
        let (mut exports, mut imports, mut first, mut last) = (BTreeMap::new(), BTreeSet::new(), u64::MAX, 0);
        for symbol in file.dynamic_symbols() {
            let Ok(name) = symbol.name() else { continue };
            if symbol.is_undefined() {
                imports.insert(name.to_owned());
            } else if symbol.is_global() {
                exports.entry(name.to_owned()).or_insert(symbol.address());
            }
        }
        for segment in file.segments() {
            first = first.min(segment.address());
            last = last.max(segment.address().checked_add(segment.size())?);
        }
        Some(Interface {
            exports: Arc::new(exports.into()),
            imports,
            needed: needed(&file).unwrap_or_default(),
            span: first..last,
        })
    }

    /// The newest version of the ABI whose marker is exported.
    fn abi_version(&self) -> Option<AbiVersion> {
        AbiVersion::ALL.into_iter().rev().find(|version| self.exports.has(version.marker()))
    }

    /// Checks that the plugin is for a known version of the ABI, and makes no hostcall that this version lacks.
    pub(super) fn check(&self, name: &str) -> Result<AbiVersion, LoadError> {
        let version = self.abi_version().ok_or_else(|| LoadError::NoAbiVersion { name: name.to_owned() })?;
        let is_known = |import: &str| {
            dynvm_abi::table::is_native_hostcall(import)
                || dynvm_abi::table::hostcall(import).is_some_and(|hostcall| hostcall.in_version(version))
        };
        let unknown = self.imports.iter().filter(|import| import.starts_with("proxy_") && !is_known(import));
        let unknown: Vec<String> = unknown.map(|import| dynvm_abi::table::describe_unknown_import(import)).collect();
        if unknown.is_empty() {
            Ok(version)
        } else {
            Err(LoadError::UnknownImports { name: name.to_owned(), version, functions: unknown })
        }
    }
}

#[cfg(feature = "native")]
fn needed(file: &ElfFile64<'_, LittleEndian>) -> Option<Vec<String>> {
    let (endian, data) = (file.endian(), file.data());
    let (dynamic, strings) = file.elf_section_table().dynamic(endian, data).ok()??;
    let strings = file.elf_section_table().strings(endian, data, strings).ok()?;
    let needed = dynamic.iter().filter(|entry| entry.d_tag(endian) == object::elf::DT_NEEDED);
    let names = needed.filter_map(|entry| strings.get(u32::try_from(entry.d_val(endian)).ok()?).ok());
    Some(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(feature = "null")]
impl Interface {
    /// That of a part of the program.
    pub(super) fn of_linked(plugin: &dynvm_abi::linked::Linked, exports: Arc<Exports>) -> Interface {
        Interface {
            exports,
            imports: plugin.imports.iter().map(|&name| name.to_owned()).collect(),
            #[cfg(feature = "native")]
            needed: Vec::new(),
            #[cfg(feature = "native")]
            span: 0..0,
        }
    }
}

#[cfg(feature = "native")]
impl From<&Facts> for Interface {
    fn from(facts: &Facts) -> Interface {
        let exports = facts.exports().iter().map(|export| (export.name().to_owned(), export.address()));
        Interface {
            exports: Arc::new(exports.collect()),
            imports: facts.imports().iter().map(|import| import.name().to_owned()).collect(),
            needed: facts.needed().to_vec(),
            span: facts.span(),
        }
    }
}
