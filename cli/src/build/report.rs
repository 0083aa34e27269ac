//! The final report of `dynvm build`.

use std::io::Write;

use anyhow::Result;
use dynvm_build::{Artifact, BuildError, Built};
use serde_json::{Value, json};

/// Prints an error to standard error.
pub fn error(error: &dyn std::error::Error) {
    anstream::eprintln!("error: {}", dynvm::with_causes(error));
}

/// Human-readable: the artifacts to `out`, errors to standard error.
pub fn text(plugins: &[Built], out: &mut dyn Write) -> Result<()> {
    for plugin in plugins {
        writeln!(out, "{}", plugin.name)?;
        for (kind, part) in [("native", &plugin.native), ("wasm", &plugin.wasm)] {
            match part {
                None => {}
                Some(Ok(artifact)) => writeln!(
                    out,
                    "  {kind:<6}  {}  {} ({})",
                    artifact.path.display(),
                    size(bytes(artifact)),
                    artifact.by
                )?,
                Some(Err(_)) => writeln!(out, "  {kind:<6}  failed")?,
            }
        }
    }
    out.flush()?;
    for part in plugins.iter().flat_map(|plugin| [&plugin.native, &plugin.wasm]) {
        if let Some(Err(problem)) = part {
            anstream::eprintln!();
            error(problem);
        }
    }
    Ok(())
}

/// One JSON object with the member `plugins`.
pub fn json(plugins: &[Built], out: &mut dyn Write) -> Result<()> {
    let part = |part: &Option<Result<Artifact, BuildError>>| match part {
        None => Value::Null,
        Some(Ok(artifact)) => {
            json!({"path": artifact.path, "bytes": bytes(artifact), "by": artifact.by})
        }
        Some(Err(error)) => json!({"error": dynvm::with_causes(error)}),
    };
    let plugins: Vec<_> = plugins
        .iter()
        .map(|plugin| {
            json!({
                "name": plugin.name,
                "directory": plugin.dir,
                "native": part(&plugin.native),
                "wasm": part(&plugin.wasm),
            })
        })
        .collect();
    writeln!(out, "{:#}", json!({"plugins": plugins}))?;
    Ok(())
}

fn bytes(artifact: &Artifact) -> u64 {
    std::fs::metadata(&artifact.path).map(|metadata| metadata.len()).unwrap_or(0)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn plugins() -> Vec<Built> {
        vec![Built {
            name: "a".to_owned(),
            dir: "/p/a".into(),
            native: Some(Ok(Artifact { path: "/none/a.so".into(), by: "cargo".to_owned() })),
            wasm: Some(Err(anyhow!("no linker").into())),
        }]
    }

    #[test]
    fn text_lists_artifacts_and_failures() {
        let mut out = Vec::new();
        text(&plugins(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "a\n  native  /none/a.so  0 B (cargo)\n  wasm    failed\n");
    }

    #[test]
    fn json_has_paths_and_errors() {
        let mut out = Vec::new();
        json(&plugins(), &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["plugins"][0]["native"]["path"], "/none/a.so");
        assert_eq!(value["plugins"][0]["wasm"]["error"], "no linker");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(2048), "2 KiB");
        assert_eq!(size(3 << 20), "3.0 MiB");
    }
}
