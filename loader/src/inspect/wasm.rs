//! Inspection of WebAssembly modules.

use wasmparser::{ExternalKind, KnownCustom, Parser, Payload};

use super::Inspection;

pub(super) fn read(inspection: &mut Inspection, bytes: &[u8]) {
    let mut imports: Vec<(bool, String)> = Vec::new();
    // Stops at the first unreadable payload; the loader's error describes it.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports().map_while(Result::ok) {
                    let of_abi = import.module == "env" && import.name.starts_with("proxy_");
                    let name =
                        if of_abi { import.name.to_owned() } else { format!("{}.{}", import.module, import.name) };
                    imports.push((of_abi, name));
                }
            }
            Payload::MemorySection(section) => {
                let memory = section.into_iter().map_while(Result::ok).next();
                inspection.memory_pages = memory.map(|memory| (memory.initial, memory.maximum));
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().map_while(Result::ok) {
                    if export.kind == ExternalKind::Func {
                        inspection.export(export.name);
                    }
                }
            }
            Payload::CustomSection(section) => {
                *inspection.custom_sections.entry(section.name().to_owned()).or_default() += section.data().len();
                if let KnownCustom::Producers(fields) = section.as_known() {
                    for field in fields.into_iter().map_while(Result::ok) {
                        for value in field.values.into_iter().map_while(Result::ok) {
                            inspection.toolchain.push(format!("{} {}", value.name, value.version).trim().to_owned());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    inspection.sdk = super::traces::find_sdk(bytes);
    inspection.imports(imports.iter().map(|(of_abi, name)| (*of_abi, name.as_str())));
}
