//! Modules of plugins that are part of the program.

use std::sync::Arc;

use dynvm_abi::linked::Linked;

use super::Module;
use crate::artifact::{ArtifactKind, Digest, ModuleInfo};
use crate::backend::null::NullModule;
use crate::telemetry;

impl Module {
    /// The module of a plugin that is part of this program: `dynvm-link`, in the program's build script, wrote its description.
    ///
    /// No loader and no trust policy take part, since the plugin is as trusted as the program.
    pub fn linked(plugin: &'static Linked) -> Module {
        let info = ModuleInfo {
            name: plugin.name.to_owned(),
            kind: ArtifactKind::Linked,
            size: plugin.size,
            abi_version: plugin.abi_version,
            chosen: None,
            digest: Digest::known(plugin.digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        telemetry::loaded(plugin.name, Ok(&info));
        Module::of_program(info, Arc::new(NullModule::new(plugin)))
    }
}
