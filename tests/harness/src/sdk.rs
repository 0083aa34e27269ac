//! Builds the test plugin on the Rust SDK.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::compile::{output_dir, release, tests_dir};

/// The plugin `sdk-crash`, its panics `unwind` or `abort`, built once in a run.
pub fn crash(panic: &str) -> PathBuf {
    // One at a time: they share a directory.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(|e| e.into_inner());
    let target = output_dir().join(format!("sdk-crash-{panic}"));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "sdk-crash", "--target-dir"])
        .arg(&target)
        .env("CARGO_PROFILE_RELEASE_PANIC", panic)
        .current_dir(tests_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    release(&target, "libsdk_crash.so")
}
