//! Resolves a file or a source directory to modules.

use std::path::{Path, PathBuf};

use dynvm::trust::TrustPolicy;
use dynvm::{Artifact, ArtifactKind, BackendPreference, Loader, LoaderOptions, Module};

use crate::build::{BuildOptions, build_plugin};
use crate::exit::{cannot_load, load_failure, usage};

/// A build of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The shared object.
    Native,
    /// The WebAssembly module.
    Wasm,
}

impl Backend {
    pub fn name(self) -> &'static str {
        match self {
            Backend::Native => "native",
            Backend::Wasm => "wasm",
        }
    }

    /// The backend of an artifact, detected by content.
    pub fn of(artifact: &Artifact) -> anyhow::Result<Backend> {
        match ArtifactKind::of(&artifact.bytes) {
            Ok(ArtifactKind::Native) => Ok(Backend::Native),
            Ok(_) => Ok(Backend::Wasm),
            Err(what) => Err(load_failure(format!("{}: {what}", artifact.name))),
        }
    }
}

/// A loader for plugins named by the user: naming a shared object allows it, unless a policy decides.
pub fn loader(wasm: dynvm::wasm::Options, policy: Option<TrustPolicy>) -> anyhow::Result<Loader> {
    let mut options = LoaderOptions::default().allow_native();
    options.wasm = wasm;
    options.trust = policy;
    Loader::with_options(options).map_err(cannot_load)
}

/// The same for one build of a plugin; of a fat plugin it loads that part.
pub fn loader_of(backend: Backend, policy: Option<TrustPolicy>) -> anyhow::Result<Loader> {
    loader_with(backend, dynvm::wasm::Options::default(), policy)
}

/// The same with options for wasm.
pub fn loader_with(
    backend: Backend,
    wasm: dynvm::wasm::Options,
    policy: Option<TrustPolicy>,
) -> anyhow::Result<Loader> {
    let mut options = LoaderOptions::default().allow_native();
    options.wasm = wasm;
    options.trust = policy;
    if backend == Backend::Wasm {
        options.prefer = BackendPreference::Wasm;
    }
    Loader::with_options(options).map_err(cannot_load)
}

/// Loads a file.
pub fn load(loader: &Loader, path: &Path) -> anyhow::Result<Module> {
    loader.load_file(path).map_err(cannot_load)
}

/// Reads a file, together with the facts that a policy checks.
pub fn read(path: &Path, policy: Option<&TrustPolicy>) -> anyhow::Result<Artifact> {
    policy.map_or_else(|| Artifact::read(path), |policy| policy.read_file(path, None)).map_err(cannot_load)
}

/// Both builds of one plugin.
pub struct Pair {
    pub native: Artifact,
    pub wasm: Artifact,
    /// Source directory of the plugin, if the user named one.
    pub dir: Option<PathBuf>,
}

/// Finds both builds: a directory is built; two files are distinguished by content.
pub fn pair(paths: &[PathBuf], policy: Option<&TrustPolicy>) -> anyhow::Result<Pair> {
    match paths {
        [dir] if dir.is_dir() => {
            let built = build_plugin(dir, &BuildOptions::default()).map_err(|e| load_failure(format!("{e:#}")))?;
            let missing =
                |what: &str| load_failure(format!("{}: the {what} build produced no artifact", dir.display()));
            Ok(Pair {
                native: read(&built.native.ok_or_else(|| missing("native"))?, policy)?,
                wasm: read(&built.wasm.ok_or_else(|| missing("wasm"))?, policy)?,
                dir: Some(dir.clone()),
            })
        }
        [file] => Err(usage(format!(
            "{} is one file; name a plugin's directory, or the two builds of one plugin (FILE.so FILE.wasm)",
            file.display()
        ))),
        [first, second] => {
            let [first, second] = [read(first, policy)?, read(second, policy)?];
            match (Backend::of(&first)?, Backend::of(&second)?) {
                (Backend::Native, Backend::Wasm) => Ok(Pair { native: first, wasm: second, dir: None }),
                (Backend::Wasm, Backend::Native) => Ok(Pair { native: second, wasm: first, dir: None }),
                (both, _) => Err(usage(format!("both files are {}; name one native and one wasm build", both.name()))),
            }
        }
        _ => Err(usage("name a plugin's directory, or two files")),
    }
}

/// Finds one build.
pub fn single(path: &Path, backend: Option<Backend>) -> anyhow::Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let backend = backend.unwrap_or(Backend::Native);
    let options =
        BuildOptions { native: backend == Backend::Native, wasm: backend == Backend::Wasm, ..BuildOptions::default() };
    let built = build_plugin(path, &options).map_err(|e| load_failure(format!("{e:#}")))?;
    match backend {
        Backend::Native => built.native,
        Backend::Wasm => built.wasm,
    }
    .ok_or_else(|| load_failure(format!("{}: the build produced no artifact", path.display())))
}
