//! Checks, as far as visible, that a module and an image are builds of one plugin.

use std::collections::BTreeSet;

use dynvm::inspect::Inspection;

/// The difference with a remedy, if any.
///
/// A host may run either part. If only one has a callback, the plugin would behave differently on other machines.
pub fn difference(wasm: &Inspection, image: &Inspection) -> Option<String> {
    let remedy = "build both from the same source (dynvm build creates both)";
    match (wasm.abi_versions.iter().max(), image.abi_versions.iter().max()) {
        (Some(wasm), Some(image)) if wasm == image => {}
        (Some(wasm), Some(image)) => {
            return Some(format!("it is for ABI version {image}, the wasm module for {wasm}: {remedy}"));
        }
        (_, None) => {
            return Some(
                "it exports no marker of an ABI version (proxy_abi_version_0_2_1): it is not a plugin".to_owned(),
            );
        }
        (None, _) => return Some("the wasm module exports no marker of an ABI version: it is not a plugin".to_owned()),
    }
    let [in_wasm, in_image] = [wasm, image].map(|part| part.callbacks.iter().copied().collect::<BTreeSet<_>>());
    let list = |names: Vec<&str>, what: &str| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let differences = [
        list(in_wasm.difference(&in_image).copied().collect(), "it lacks callbacks that the wasm module has"),
        list(in_image.difference(&in_wasm).copied().collect(), "it has callbacks that the wasm module lacks"),
    ];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    (!differences.is_empty()).then(|| format!("{}; {remedy}", differences.join("; ")))
}

/// Imports of the image that no host provides.
pub fn unknown_imports(image: &Inspection) -> Option<String> {
    let unknown = image
        .hostcalls
        .iter()
        .filter_map(|hostcall| hostcall.problem.as_ref().map(|problem| format!("{} ({problem})", hostcall.name)));
    let unknown: Vec<String> = unknown.collect();
    (!unknown.is_empty()).then(|| format!("it has imports that no host provides: {}", unknown.join(", ")))
}
