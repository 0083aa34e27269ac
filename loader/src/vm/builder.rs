//! Configures and starts a VM.

use crate::call_trace::Tracer;
use crate::host::{MovableServices, Services};
use crate::{Module, StartError, Vm, VmConfig};

/// Configures a [`Vm`]; created by [`Vm::builder`].
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
    movable: Option<MovableServices>,
    tracer: Option<Box<dyn Tracer>>,
}

impl Vm {
    /// Configures a VM of this module, starting from the default configuration and services.
    pub fn builder(module: &Module) -> VmBuilder<'_> {
        VmBuilder { module, config: VmConfig::default(), services: Services::default(), movable: None, tracer: None }
    }
}

impl VmBuilder<'_> {
    /// Sets the configuration. Default: `VmConfig::default()`.
    pub fn config(mut self, config: VmConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the services of the host. Default: `Services::default()`.
    pub fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Makes the VM one that may move to another thread ([`Vm::into_movable`]), with these services in place of those that need not
    /// be `Send`.
    pub fn movable(mut self, services: MovableServices) -> Self {
        self.movable = Some(services);
        self
    }

    /// Sets a tracer, which also sees the start functions. [`Vm::set_tracer`] replaces it later.
    pub fn tracer(mut self, tracer: impl Into<Option<Box<dyn Tracer>>>) -> Self {
        self.tracer = tracer.into();
        self
    }

    /// Creates the VM on the calling thread, which owns it, and runs its start functions
    /// (`_initialize` and `main`, or `_start`). These may call `proxy_log` and no other hostcall.
    ///
    /// # Errors
    ///
    /// The system's loader or wasmtime rejects the image, or the plugin fails in its start
    /// functions.
    pub fn build(mut self) -> Result<Vm, StartError> {
        let has_movable_services = self.movable.is_some();
        if let Some(services) = self.movable {
            services.replace_in(&mut self.services);
        }
        let vm = Vm::start(self.module, self.config, self.services, &mut self.tracer)?;
        Ok(Vm { has_movable_services, ..vm })
    }
}
