//! Where a plugin keeps its state, which decides how many VMs can run on one copy of it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use dynvm_abi::descriptor::{DESCRIPTOR_SYMBOL, PluginDescriptor, StateModel};
use dynvm_abi::version;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SymbolKind, elf};

use crate::layout;

/// Crates whose statics hold nothing of a VM: caches of what the processor can do, seeds of hashes, the logger that every instance
/// sets to the same.
const HARMLESS: &[&str] = &[
    "std",
    "core",
    "alloc",
    "std_detect",
    "panic_unwind",
    "rustc_demangle",
    "gimli",
    "addr2line",
    "miniz_oxide",
    "compiler_builtins",
    "foldhash",
    "hashbrown",
    "memchr",
    "log",
    "proxy_wasm",
];

/// The state model that a plugin's descriptor names; `None` without a descriptor.
pub fn declared(joined: &[u8]) -> Result<Option<StateModel>> {
    let object = parse(joined)?;
    let Some(symbol) = object.symbols().find(|symbol| symbol.is_definition() && symbol.name() == Ok(DESCRIPTOR_SYMBOL))
    else {
        return Ok(None);
    };
    let section = symbol.section_index().context("the plugin's descriptor is not in a section")?;
    let data = object.section_by_index(section)?.data()?;
    let number = |offset: usize| {
        let at = usize::try_from(symbol.address()).ok()?.checked_add(offset)?;
        Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let version =
        number(std::mem::offset_of!(PluginDescriptor, header_version)).context("the plugin's descriptor is cut off")?;
    anyhow::ensure!(
        version::is_compatible(version),
        "the plugin's descriptor has header version {}.{}, this tool understands {}.x",
        version >> 16,
        version & 0xffff,
        version::HEADER_VERSION_MAJOR
    );
    let model =
        number(std::mem::offset_of!(PluginDescriptor, state_model)).context("the plugin's descriptor is cut off")?;
    Ok(Some(StateModel::from_u32(model)))
}

/// The variables of a Rust plugin that VMs would share, if all ran on one copy: statics outside of the standard library and the SDK.
pub fn statics(joined: &[u8]) -> Result<BTreeSet<String>> {
    Ok(statics_in(&parse(joined)?))
}

/// The statics of a plugin in Rust by which VMs could influence each other, if it were linked into a program and they shared them, as its shared
/// object shows them: those outside of the standard library and the SDK. With none, any number of VMs runs on one copy. `None`: no plugin in
/// Rust, or without symbols.
pub fn statics_of_shared_object(bytes: &[u8]) -> Option<Vec<String>> {
    let object = parse(bytes).ok()?;
    let is_rust = object.symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok("rust_eh_personality"));
    is_rust.then(|| statics_in(&object).into_iter().collect())
}

fn statics_in(object: &ElfFile64<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for section in object.sections() {
        let name = section.name().unwrap_or_default();
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if !layout::holds_statics(name) || sh_flags & u64::from(elf::SHF_WRITE) == 0 || section.size() == 0 {
            continue;
        }
        let of_section = object
            .symbols()
            .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.kind() == SymbolKind::Data);
        let names: Vec<String> = of_section.filter_map(|symbol| Some(demangled(symbol.name().ok()?))).collect();
        if names.is_empty() {
            found.insert(name.to_owned());
        }
        found.extend(names.into_iter().filter(|name| !is_harmless(name)));
    }
    found
}

fn parse(joined: &[u8]) -> Result<ElfFile64<'_>> {
    ElfFile64::parse(joined).context("the joined object cannot be read")
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

fn is_harmless(name: &str) -> bool {
    // The compiler's: addresses of the unwinder's function, and of functions that the C library may lack; what an aarch64 processor can do;
    // what its start files bring.
    let is_compilers =
        ["DW.ref.", "_rust_extern_with_linkage_", "__aarch64_", "__dso_handle", "__TMC_END__", "completed."]
            .iter()
            .any(|begin| name.starts_with(begin));
    is_compilers || HARMLESS.contains(&crate_of(name))
}

/// The crate of a path such as `<a::B as c::D>::e::F`.
fn crate_of(path: &str) -> &str {
    let path = path.trim_start_matches(['<', '&', '_', ' ']);
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_statics() {
        let names =
            ["std::io::stdio::STDOUT", "<a::B as c::D>::e::F", "__rust_no_alloc_shim_is_unstable", "<&a::B>::C"];
        assert_eq!(names.map(crate_of), ["std", "a", "rust_no_alloc_shim_is_unstable", "a"]);
    }

    #[test]
    fn statics_of_the_compiler() {
        let harmless = ["DW.ref.rust_eh_personality", "__aarch64_have_lse_atomics", "__aarch64_cpu_features"];
        assert!(harmless.iter().all(|name| is_harmless(name)) && !is_harmless("a::CPU_FEATURES"));
    }
}
