//! Modules of plugins that are part of the program, and the names by which the program finds them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynvm_abi::linked::Linked;

use super::{Loader, Module};
use crate::artifact::{ArtifactKind, Digest, ModuleInfo};
use crate::backend::Code as _;
use crate::backend::native::NativeModule;
use crate::error::LoadError;
use crate::telemetry;

static REGISTERED: Mutex<Vec<&'static Linked>> = Mutex::new(Vec::new());

fn registered() -> MutexGuard<'static, Vec<&'static Linked>> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a linked plugin known to all loaders of the process by its name. To register one again has no effect.
///
/// # Errors
///
/// [`LoadError::LinkedTwice`]: another plugin has the name.
pub fn register(plugin: &'static Linked) -> Result<(), LoadError> {
    let mut registered = registered();
    match registered.iter().find(|known| known.name == plugin.name) {
        Some(known) if std::ptr::eq(*known, plugin) => Ok(()),
        Some(_) => Err(LoadError::LinkedTwice { name: plugin.name.to_owned() }),
        None => {
            registered.push(plugin);
            Ok(())
        }
    }
}

/// The names of the registered plugins, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = registered().iter().map(|plugin| plugin.name).collect();
    names.sort_unstable();
    names
}

/// The module of the registered plugin with this name, as [`Loader::load_linked`].
///
/// # Errors
///
/// As [`Loader::load_linked`].
pub fn module(name: &str) -> Result<Module, LoadError> {
    let plugin = registered().iter().copied().find(|plugin| plugin.name == name);
    let not_linked =
        || LoadError::NotLinked { name: name.to_owned(), linked: names().into_iter().map(str::to_owned).collect() };
    plugin.map(Module::linked).ok_or_else(not_linked)
}

impl Loader {
    /// The module of the linked plugin with this name: what `runtime: envoy.wasm.runtime.null` means by its code. The program
    /// [registers](crate::linked::register) its plugins before.
    ///
    /// The loader's trust policy does not take part, as for [`Module::linked`].
    ///
    /// # Errors
    ///
    /// [`LoadError::NotLinked`]: no plugin of this name is registered; the error names those that are.
    pub fn load_linked(&self, name: &str) -> Result<Module, LoadError> {
        module(name)
    }
}

impl Module {
    /// The module of a plugin that is part of this program: `dynvm-link`, in the program's build script, wrote its description.
    ///
    /// No loader and no trust policy take part, since the plugin is as trusted as the program.
    pub fn linked(plugin: &'static Linked) -> Module {
        let code = NativeModule::linked(plugin);
        let info = ModuleInfo {
            name: plugin.name.to_owned(),
            kind: ArtifactKind::Linked,
            size: plugin.size,
            abi_version: plugin.abi_version,
            chosen: None,
            pinned: code.pinned(),
            limitations: code.limitations(),
            digest: Digest::known(plugin.digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        telemetry::loaded(plugin.name, Ok(&info));
        Module::of_program(info, Arc::new(code))
    }
}
