//! `dynvm inspect`: kind, ABI version and functions of an artifact, and whether it would load.

mod fat;

use std::path::PathBuf;
use std::process::ExitCode;

use dynvm::Limitation;
use dynvm::inspect::Inspection;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::policy::PolicyArg;
use crate::{artifact, exit};

/// Show the kind, ABI version and functions of an artifact, and whether it would load.
///
/// No code of the artifact runs. Its imports and exports are compared with the Proxy-Wasm ABI: hostcalls it
/// needs, callbacks it exports, and imports that no host of its ABI version provides.
///
/// For a native plugin the output says whether its VMs may move between threads, and which protections they
/// lack, with the reasons: faults, exits, recursion, heap, statics, unloading, output, clock, random,
/// environment.
///
/// For a fat plugin (dynvm bundle) the output covers the wasm module, every native image and whether it would
/// load here, and the signature, which is not verified.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm inspect plugin.so
  dynvm inspect plugin.so --policy trust.toml
  dynvm inspect dist/*.so dist/*.wasm --format json | jq '.[] | select(.refusal)'

Exit codes: 0 all files would load, 2 wrong usage or an unreadable file, 3 a file would not load.")]
pub struct InspectArgs {
    /// Shared objects and wasm modules, detected by content.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    policy: PolicyArg,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Human-readable.
    Text,
    /// A JSON array with one object per file.
    Json,
}

pub fn execute(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let loader = artifact::loader(dynvm::wasm::Options::default(), args.policy.read()?)?;
    let mut inspections = Vec::new();
    let mut unread = false;
    for path in &args.files {
        match dynvm::inspect::inspect_file(&loader, path) {
            Ok(inspection) => inspections.push(inspection),
            Err(error) => {
                unread = true;
                exit::report(&exit::usage(dynvm::with_causes(&error)));
            }
        }
    }
    match args.format {
        Format::Json => {
            let json: Vec<Json<'_>> = inspections.iter().map(Json::from).collect();
            println!("{}", serde_json::to_string_pretty(&json)?);
        }
        Format::Text => inspections.iter().for_each(print),
    }
    let refused = inspections.iter().any(|inspection| inspection.refusal.is_some());
    Ok(match (unread, refused) {
        (true, _) => ExitCode::from(exit::USAGE),
        (false, true) => ExitCode::from(exit::LOAD_FAILURE),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn print(inspection: &Inspection) {
    anstream::println!("{}", inspection.name.bold());
    let line = |what: &str, value: &str| anstream::println!("  {:<12} {value}", what.dimmed());
    let list = |what: &str, values: &[String]| {
        if !values.is_empty() {
            line(what, &values.join(", "));
        }
    };
    let kind = inspection.kind.map_or_else(|| "no plugin".to_owned(), |kind| kind.to_string());
    match &inspection.fat {
        None => line("kind", &format!("{kind}, {} bytes", inspection.size)),
        Some(fat) => fat::print(fat, inspection.size, line),
    }
    list("ABI", &inspection.abi_versions.iter().map(ToString::to_string).collect::<Vec<_>>());
    list("SDK", inspection.sdk.as_slice());
    list("toolchain", &inspection.toolchain);
    for (name, value) in inspection.descriptor.iter().flatten() {
        line("descriptor", &format!("{name}: {value}"));
    }
    list("starts with", &inspection.entry_points.iter().map(ToString::to_string).collect::<Vec<_>>());
    list("callbacks", &inspection.callbacks.iter().map(ToString::to_string).collect::<Vec<_>>());
    let hostcall = |hostcall: &dynvm::inspect::Hostcall| match &hostcall.problem {
        None => hostcall.name.clone(),
        Some(problem) => format!("{} ({})", hostcall.name, problem.red()),
    };
    list("hostcalls", &inspection.hostcalls.iter().map(hostcall).collect::<Vec<_>>());
    // A shared object imports dozens of functions of the C library; the needed libraries say enough.
    if inspection.needed_libraries.is_empty() {
        list("imports", &inspection.other_imports);
    }
    list("libraries", &inspection.needed_libraries);
    list("glibc", inspection.glibc.as_slice());
    if let Some((initial, maximum)) = inspection.memory_pages {
        let maximum = maximum.map_or_else(|| "no limit".to_owned(), |pages| format!("at most {} KiB", pages * 64));
        line("memory", &format!("{} KiB at the start, {maximum}", initial * 64));
    }
    let sections = inspection.custom_sections.iter().map(|(name, size)| format!("{name} ({size})"));
    list("sections", &sections.collect::<Vec<_>>());
    match &inspection.refusal {
        None => {
            match inspection.pinned.as_slice() {
                [] => line("threads", "VMs may move between threads"),
                reasons => reasons.iter().for_each(|reason| line("threads", &format!("VMs stay on theirs: {reason}"))),
            }
            for (reason, protections) in by_reason(&inspection.limitations) {
                line("lacks", &format!("{}: {reason}", protections.join(", ").yellow()));
            }
            line("verdict", &format!("{}{}", "would load".green(), fat::choice(inspection)));
        }
        Some(refusal) => line("verdict", &format!("{}: {refusal}", "would not load".red())),
    }
}

/// Limitations with the same reason together, in the order of the first of each.
fn by_reason(limitations: &[Limitation]) -> Vec<(&str, Vec<&'static str>)> {
    let mut reasons: Vec<(&str, Vec<_>)> = Vec::new();
    for Limitation { protection, reason, .. } in limitations {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, protections)) => protections.push(protection.name()),
            None => reasons.push((reason, vec![protection.name()])),
        }
    }
    reasons
}

/// An inspection as JSON.
#[derive(Serialize)]
struct Json<'a> {
    file: &'a str,
    size_bytes: usize,
    kind: Option<String>,
    abi_versions: Vec<String>,
    sdk: Option<&'a str>,
    toolchain: &'a [String],
    entry_points: &'a [&'static str],
    callbacks: &'a [&'static str],
    hostcalls: Vec<JsonHostcall<'a>>,
    other_imports: &'a [String],
    needed_libraries: &'a [String],
    glibc: Option<&'a str>,
    memory_pages: Option<(u64, Option<u64>)>,
    custom_sections: &'a std::collections::BTreeMap<String, usize>,
    descriptor: Option<std::collections::BTreeMap<&'a str, &'a str>>,
    fat_plugin: Option<fat::Json<'a>>,
    pinned: Vec<String>,
    limitations: Vec<JsonLimitation<'a>>,
    would_load: bool,
    refusal: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonLimitation<'a> {
    protection: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct JsonHostcall<'a> {
    name: &'a str,
    problem: Option<&'a str>,
}

impl<'a> From<&'a Inspection> for Json<'a> {
    fn from(of: &'a Inspection) -> Json<'a> {
        let hostcall = |hostcall: &'a dynvm::inspect::Hostcall| JsonHostcall {
            name: &hostcall.name,
            problem: hostcall.problem.as_deref(),
        };
        let limitation = |limitation: &'a Limitation| JsonLimitation {
            protection: limitation.protection.name(),
            reason: &limitation.reason,
        };
        Json {
            file: &of.name,
            size_bytes: of.size,
            kind: of.kind.map(|kind| kind.to_string()),
            abi_versions: of.abi_versions.iter().map(ToString::to_string).collect(),
            sdk: of.sdk.as_deref(),
            toolchain: &of.toolchain,
            entry_points: &of.entry_points,
            callbacks: &of.callbacks,
            hostcalls: of.hostcalls.iter().map(hostcall).collect(),
            other_imports: &of.other_imports,
            needed_libraries: &of.needed_libraries,
            glibc: of.glibc.as_deref(),
            memory_pages: of.memory_pages,
            custom_sections: &of.custom_sections,
            descriptor: of
                .descriptor
                .as_ref()
                .map(|lines| lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()),
            fat_plugin: of.fat.as_ref().map(fat::Json::from),
            pinned: of.pinned.iter().map(ToString::to_string).collect(),
            limitations: of.limitations.iter().map(limitation).collect(),
            would_load: of.refusal.is_none(),
            refusal: of.refusal.as_deref(),
        }
    }
}
