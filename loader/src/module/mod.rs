//! Modules: artifacts that passed the trust policy and were compiled by a backend.

mod compiled;
mod fat;
mod input;
#[cfg(feature = "null")]
pub(crate) mod linked;
mod options;
mod setup;
mod trusted;

use std::path::Path;

pub use compiled::Module;
use input::Input;
pub use options::LoaderOptions;
use setup::Setup;

use crate::artifact::ArtifactKind;
use crate::bundle::{Bundle, Image};
use crate::error::LoadError;
use crate::telemetry;
use crate::trust::{Artifact, Extent, FileFacts};

/// Loads artifacts as modules. Clones share one engine and one configuration; a process needs one
/// loader.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::{BackendKind, LoadError, Loader};
///
/// let loader = Loader::new()?;
/// let module = loader.load_bytes("noop.wat", br#"(module (func (export "proxy_abi_version_0_2_1")))"#)?;
/// assert_eq!(module.backend(), BackendKind::Wasm);
///
/// let error = loader.load_file("no-such-plugin.wasm").err();
/// assert!(matches!(error, Some(LoadError::Io { .. })));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Loader(Setup);

impl Loader {
    /// A loader with the default options: wasm plugins only.
    ///
    /// # Errors
    ///
    /// [`LoadError::Engine`]: wasmtime does not run on this machine.
    pub fn new() -> Result<Loader, LoadError> {
        Loader::with_options(LoaderOptions::default())
    }

    /// A loader with these options.
    ///
    /// # Errors
    ///
    /// [`LoadError::Engine`]: wasmtime does not run on this machine, or not with these options.
    /// [`LoadError::CodeCache`]: the directory for compiled code is not safe to use.
    pub fn with_options(options: LoaderOptions) -> Result<Loader, LoadError> {
        Ok(Loader(Setup::new(options)?))
    }

    /// Loads a file: an ELF shared object, a wasm module, or its text form, detected by content and
    /// not by name.
    ///
    /// For a fat plugin ([`bundle`](crate::bundle)), loads the native image for this machine if
    /// native plugins are allowed, otherwise the wasm module;
    /// [`ModuleInfo::chosen`](crate::ModuleInfo::chosen) has the choice and its reason.
    ///
    /// No code of the artifact runs before [`Vm::builder`](crate::Vm::builder). The file is read once,
    /// here, and a trust policy judges the bytes that are loaded. A signature is taken from the
    /// file `FILE.minisig` beside it, or from a fat plugin itself.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; each error names the file, the fact and the remedy.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Module, LoadError> {
        self.load_artifact(&self.read_to_load(path.as_ref(), None)?)
    }

    /// Reads a file, with the facts and the signature that this loader's trust policy needs.
    ///
    /// # Errors
    ///
    /// As [`Artifact::read`].
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Artifact, LoadError> {
        Artifact::read_for(self.trust_policy(), path.as_ref(), None, Extent::Whole)
    }

    /// Loads an artifact that [`read_file`](Loader::read_file) has read. The file is not opened
    /// again.
    ///
    /// # Errors
    ///
    /// As [`load_file`](Loader::load_file). A policy with rules about files or signatures refuses
    /// an artifact that was read by a loader without such rules.
    pub fn load_artifact(&self, artifact: &Artifact) -> Result<Module, LoadError> {
        self.check_artifact(artifact)?;
        self.load_trusted(Input::of_file(artifact))
    }

    /// Loads an artifact from memory. The name is used in messages. A trust policy with rules about
    /// files or signatures refuses the artifact.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
        self.check(name, bytes, None)?;
        self.load_trusted(Input::of_bytes(name, bytes))
    }

    /// Reads as much of a file as its policy and its backend ask for.
    fn read_to_load(&self, path: &Path, signature: Option<&Path>) -> Result<Artifact, LoadError> {
        Artifact::read_for(self.trust_policy(), path, signature, self.0.extent)
    }

    fn load_trusted(&self, input: Input<'_>) -> Result<Module, LoadError> {
        let _loading = telemetry::loading(input.name);
        let loaded = self.load(&input);
        telemetry::loaded(input.name, loaded.as_ref().map(Module::info));
        loaded
    }

    fn load(&self, input: &Input<'_>) -> Result<Module, LoadError> {
        let Input { name, bytes, .. } = *input;
        let kind = ArtifactKind::of(bytes).map_err(|what| LoadError::NotAPlugin { name: name.to_owned(), what })?;
        if kind == ArtifactKind::Wasm
            && let Some(bundle) = fat::read(name, bytes)?
        {
            return fat::load(&self.0, &bundle, input);
        }
        Ok(Module::new(kind, input, self.0.compile(kind, input)?, None))
    }

    /// Checks that this image of a fat plugin would be loaded here by a loader that prefers native
    /// plugins.
    ///
    /// # Errors
    ///
    /// The reason, for display.
    pub(crate) fn would_load(
        &self,
        name: &str,
        bundle: &Bundle<'_>,
        image: &Image<'_>,
        file: Option<&FileFacts>,
    ) -> Result<(), String> {
        fat::would_load(&self.0, name, bundle, image, file)
    }
}
