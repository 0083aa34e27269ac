//! From what the user names to the builds that a suite is run with: one, or a native and a wasm one.

use std::path::{Path, PathBuf};

use dynvm::bundle::Bundle;
use dynvm::trust::TrustPolicy;
use dynvm::{BackendKind, Module};

use crate::artifact::{self, Backend};
use crate::exit::{load_failure, usage};
use crate::progress;

/// Builds what is a directory and loads all of it, native first.
pub fn modules(plugins: &[PathBuf], policy: Option<TrustPolicy>) -> anyhow::Result<Vec<Module>> {
    let mut modules = Vec::new();
    for plugin in plugins {
        for (path, backend) in builds(plugin, policy.as_ref())? {
            let spinner = progress::spinner("loading");
            let module = artifact::load(&artifact::loader_of(backend, policy.clone())?, &path)?;
            spinner.finish_and_clear();
            modules.push(module);
        }
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

/// The builds of a plugin that is named: of a directory and of a fat plugin both, of another file the one that it is.
fn builds(plugin: &Path, policy: Option<&TrustPolicy>) -> anyhow::Result<Vec<(PathBuf, Backend)>> {
    if plugin.is_dir() {
        let pair = artifact::pair(&[plugin.to_owned()])?;
        return Ok(vec![(pair.native, Backend::Native), (pair.wasm, Backend::Wasm)]);
    }
    let backend = Backend::of(plugin)?;
    let mut builds = vec![(plugin.to_owned(), backend)];
    if backend == Backend::Wasm && has_native_part(plugin, policy)? {
        builds.insert(0, (plugin.to_owned(), Backend::Native));
    }
    Ok(builds)
}

/// Whether a wasm module carries an image that can, and may, be run here.
fn has_native_part(plugin: &Path, policy: Option<&TrustPolicy>) -> anyhow::Result<bool> {
    let bytes = std::fs::read(plugin).map_err(|error| load_failure(format!("{}: {error}", plugin.display())))?;
    let Ok(Some(_)) = Bundle::read(&bytes) else { return Ok(false) };
    let loader = artifact::loader_of(Backend::Native, policy.cloned())?;
    Ok(artifact::load(&loader, plugin)?.backend() == BackendKind::Native)
}
