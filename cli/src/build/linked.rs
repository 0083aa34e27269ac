//! `dynvm build --static`: plugins as static libraries, for programs without a build script.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dynvm_build::{Progress as _, Source};
use dynvm_link::{LinkError, Output, StateModel, Target, plugin};
use serde_json::json;

use super::progress::Shown;
use super::{BuildArgs, Format, report};

/// Links every plugin, and prints what was written. True if all were linked.
pub fn execute(args: &BuildArgs, sources: &[Source], out_dir: &Path) -> Result<bool> {
    let shown = Shown::new(args.verbose);
    let linked: Vec<_> = sources
        .iter()
        .zip(&args.dirs)
        .map(|(source, dir)| {
            shown.step(&format!("{}: static library", source.name()));
            (source, link(args, source, dir, out_dir))
        })
        .collect();
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Text => text(&linked, &mut out)?,
        Format::Json => json(&linked, &mut out)?,
    }
    out.flush()?;
    for (_, linked) in &linked {
        match linked {
            Ok(output) => output.notes.iter().for_each(|note| anstream::eprintln!("note: {note}")),
            Err(error) => report::error(error),
        }
    }
    Ok(linked.iter().all(|(_, linked)| linked.is_ok()))
}

fn link(args: &BuildArgs, source: &Source, dir: &Path, out_dir: &Path) -> Result<Output, LinkError> {
    let own = || source.dir().join("target/dynvm-link");
    let mut plugin = plugin(dir).target_dir(args.target_dir.clone().unwrap_or_else(own));
    for feature in &args.features {
        plugin = plugin.feature(feature);
    }
    for include in &args.include {
        plugin = plugin.include(include);
    }
    if let Some(slots) = args.slots {
        plugin = plugin.slots(slots);
    }
    if args.share_statics {
        plugin = plugin.state(StateModel::PerThread);
    }
    if args.debug {
        plugin = plugin.debug();
    }
    let mut target = Target::of_this_machine(out_dir)?;
    target.debug_info = args.debug;
    plugin.link(&target)
}

/// What was written for a plugin, with what it is.
fn files(output: &Output) -> [(&'static str, &PathBuf); 3] {
    [("library", &output.library), ("header", &output.header), ("source", &output.source)]
}

fn text(plugins: &[(&Source, Result<Output, LinkError>)], out: &mut dyn Write) -> Result<()> {
    for (source, linked) in plugins {
        writeln!(out, "{}", source.name())?;
        match linked {
            Ok(output) => {
                for (what, path) in files(output) {
                    writeln!(out, "  {what:<7}  {}", path.display())?;
                }
                match output.slots {
                    Some(slots) => writeln!(out, "  VMs      {slots} at a time")?,
                    None => writeln!(out, "  VMs      any number, with the same statics")?,
                }
                for (what, names) in [("statics", &output.statics), ("needs", &output.needed)] {
                    if !names.is_empty() {
                        writeln!(out, "  {what:<7}  {}", names.join(", "))?;
                    }
                }
            }
            Err(_) => writeln!(out, "  static   failed")?,
        }
    }
    Ok(())
}

fn json(plugins: &[(&Source, Result<Output, LinkError>)], out: &mut dyn Write) -> Result<()> {
    let plugins: Vec<_> = plugins
        .iter()
        .map(|(source, linked)| {
            let linked = match linked {
                Ok(output) => json!({
                    "library": output.library,
                    "header": output.header,
                    "source": output.source,
                    "slots": output.slots,
                    "statics": output.statics,
                    "needs": output.needed,
                    "notes": output.notes,
                }),
                Err(error) => json!({"error": dynvm::with_causes(error)}),
            };
            json!({"name": source.name(), "directory": source.dir(), "static": linked})
        })
        .collect();
    writeln!(out, "{:#}", json!({"plugins": plugins}))?;
    Ok(())
}
