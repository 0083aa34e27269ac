//! Modules.

use std::sync::Arc;

use dynvm_abi::table::CallbackId;

use super::input::Input;
use crate::artifact::{ArtifactKind, BackendKind, Choice, ModuleInfo};
use crate::backend::Code;
use crate::pin::PinReason;

/// A checked and compiled artifact. Clones share it, also across threads.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::Loader;
/// use dynvm::abi::table::CallbackId;
///
/// let text = br#"(module (func (export "proxy_abi_version_0_2_1")) (func (export "proxy_on_tick") (param i32)))"#;
/// let module = Loader::new()?.load_bytes("tick.wat", text)?;
/// assert_eq!(module.name(), "tick.wat");
/// assert!(module.exports(CallbackId::proxy_on_tick));
/// assert!(!module.exports(CallbackId::proxy_on_log));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Module {
    info: Arc<ModuleInfo>,
    code: Arc<dyn Code>,
}

impl Module {
    pub(super) fn new(kind: ArtifactKind, input: &Input<'_>, code: Arc<dyn Code>, chosen: Option<Choice>) -> Module {
        let info = ModuleInfo {
            name: input.name.to_owned(),
            kind,
            size: input.size(),
            abi_version: code.abi_version(),
            chosen,
            pinned: code.pinned(),
            limitations: code.limitations(),
            digest: input.digest(),
        };
        Module { info: Arc::new(info), code }
    }

    #[cfg(feature = "null")]
    pub(super) fn of_program(info: ModuleInfo, code: Arc<dyn Code>) -> Module {
        Module { info: Arc::new(info), code }
    }

    /// The path of the file, or the name passed to [`Loader::load_bytes`](crate::Loader::load_bytes).
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Description of the artifact: kind, size, digest, ABI version.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// The backend that runs the module.
    pub fn backend(&self) -> BackendKind {
        self.info.backend()
    }

    /// True if the module exports this callback.
    pub fn exports(&self, callback: CallbackId) -> bool {
        self.code().exports(callback)
    }

    /// Why VMs of the module have to stay on the thread that created them; empty if they may move between threads
    /// ([`Vm::into_movable`](crate::Vm::into_movable)).
    pub fn pinned(&self) -> &[PinReason] {
        &self.info.pinned
    }

    pub(crate) fn shared_info(&self) -> &Arc<ModuleInfo> {
        &self.info
    }

    pub(crate) fn code(&self) -> &dyn Code {
        self.code.as_ref()
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.info.fmt(f)
    }
}
