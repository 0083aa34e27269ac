//! Many different plugins in one Envoy: how long it takes to get ready, and its memory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dynvm_benches::envoy::{Client, Envoy, address, http_listener};
use serde_json::{Value, json};

use crate::cases::{By, Case, Files};

/// A file is read whole for some time after it was written.
const SETTLED: Duration = Duration::from_secs(3);

/// Measures Envoys with so many plugins, each on a listener of its own, and prints a table.
pub fn run(program: &Path, files: &Files, count: usize) -> Result<()> {
    println!("| {count} different plugins | ready after | resident after a request to each |");
    println!("|---|---|---|");
    for by in [By::None, By::V8, By::Native, By::Wasm] {
        let dir = tempfile::tempdir()?;
        let listeners = (0..count).map(|number| listener(by, files, dir.path(), number)).collect::<Result<Vec<_>>>()?;
        // As files that were installed some time ago: the module reads one that was just written whole.
        std::thread::sleep(SETTLED);
        let config = json!({"admin": {"address": address(0)}, "static_resources": {"listeners": listeners}});
        let envoy = Envoy::start(program, &config, 1)?;
        for number in 0..count {
            Client::connect(envoy.port(&number.to_string())?, 1)?.send(&Case::Headers.request(), 1)?;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.pid()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let mib: f64 = kib.context("VmRSS")?.parse::<f64>()? / 1024.0;
        println!("| {} | {:.2} s | {mib:.0} MiB |", by.name(), envoy.ready_after.as_secs_f64());
    }
    Ok(())
}

fn listener(by: By, files: &Files, dir: &Path, number: usize) -> Result<Value> {
    let name = number.to_string();
    let filters = if by == By::None {
        Vec::new()
    } else {
        let original = files.artifact(by, "header-rewrite");
        let path = dir.join(&name).with_extension(original.extension().unwrap_or_default());
        let mut bytes = std::fs::read(&original).with_context(|| original.display().to_string())?;
        bytes.extend(difference(by, number as u8));
        std::fs::write(&path, bytes)?;
        vec![files.filter(by, &name, &path, "{}")]
    };
    Ok(http_listener(&name, filters))
}

/// Bytes at the end of a file that make another plugin of it: a custom section of a module, and what no ELF reader reads.
fn difference(by: By, number: u8) -> Vec<u8> {
    const CUSTOM: u8 = 0;
    match by {
        By::Native => vec![number],
        _ => vec![CUSTOM, 3, 1, b'n', number],
    }
}
