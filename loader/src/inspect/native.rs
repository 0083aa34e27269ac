//! Inspection of shared objects.

use std::collections::{BTreeSet, HashMap};

use dynvm_abi::description::{Description, Image};
use dynvm_abi::table::is_native_hostcall;
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSegment as _};

use super::{Hostcall, Inspection};
use crate::backend::native::interface::Interface;

type File<'a> = ElfFile64<'a, LittleEndian>;

pub(super) fn read(inspection: &mut Inspection, bytes: &[u8]) {
    inspection.sdk = super::traces::find_sdk(bytes);
    let file = File::parse(bytes).ok();
    if let Some(file) = &file {
        inspection.toolchain = compilers(file);
    }
    let Some(facts) = Interface::read(bytes) else { return };
    for name in facts.exports.names() {
        inspection.export(name);
    }
    if inspection.sdk.is_none() && facts.imports.contains("_Z17__wasi_random_getPhm") {
        inspection.sdk = Some("proxy-wasm-cpp-sdk (C++)".to_owned());
    }
    let (native, others): (Vec<_>, Vec<_>) = facts.imports.iter().partition(|name| is_native_hostcall(name));
    inspection.imports(others.into_iter().map(|name| (name.starts_with("proxy_"), name.as_str())));
    inspection.hostcalls.extend(native.into_iter().map(|name| Hostcall { name: name.clone(), problem: None }));
    inspection.glibc = newest_glibc(bytes);
    inspection.needed_libraries.clone_from(&facts.needed);
    if let (Some(address), Some(file)) = (facts.exports.get(dynvm_abi::descriptor::DESCRIPTOR_SYMBOL), &file) {
        inspection.descriptor = Some(describe(file, address));
    }
}

/// The compilers and linkers recorded in the `.comment` section.
fn compilers(file: &File<'_>) -> Vec<String> {
    let Some(data) = file.section_by_name(".comment").and_then(|section| section.data().ok()) else {
        return Vec::new();
    };
    let texts = data.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    let distinct: BTreeSet<String> = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    distinct.into_iter().collect()
}

/// The newest `GLIBC_2.x` among the names in the file.
fn newest_glibc(bytes: &[u8]) -> Option<String> {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let minor =
        bytes.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX).filter_map(|(at, _)| {
            let digits = bytes[at + PREFIX.len()..].iter().take(3).take_while(|byte| byte.is_ascii_digit());
            let digits: Vec<u8> = digits.copied().collect();
            std::str::from_utf8(&digits).ok()?.parse::<u32>().ok()
        });
    minor.max().map(|minor| format!("2.{minor}"))
}

/// The descriptor's fields, or the reason why it cannot be read.
fn describe(file: &File<'_>, address: u64) -> Vec<(String, String)> {
    let relative = |(place, relocation): (u64, object::Relocation)| {
        matches!(relocation.target(), object::RelocationTarget::Absolute).then(|| (place, relocation.addend() as u64))
    };
    let relocations = file.dynamic_relocations().into_iter().flatten().filter_map(relative).collect();
    let image = FileImage { file, relocations };
    let line = |name: &str, value: String| (name.to_owned(), value);
    match Description::read(&image, address) {
        Err(error) => vec![line("error", error.to_string())],
        Ok(description) => {
            let version = description.header_version;
            let mut lines = vec![
                line("name", description.name),
                line("headers", format!("{}.{}", version >> 16, version & 0xffff)),
                line("state", format!("{:?}", description.state_model)),
            ];
            lines.extend(description.version.map(|version| line("version", version)));
            lines.extend(description.sdk.map(|sdk| line("sdk", sdk)));
            lines.extend(description.wanted_extensions.into_iter().map(|id| line("wants", id)));
            lines
        }
    }
}

/// A file with the addresses that it will have once mapped.
struct FileImage<'a, 'data> {
    file: &'a File<'data>,
    /// Addresses of relative relocations, with the addresses that they refer to.
    relocations: HashMap<u64, u64>,
}

impl Image for FileImage<'_, '_> {
    fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        let segment = self
            .file
            .segments()
            .find(|segment| address.checked_sub(segment.address()).is_some_and(|within| within < segment.size()))?;
        let from = usize::try_from(address - segment.address()).ok()?;
        let data = segment.data().ok()?;
        into.copy_from_slice(data.get(from..from.checked_add(into.len())?)?);
        Some(())
    }

    fn pointer(&self, address: u64) -> Option<u64> {
        if let Some(target) = self.relocations.get(&address) {
            return Some(*target);
        }
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }
}
