//! VMs on their way from one thread to another.

use std::fmt;
use std::mem::ManuallyDrop;

use super::Vm;
use crate::{ContextId, Module, PinReason, VmId};

/// A [`Vm`] that is on no thread, so that it can be sent to any: [`enter`](MovableVm::enter) makes it a VM of the calling thread again.
///
/// A VM takes along its variables, thread-local ones included, its contexts, streams and calls. Dropping it ends it on the thread that
/// drops it.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::host::{ConfigStream, MovableServices};
/// use dynvm::{Loader, PluginConfig, Vm};
/// # let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
/// # let module = Loader::new()?.load_bytes("noop.wat", text)?;
/// let mut vm = Vm::builder(&module).movable(MovableServices::default()).build()?;
/// let root = vm.start_plugin(PluginConfig::named("noop"))?;
/// let stream = vm.create_movable_stream(root, Box::new(ConfigStream))?;
///
/// let resting = vm.into_movable()?;
/// let thread = std::thread::spawn(move || {
///     let mut vm = resting.enter();
///     vm.on_request_headers(stream, 0, true);
///     vm.into_movable().unwrap()
/// });
/// let mut vm = thread.join().unwrap().enter();
/// vm.delete_stream(stream);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
///
/// While a VM is on a thread, the compiler keeps it there:
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<dynvm::Vm>();
/// ```
#[must_use = "dropping it ends the VM"]
pub struct MovableVm(ManuallyDrop<Vm>);

// SAFETY: `Vm::into_movable`, the only way to make one, checks what the VM owns. Streams and services are `Send`, by the types of
// `create_movable_stream` and `VmBuilder::movable`, and there is no tracer. The `Rc`s of a VM (of its state, services and configurations)
// are all inside of it: the state never leaves the crate, and references to services are counted. The backend's instance has no state of
// a thread, or `enter` renews it. Until then only numbers and the module, which is `Sync`, can be read.
unsafe impl Send for MovableVm {}

impl Vm {
    /// Why the VM has to stay on this thread for now; empty if [`into_movable`](Vm::into_movable) would succeed.
    pub fn pinned(&self) -> Vec<PinReason> {
        let mut reasons = self.module.pinned().to_vec();
        reasons.extend(self.instance.pinned());
        if !self.has_movable_services || !self.state.services.is_sole_owner() {
            reasons.push(PinReason::Services);
        }
        match self.state.contexts.borrow().pinned_streams() {
            0 => {}
            count => reasons.push(PinReason::Streams(count)),
        }
        if self.state.is_traced() {
            reasons.push(PinReason::Tracer);
        }
        reasons
    }

    /// Takes the VM off its thread, so that another one can go on with it.
    ///
    /// Nothing is copied: this looks at what binds the VM, and [`enter`](MovableVm::enter) renews what belongs to a thread.
    ///
    /// # Errors
    ///
    /// Something binds the VM to this thread. The error has the VM, unchanged, and the reasons.
    pub fn into_movable(self) -> Result<MovableVm, Pinned> {
        let reasons = self.pinned();
        if reasons.is_empty() { Ok(MovableVm(ManuallyDrop::new(self))) } else { Err(Pinned { vm: self, reasons }) }
    }
}

impl MovableVm {
    /// Puts the VM on the calling thread.
    pub fn enter(self) -> Vm {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, nor dropped.
        let mut vm = unsafe { ManuallyDrop::take(&mut this.0) };
        vm.instance.enter_thread();
        vm
    }

    /// The VM's identity.
    pub fn id(&self) -> VmId {
        self.0.id()
    }

    /// The module that the VM runs.
    pub fn module(&self) -> &Module {
        self.0.module()
    }

    /// True if the plugin has failed.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed()
    }

    /// Number of streams of a plugin; 0 if there is no such root context.
    pub fn stream_count(&self, root: ContextId) -> usize {
        self.0.stream_count(root)
    }
}

impl Drop for MovableVm {
    fn drop(&mut self) {
        // SAFETY: taken once: `enter` does not drop `self`.
        let mut vm = unsafe { ManuallyDrop::take(&mut self.0) };
        vm.instance.enter_thread();
    }
}

impl fmt::Debug for MovableVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovableVm").field("id", &self.id()).field("module", &self.module().name()).finish()
    }
}

/// A VM that has to stay on its thread: the error of [`Vm::into_movable`].
#[non_exhaustive]
pub struct Pinned {
    /// The VM, as it was.
    pub vm: Vm,
    /// The reasons; never empty.
    pub reasons: Vec<PinReason>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("vm", &self.vm.id()).field("reasons", &self.reasons).finish()
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the VM has to stay on its thread: ", self.vm.module().name())?;
        for (index, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Pinned {}
