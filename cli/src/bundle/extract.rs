//! Splits a fat plugin into its parts.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dynvm::bundle::Bundle;
use serde_json::json;

use super::{Format, fault_of, read};
use crate::exit::usage;
use crate::file::{Pending, is_same};

pub fn extract(module: &Path, out_dir: &Path, format: Format) -> Result<()> {
    let bytes = read(module)?;
    let bundle = Bundle::read(&bytes).map_err(|error| fault_of(module, error))?;
    let bundle = bundle.ok_or_else(|| fault_of(module, "this is a plain wasm module, with no parts to extract"))?;

    let stem = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = |suffix: &str| out_dir.join(format!("{stem}{suffix}"));
    let mut parts: Vec<(PathBuf, String, &[u8])> = vec![(path(".wasm"), "wasm".to_owned(), bundle.wasm())];
    for image in bundle.images() {
        parts.push((path(&format!("-{}.so", image.machine)), image.machine.to_owned(), image.bytes));
    }
    if let Some(signature) = bundle.signature() {
        // The name that `minisign -V` expects.
        parts.push((path(".manifest"), "manifest".to_owned(), bundle.signed_bytes()));
        parts.push((path(".manifest.minisig"), "signature".to_owned(), signature.as_bytes()));
    }

    std::fs::create_dir_all(out_dir)
        .map_err(|error| usage(format!("{}: the directory cannot be created: {error}", out_dir.display())))?;
    if let Some((same, ..)) = parts.iter().find(|(path, ..)| is_same(path, module)) {
        return Err(usage(format!("{}: would be overwritten by its own part; use another --out-dir", same.display())));
    }
    let pending = parts.iter().map(|(path, _, bytes)| Pending::write(path, bytes)).collect::<Result<Vec<_>>>()?;
    pending.into_iter().try_for_each(Pending::commit)?;

    match format {
        Format::Json => {
            let file = |(path, part, bytes): &(PathBuf, String, &[u8])| json!({"path": path, "part": part, "bytes": bytes.len()});
            println!("{:#}", json!({"input": module, "files": parts.iter().map(file).collect::<Vec<_>>()}));
        }
        Format::Text => {
            for (path, part, bytes) in &parts {
                anstream::println!("{part:<9}  {}  {} bytes", path.display(), bytes.len());
            }
        }
    }
    Ok(())
}
