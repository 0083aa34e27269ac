//! WebAssembly plugins, run by wasmtime.
//!
//! ```text
//!   engine   the compiler and its settings, shared by all modules of a loader
//!   cache    compiled code on disk, in a `cache_dir`
//!   limit    the clock of time limits
//!   linker   what a module imports: the hostcalls and the WASI functions
//!   store    the data of a running instance: memory access up
//!   vm       a running instance: callbacks down
//! ```

mod cache;
mod cache_dir;
mod check;
mod engine;
mod limit;
mod linker;
mod store;
mod vm;

use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use engine::WasmEngine;
pub use engine::{CpuLimit, Options};

use super::{Backend, Code, Instance, Source};
use crate::artifact::BackendKind;
use crate::error::{LoadError, StartError};
use crate::instance::InstanceState;

/// Compiles wasm modules in binary and text form.
pub(crate) struct WasmBackend {
    engine: Arc<WasmEngine>,
}

impl WasmBackend {
    /// Creates the engine. Fails if wasmtime does not support these options on this machine.
    pub(crate) fn new(options: Options) -> Result<WasmBackend, LoadError> {
        Ok(WasmBackend { engine: Arc::new(WasmEngine::new(options)?) })
    }
}

impl Backend for WasmBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Wasm
    }

    fn compile(&self, source: &Source<'_>) -> Result<Arc<dyn Code>, LoadError> {
        Ok(Arc::new(WasmModule::new(source.name, source.bytes, self.engine.clone())?))
    }
}

/// A compiled and linked wasm module.
struct WasmModule {
    abi_version: AbiVersion,
    module: wasmtime::Module,
    linked: wasmtime::InstancePre<store::Data>,
    engine: Arc<WasmEngine>,
}

impl WasmModule {
    fn new(name: &str, bytes: &[u8], engine: Arc<WasmEngine>) -> Result<WasmModule, LoadError> {
        let module = engine.compile(name, bytes)?;
        let abi_version = check::check(name, &module)?;
        let linked = engine.link(name, &module)?;
        Ok(WasmModule { abi_version, module, linked, engine })
    }
}

impl Code for WasmModule {
    fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    fn exports(&self, callback: CallbackId) -> bool {
        self.module.get_export(callback.describe().name).is_some()
    }

    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError> {
        Ok(Box::new(vm::WasmVm::new(&self.engine, self.linked.clone(), state.clone())))
    }
}
