//! WebAssembly plugins, run by wasmtime.
//!
//! ```text
//!   engine   the compiler and its settings, shared by all modules of a loader
//!   cache    compiled code on disk
//!   linker   what a module imports: the hostcalls and the WASI functions
//!   vm       a running instance: callbacks down, memory access up
//! ```

mod cache;
mod check;
mod engine;
mod linker;
mod vm;

use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

pub(crate) use engine::WasmEngine;
pub use engine::{CpuLimit, WasmOptions};

use crate::error::{LoadError, StartError};
use crate::instance::InstanceState;

/// A wasm artifact, compiled and linked.
pub(crate) struct WasmModule {
    name: String,
    abi_version: AbiVersion,
    module: wasmtime::Module,
    linked: wasmtime::InstancePre<vm::Data>,
    engine: Arc<WasmEngine>,
}

impl WasmModule {
    pub(crate) fn new(name: &str, bytes: &[u8], engine: Arc<WasmEngine>) -> Result<WasmModule, LoadError> {
        let module = engine.compile(name, bytes)?;
        let abi_version = check::check(name, &module)?;
        let linked = engine.link(name, &module)?;
        Ok(WasmModule { name: name.to_owned(), abi_version, module, linked, engine })
    }

    pub(crate) fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    pub(crate) fn exports(&self, callback: CallbackId) -> bool {
        self.module.get_export(callback.describe().name).is_some()
    }

    pub(crate) fn instantiate(&self, state: &Rc<InstanceState>) -> Result<vm::WasmVm, StartError> {
        vm::WasmVm::new(self, state.clone())
    }
}
