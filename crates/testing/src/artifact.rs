//! Builds or finds a plugin's artifacts, and loads them once per process.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use dynvm::native::Loading;
use dynvm::{BackendKind, LoadError, Loader, LoaderOptions, Module, with_causes};
use dynvm_build::{BuildOptions, Quiet, Source, build};

/// Directory with prebuilt `<package>.so` and `<package>.wasm`; the package is not built then.
const ARTIFACTS: &str = "DYNVM_TEST_ARTIFACTS";

/// Why a plugin has no module: the build failed, or its result is not a plugin. The text is for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactError(String);

impl std::fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ArtifactError {}

fn error(error: impl std::error::Error) -> ArtifactError {
    ArtifactError(with_causes(&error))
}

/// The source of a plugin's artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum From {
    /// A source directory, which is built.
    Source { dir: PathBuf, package: Option<String>, features: Vec<String> },
    /// A prebuilt file: native, wasm, or both.
    File(PathBuf),
}

/// Key of the module cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: From,
    backend: BackendKind,
    plain: bool,
}

/// The module of a plugin for native or wasm. Concurrent requests for the same module wait for one build.
pub(crate) fn module(from: &From, backend: BackendKind, plain: bool) -> Result<Module, ArtifactError> {
    // One build at a time: two cargo processes in one target directory would only wait for each other.
    static MODULES: LazyLock<Mutex<HashMap<Key, Result<Module, ArtifactError>>>> = LazyLock::new(Mutex::default);
    let mut modules = MODULES.lock().unwrap_or_else(|e| e.into_inner());
    let key = Key { from: from.clone(), backend, plain };
    modules.entry(key).or_insert_with(|| load(&find(from, backend)?, backend, plain)).clone()
}

fn load(path: &Path, backend: BackendKind, plain: bool) -> Result<Module, ArtifactError> {
    let module = loader(path, plain)?.load_file(path).map_err(error)?;
    if module.backend() != backend {
        let (found, name) = (module.backend(), path.display());
        return Err(ArtifactError(format!("{name} is for {found}, and the test wants to run it on {backend}")));
    }
    Ok(module)
}

fn loader(path: &Path, plain: bool) -> Result<Loader, ArtifactError> {
    let mut native = dynvm::native::Options::default();
    native.debugger = true;
    if plain {
        native.loading = Loading::System;
    }
    let mut options = LoaderOptions::default();
    options.native = Some(native);
    let mut wasm = dynvm::wasm::Options::default();
    wasm.cache_dir = path.parent().map(|dir| dir.join("dynvm-cache"));
    options.wasm = wasm;
    match Loader::with_options(options.clone()) {
        // Source trees are often group-writable, and a cache there is refused; each test then compiles the module.
        Err(LoadError::CodeCache { .. }) => {
            options.wasm.cache_dir = None;
            Loader::with_options(options).map_err(error)
        }
        loader => loader.map_err(error),
    }
}

/// The file for a backend, built if necessary.
fn find(from: &From, backend: BackendKind) -> Result<PathBuf, ArtifactError> {
    let (dir, package, features) = match from {
        From::File(path) => return Ok(path.clone()),
        From::Source { dir, package, features } => (dir, package, features),
    };
    if let (Some(package), Some(artifacts)) = (package, std::env::var_os(ARTIFACTS)) {
        let extension = if backend == BackendKind::Native { std::env::consts::DLL_EXTENSION } else { "wasm" };
        return Ok(Path::new(&artifacts).join(format!("{package}.{extension}")));
    }
    let source = Source::find(dir).map_err(error)?;
    let options = BuildOptions {
        native: backend == BackendKind::Native,
        wasm: backend == BackendKind::Wasm,
        debug: is_debug(),
        features: features.clone(),
        target_dir: target_dir(&source),
        ..BuildOptions::default()
    };
    let built = build(&source, &options, &Quiet);
    let artifact = if backend == BackendKind::Native { built.native } else { built.wasm };
    let artifact = artifact.ok_or_else(|| ArtifactError(format!("{}: nothing was built", dir.display())))?;
    artifact.map(|artifact| artifact.path).map_err(error)
}

/// The package's own target directory; for C and C++ a subdirectory of the test's, so that nothing
/// is written among sources.
fn target_dir(source: &Source) -> Option<PathBuf> {
    let Source::Files(files) = source else { return None };
    let mut identity = DefaultHasher::new();
    files.files.hash(&mut identity);
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.join("dynvm-testing");
    Some(target.join(format!("{}-{:016x}", files.name, identity.finish())))
}

/// Whether this test was built without optimization, judging by its path:
/// `target/debug/deps/test-...`. The plugin is then built the same way.
fn is_debug() -> bool {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).and_then(Path::file_name) == Some(OsStr::new("debug"))
}
