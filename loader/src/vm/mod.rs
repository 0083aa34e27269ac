//! A running instance of a module: its contexts, its callbacks, its end.

mod builder;
mod callbacks;
mod deferred;
mod instrument;
mod lifecycle;

use std::cell::{Ref, RefMut};
use std::marker::PhantomData;
use std::rc::Rc;

use dynvm_abi::table::CallbackId;

pub use builder::VmBuilder;
pub use lifecycle::RootDone;

use crate::backend::{Instance, Returned};
use crate::call_trace::Tracer;
use crate::error::Failure;
use crate::host::{Services, Stream};
use crate::id::{ContextId, VmId};
use crate::instance::InstanceState;
use crate::{Module, StartError};

/// A running instance of a [`Module`] on one thread (Proxy-Wasm's "Wasm VM").
///
/// It belongs to the thread that made it: plugins keep their state in thread-local variables, so it is neither `Send` nor `Sync`.
///
/// Once the plugin has failed (a trap, a crash, a limit), the VM runs no more of its code: callbacks give what the failure policy says,
/// and [`failure`](Vm::failure) tells what happened. [`Plugin`](crate::Plugin) replaces failed VMs.
pub struct Vm {
    // Before the state: it may run destructors of the plugin, which make hostcalls.
    instance: Box<dyn Instance>,
    state: Rc<InstanceState>,
    module: Module,
    _not_send: PhantomData<*const ()>,
}

impl Vm {
    /// Its name: that of no other VM of this process, before or after.
    #[inline]
    pub fn id(&self) -> VmId {
        self.state.id
    }

    /// The module it runs.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// How the plugin failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.state.failure()
    }

    /// Whether the plugin has failed.
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// Whether the plugin exports a callback, and may have it called. Calling one that it does not export does nothing.
    pub fn exports(&self, callback: CallbackId) -> bool {
        self.instance.exports(callback)
    }

    /// Bytes of memory that the instance holds: linear memory of a wasm module. `None` where it cannot be known.
    pub fn memory_size(&self) -> Option<u64> {
        self.instance.memory_size()
    }

    /// Hands every callback and hostcall to a tracer from now on, or to none.
    pub fn set_tracer(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.state.set_tracer(tracer);
    }

    /// The services that the VM was made with.
    pub fn services(&self) -> &Services {
        &self.state.services
    }

    /// Sets the numbers that the plugin sees for the next context and the next call; a number in use is passed over for the one after it.
    ///
    /// Plugins log these numbers and use them as keys, so a host that repeats a recorded stream gives it the recorded ones.
    ///
    /// ```
    /// # #[cfg(feature = "wasm")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use dynvm::host::{ConfigStream, Services};
    /// # use dynvm::{Loader, PluginConfig, Vm, VmConfig};
    /// # let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
    /// # let module = Loader::new()?.load_bytes("noop.wat", text)?;
    /// # let mut vm = Vm::builder(&module).build()?;
    /// # let root = vm.start_plugin(PluginConfig::named("noop"))?;
    /// vm.reserve_ids(Some(70), None);
    /// assert_eq!(vm.create_stream(root, Box::new(ConfigStream))?.get(), 70);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "wasm"))]
    /// # fn main() {}
    /// ```
    pub fn reserve_ids(&mut self, context: Option<u32>, token: Option<u32>) {
        if let Some(context) = context {
            self.state.contexts.borrow_mut().reserve_ids(context);
        }
        if let Some(token) = token {
            self.state.calls.borrow_mut().reserve_ids(token);
        }
    }

    /// Reads the embedder's stream behind a context without knowing its type; [`stream`](Vm::stream) is for a known one. `None`: the
    /// context is not a stream of this VM.
    pub fn with_stream<R>(&self, context: ContextId, look: impl FnOnce(&dyn Stream) -> R) -> Option<R> {
        let id = self.state.stream_id(context)?;
        self.state.contexts.borrow().stream(id).map(|state| look(state.stream.as_ref()))
    }

    /// Takes the tracer from a VM that is replaced.
    pub(crate) fn take_tracer(&mut self) -> Option<Box<dyn Tracer>> {
        let tracer = self.state.tracer.borrow_mut().take();
        self.state.set_tracer(None);
        tracer
    }

    /// The embedder's stream behind a context, if it is of this type. It must be let go before the next call into the VM.
    pub fn stream<S: Stream>(&self, context: ContextId) -> Option<Ref<'_, S>> {
        let id = self.state.stream_id(context)?;
        Ref::filter_map(self.state.contexts.borrow(), |contexts| {
            (contexts.stream(id)?.stream.as_ref() as &dyn std::any::Any).downcast_ref()
        })
        .ok()
    }

    /// The same, to change it.
    pub fn stream_mut<S: Stream>(&mut self, context: ContextId) -> Option<RefMut<'_, S>> {
        let id = self.state.stream_id(context)?;
        RefMut::filter_map(self.state.contexts.borrow_mut(), |contexts| {
            (contexts.stream_mut(id)?.stream.as_mut() as &mut dyn std::any::Any).downcast_mut()
        })
        .ok()
    }

    /// Makes a callback of a stream. `None`: as [`call`](Vm::call); or there is no such stream in this VM, and nothing runs.
    #[inline]
    fn call_stream<const COUNT: usize>(
        &mut self,
        stream: ContextId,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Instance) -> Returned,
    ) -> Option<Called> {
        let context = self.state.stream_id(stream)?;
        self.call(context, id, arguments, callback)
    }

    /// Makes a callback of a root, as [`call_stream`](Vm::call_stream).
    #[inline]
    fn call_root<const COUNT: usize>(
        &mut self,
        root: ContextId,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Instance) -> Returned,
    ) -> Option<Called> {
        let context = self.state.root_id(root)?;
        self.call(context, id, arguments, callback)
    }

    /// Makes one callback with a context of this VM in effect, then carries out what the plugin asked for.
    ///
    /// `None`: the VM failed, before or in this call.
    #[inline]
    fn call<const COUNT: usize>(
        &mut self,
        context: u32,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Instance) -> Returned,
    ) -> Option<Called> {
        let called = self.enter(context, id, arguments, callback);
        if self.state.has_deferred() {
            self.carry_out_deferred();
        }
        if called.is_none() {
            self.state.end_all();
        }
        called
    }

    #[inline]
    fn enter<const COUNT: usize>(
        &mut self,
        context: u32,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Instance) -> Returned,
    ) -> Option<Called> {
        let state = &*self.state;
        if state.has_failed() {
            return None;
        }
        state.current.set(context);
        state.effective.set(context);
        state.callback.set(Some(id));
        state.local_response_sent.set(false);
        let returned = if state.is_instrumented() {
            instrument::instrumented(state, self.instance.as_mut(), context, id, arguments, callback)
        } else {
            callback(self.instance.as_mut())
        };
        state.current.set(0);
        state.effective.set(0);
        match returned {
            Ok(value) => Some(Called { value, local_response_sent: state.local_response_sent.get() }),
            Err(failure) => {
                self.failed(id, context, failure);
                None
            }
        }
    }

    #[cold]
    fn failed(&self, id: CallbackId, context: u32, failure: Box<Failure>) {
        let text = format!("the plugin failed in {}: {failure}", id.describe().name);
        self.state.effective.set(context);
        self.state.log(dynvm_abi::types::LogLevel::Critical, text.as_bytes());
        self.state.effective.set(0);
        self.state.set_failed_in(context);
        self.state.fail(failure);
    }
}

/// What a callback gave.
#[derive(Clone, Copy)]
struct Called {
    /// Its result; `None` when the plugin does not export it.
    value: Option<u32>,
    local_response_sent: bool,
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        StartError::VmFailed(failure)
    }
}
