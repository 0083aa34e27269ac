//! Packs a module and images into a fat plugin.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dynvm::bundle::{Bundle, BundleWriter, hex, this_machine};
use dynvm::inspect::{Inspection, inspect};
use owo_colors::OwoColorize as _;
use serde_json::json;

use super::{Format, fault_of, matching, read, sign};
use crate::exit::usage;
use crate::file::{Pending, is_same};
use crate::{artifact, progress};

/// An image argument.
struct Named<'a> {
    machine: &'a str,
    path: PathBuf,
    bytes: Vec<u8>,
}

pub fn pack(module: &Path, images: &[String], key: Option<&Path>, output: &Path, format: Format) -> Result<()> {
    let images = images.iter().map(|text| name(text)).collect::<Result<Vec<_>>>()?;
    if let Some(image) = images.iter().find(|image| is_same(&image.path, output)) {
        return Err(usage(format!(
            "{}: would be overwritten by the fat plugin; use another --output",
            image.path.display()
        )));
    }
    let wasm = read(module)?;
    let mut writer = BundleWriter::new(&wasm).map_err(|error| fault_of(module, error))?;
    for image in &images {
        writer = writer.image(image.machine, &image.bytes).map_err(|error| fault_of(&image.path, error))?;
    }
    // Check the parts before bundling, so that an error names the user's file.
    let before = Bundle::read(&wasm).ok().flatten();
    check(module, before.as_ref().map_or(&wasm, |bundle| bundle.wasm()), &images)?;
    // Ask for the password last, when everything else is valid.
    let key = key.map(sign::secret_key).transpose()?;

    let bytes = match &key {
        Some(key) => writer.write_signed(|manifest| sign::sign(key, manifest, output)),
        None => writer.write().map_err(anyhow::Error::from),
    };
    let bytes = bytes.map_err(|error| fault_of(output, format!("{error:#}")))?;
    let bundle = Bundle::read(&bytes).map_err(|error| fault_of(output, error))?;
    let bundle = bundle.ok_or_else(|| fault_of(output, "the fat plugin has no images"))?;
    Pending::write(output, &bytes)?.commit()?;
    report(output, bytes.len(), &bundle, before.as_ref(), format)
}

/// `MACHINE=FILE`.
fn name(text: &str) -> Result<Named<'_>> {
    let Some((machine, path)) = text.split_once('=').filter(|(machine, path)| !machine.is_empty() && !path.is_empty())
    else {
        let example = this_machine();
        return Err(usage(format!("{text:?} has no machine; write {example}=FILE.so")));
    };
    let path = PathBuf::from(path);
    let bytes = read(&path)?;
    Ok(Named { machine, path, bytes })
}

/// Each part must be a plugin that would load, as far as visible here, and all must match.
fn check(module: &Path, wasm: &[u8], images: &[Named<'_>]) -> Result<()> {
    let spinner = progress::spinner("checking");
    let loader = artifact::loader(dynvm::wasm::Options::default(), None)?;
    let look = |path: &Path, bytes: &[u8]| -> Inspection { inspect(&loader, &path.display().to_string(), bytes) };
    let wasm = look(module, wasm);
    let parts: Vec<Inspection> = images.iter().map(|image| look(&image.path, &image.bytes)).collect();
    spinner.finish_and_clear();
    if let Some(refusal) = wasm.refusal {
        return Err(crate::exit::load_failure(refusal));
    }
    for (image, part) in images.iter().zip(&parts) {
        if let Some(refusal) = part.refusal.as_ref().filter(|_| image.machine == this_machine()) {
            return Err(crate::exit::load_failure(refusal));
        }
        if let Some(what) = matching::difference(&wasm, part).or_else(|| matching::unknown_imports(part)) {
            return Err(fault_of(&image.path, what));
        }
    }
    Ok(())
}

fn report(output: &Path, size: usize, bundle: &Bundle<'_>, before: Option<&Bundle<'_>>, format: Format) -> Result<()> {
    let replaced: Vec<&str> =
        before.into_iter().flat_map(|before| before.images().map(|image| image.machine)).collect();
    match format {
        Format::Json => {
            let image = |image: dynvm::bundle::Image<'_>| json!({"machine": image.machine, "bytes": image.bytes.len(), "sha256": hex(&image.digest)});
            let report = json!({
                "output": output,
                "bytes": size,
                "wasm_bytes": bundle.wasm().len(),
                "images": bundle.images().map(image).collect::<Vec<_>>(),
                "signed": bundle.signature().is_some(),
                "replaced": replaced,
            });
            println!("{report:#}");
        }
        Format::Text => {
            anstream::println!("{}  {size} bytes", output.display().bold());
            anstream::println!("  wasm module  {} bytes", bundle.wasm().len());
            for image in bundle.images() {
                let (bytes, digest) = (image.bytes.len(), hex(&image.digest));
                anstream::println!("  {:<11}  {bytes} bytes, sha256 {digest}", image.machine);
            }
            anstream::println!("  {}", if bundle.signature().is_some() { "signed" } else { "not signed" });
        }
    }
    let gone: Vec<&str> = replaced.into_iter().filter(|machine| bundle.image_for(machine).is_none()).collect();
    if !gone.is_empty() {
        warn(&format!("the previous image for {} is removed; name it too to keep it", gone.join(" and for ")));
    }
    if before.is_some_and(|before| before.signature().is_some()) && bundle.signature().is_none() {
        warn("the previous signature is removed; use --sign to sign again");
    }
    Ok(())
}

fn warn(what: &str) {
    anstream::eprintln!("{} {what}", "warning:".yellow().bold());
}
