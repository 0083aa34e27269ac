//! Resolves plugin arguments to the builds a suite runs on: one, or native and wasm.

use std::path::{Path, PathBuf};

use dynvm::bundle::Bundle;
use dynvm::trust::TrustPolicy;
use dynvm::{Artifact, BackendKind, Module};

use crate::artifact::{self, Backend};
use crate::exit::{cannot_load, usage};
use crate::progress;

/// Builds directories and loads all builds, native first.
pub fn modules(plugins: &[PathBuf], policy: Option<TrustPolicy>) -> anyhow::Result<Vec<Module>> {
    let mut modules = Vec::new();
    for plugin in plugins {
        modules.extend(builds(plugin, policy.as_ref())?);
    }
    modules.sort_by_key(Module::backend);
    for pair in modules.windows(2) {
        if pair[0].backend() == pair[1].backend() {
            let (first, second) = (pair[0].name(), pair[1].name());
            let backend = pair[0].backend();
            return Err(usage(format!(
                "{first} and {second} are both {backend}; name at most one native and one wasm build"
            )));
        }
    }
    Ok(modules)
}

/// The builds of a plugin argument: both for a directory and a fat plugin, otherwise the file itself.
fn builds(plugin: &Path, policy: Option<&TrustPolicy>) -> anyhow::Result<Vec<Module>> {
    let load = |artifact: &Artifact, backend: Backend| {
        let spinner = progress::spinner("loading");
        let module = artifact::loader_of(backend, policy.cloned())?.load_artifact(artifact).map_err(cannot_load);
        spinner.finish_and_clear();
        module
    };
    if plugin.is_dir() {
        let pair = artifact::pair(&[plugin.to_owned()], policy)?;
        return Ok(vec![load(&pair.native, Backend::Native)?, load(&pair.wasm, Backend::Wasm)?]);
    }
    let artifact = artifact::read(plugin, policy)?;
    let backend = Backend::of(&artifact)?;
    let mut builds = vec![load(&artifact, backend)?];
    if backend == Backend::Wasm && matches!(Bundle::read(&artifact.bytes), Ok(Some(_))) {
        let native = load(&artifact, Backend::Native)?;
        // Otherwise the fat plugin has no image that can and may run here.
        if native.backend() == BackendKind::Native {
            builds.insert(0, native);
        }
    }
    Ok(builds)
}
