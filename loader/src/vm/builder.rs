//! Configures and starts a VM.

use crate::call_trace::Tracer;
use crate::host::Services;
use crate::{Module, StartError, Vm, VmConfig};

/// Configures a [`Vm`]; made by [`Vm::builder`].
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use dynvm::{Loader, Vm, VmConfig};
/// # let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
/// # let module = Loader::new()?.load_bytes("noop.wat", text)?;
/// let vm = Vm::builder(&module).config(VmConfig::with_id("auth").memory_limit(64 << 20)).build()?;
/// assert!(!vm.has_failed());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct VmBuilder<'a> {
    module: &'a Module,
    config: VmConfig,
    services: Services,
    tracer: Option<Box<dyn Tracer>>,
}

impl Vm {
    /// A VM of this module with the default configuration and services, to be configured and started.
    pub fn builder(module: &Module) -> VmBuilder<'_> {
        VmBuilder { module, config: VmConfig::default(), services: Services::default(), tracer: None }
    }
}

impl VmBuilder<'_> {
    /// Sets the configuration.
    pub fn config(mut self, config: VmConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets what the host provides.
    pub fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Sets a tracer, which also sees the start functions. Later ones are set by [`Vm::set_tracer`].
    pub fn tracer(mut self, tracer: impl Into<Option<Box<dyn Tracer>>>) -> Self {
        self.tracer = tracer.into();
        self
    }

    /// Instantiates the module and runs its start functions (`_initialize` and `main`, or `_start`), in which the plugin may call
    /// `proxy_log` and no other hostcall. The VM belongs to the calling thread.
    ///
    /// # Errors
    ///
    /// The system's loader or wasmtime refuses the image, or the plugin fails in its start functions.
    pub fn build(self) -> Result<Vm, StartError> {
        Vm::start(self.module, self.config, self.services, self.tracer)
    }
}
