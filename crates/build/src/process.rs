//! Runs tools with a clean environment and progress output.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::progress::Progress;

/// Removes variables meant for another cargo or rustc from the environment.
///
/// When this program runs under cargo (`cargo run`, `cargo test`), cargo and rustup have set
/// variables for their own toolchain, which would override the plugin's choice and mislead a cargo
/// of another installation. Outside cargo the same variables come from the user and are kept.
pub fn clean(command: &mut Command) {
    // The target is chosen here, per artifact.
    command.env_remove("CARGO_BUILD_TARGET");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| is_of_outer_cargo(name, runs_under_cargo())) {
            command.env_remove(name);
        }
    }
}

fn runs_under_cargo() -> bool {
    env::var_os("CARGO").is_some() && env::var_os("CARGO_MANIFEST_DIR").is_some()
}

/// Whether the cargo that runs this program set the variable.
fn is_of_outer_cargo(name: &str, under_cargo: bool) -> bool {
    const EXACT: [&str; 13] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
        "RUSTC",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
    ];
    under_cargo && (EXACT.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_EXE_"))
}

/// Output of a finished tool.
pub struct Output {
    status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    stderr: String,
    shown: String,
}

impl Output {
    /// Returns the output of a successful tool, otherwise an error with everything it printed.
    pub fn success(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        let printed = [String::from_utf8_lossy(&self.stdout).trim_end(), self.stderr.trim_end()]
            .into_iter()
            // Cargo's standard output is JSON and not meant for display.
            .filter(|text| !text.is_empty() && !text.starts_with('{'))
            .collect::<Vec<_>>()
            .join("\n");
        let command = match self.shown.char_indices().nth(400) {
            Some((end, _)) => format!("{} ... (`dynvm build --verbose` shows all of it)", &self.shown[..end]),
            None => self.shown,
        };
        // The tool's output begins on a separate line.
        Err(anyhow!("\n{printed}\n\n{}: {command}", self.status))
    }
}

/// Runs a tool to completion. Its standard error is kept, and reported line by line as progress.
pub fn run(command: &mut Command, progress: &dyn Progress) -> Result<Output> {
    run_within(command, progress, None)
}

/// Like [`run`], but kills the tool after `limit`.
pub fn run_within(command: &mut Command, progress: &dyn Progress, limit: Option<Duration>) -> Result<Output> {
    let shown = show(command);
    progress.command(&shown);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| match program.contains('/') {
        true => format!("{program} cannot be run"),
        false => format!("{program} cannot be run: is it installed and in PATH?"),
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let started = Instant::now();
    thread::scope(|scope| {
        let stdout = scope.spawn(|| {
            let mut bytes = Vec::new();
            if let Some(mut stdout) = stdout {
                // A tool that dies closes its end of the pipe; keep what was read until then.
                let _ = stdout.read_to_end(&mut bytes);
            }
            bytes
        });
        let stderr = scope.spawn(|| {
            let mut text = String::new();
            let mut reader = stderr.map(BufReader::new);
            let mut line = Vec::new();
            while let Some(reader) = &mut reader {
                line.clear();
                if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    break;
                }
                let line = String::from_utf8_lossy(&line);
                progress.line(line.trim_end());
                text.push_str(&line);
            }
            text
        });
        let waited = loop {
            match limit {
                None => break child.wait(),
                Some(limit) if started.elapsed() > limit => {
                    // This also ends the wait below. The child may have exited already.
                    let _ = child.kill();
                    break child.wait();
                }
                Some(_) => match child.try_wait() {
                    Ok(None) => thread::sleep(Duration::from_millis(50)),
                    Ok(Some(status)) => break Ok(status),
                    Err(error) => break Err(error),
                },
            }
        };
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        let status = waited.with_context(|| format!("{program} cannot be waited for"))?;
        Ok(Output { status, stdout, stderr, shown })
    })
}

/// Standard output of a short query; `None` if the tool is missing or fails.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Formats a command as a user would type it, with the variables set for it.
fn show(command: &Command) -> String {
    let quote = |text: &OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quote(value?))))
        .collect();
    words.push(quote(command.get_program()));
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quiet;

    #[test]
    fn variables_of_an_outer_cargo() {
        for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "CARGO", "CARGO_PKG_NAME"] {
            assert!(is_of_outer_cargo(name, true), "{name}");
            assert!(!is_of_outer_cargo(name, false), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "PATH", "RUSTUP_HOME"] {
            assert!(!is_of_outer_cargo(name, true), "{name}");
        }
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("cc");
        command.args(["-o", "my plugin.so", "it's"]).env("A", "b c").env_remove("D");
        assert_eq!(show(&command), r"A='b c' cc -o 'my plugin.so' 'it'\''s'");
    }

    #[test]
    #[cfg(unix)]
    fn a_failure_shows_what_was_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
        let output = run(&mut command, &Quiet).unwrap();
        let error = output.success().err().unwrap().to_string();
        assert!(error.contains("one\ntwo") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_tool_that_hangs_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let limit = Some(Duration::from_millis(100));
        let output = run_within(&mut command, &Quiet, limit).unwrap();
        assert!(output.success().is_err());
    }
}
