//! The plugins, built once in a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dynvm_build::{BuildOptions, Quiet, Source, build};

use crate::envoy::By;

/// The directory of a plugin: an example, or one of the tests.
fn dir_of(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = root.join("examples/plugins").join(name);
    if example.is_dir() { example } else { root.join("tests/plugins").join(name) }
}

/// The artifact of a plugin.
pub fn artifact(name: &str, by: By) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, [PathBuf; 2]>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(|e| e.into_inner());
    let [native, wasm] = built.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| {
        let source = Source::find(&dir_of(name)).unwrap();
        let built = build(&source, &BuildOptions::default(), &Quiet);
        let path = |artifact: Option<Result<dynvm_build::Artifact, dynvm_build::BuildError>>| {
            artifact.expect("it was asked for").unwrap_or_else(|error| panic!("{name}: {error:#}")).path
        };
        [path(built.native), path(built.wasm)]
    });
    if by == By::Native { native.clone() } else { wasm.clone() }
}

/// The plugin that does what requests ask for.
pub fn probe(by: By) -> PathBuf {
    artifact("envoy-probe", by)
}
