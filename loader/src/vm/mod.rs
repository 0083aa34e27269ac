//! A running instance of a module: its contexts, its callbacks and its end.

mod builder;
mod callback_values;
mod callbacks;
mod deferred;
mod instrument;
mod lifecycle;
mod movable;

use std::cell::{Ref, RefMut};
use std::marker::PhantomData;
use std::rc::Rc;

use dynvm_abi::table::CallbackId;

pub use builder::VmBuilder;
use callback_values::Callback;
pub use lifecycle::RootDone;
pub use movable::{MovableVm, Pinned};

use crate::backend::{Instance, Returned};
use crate::call_trace::Tracer;
use crate::error::Failure;
use crate::host::{Services, Stream};
use crate::id::{ContextId, VmId};
use crate::instance::InstanceState;
use crate::{Module, StartError};

/// A running instance of a [`Module`] on one thread (Proxy-Wasm's "Wasm VM").
///
/// A VM belongs to its thread: it is neither `Send` nor `Sync`. Between callbacks it can be taken to
/// another one, unless something binds it to this one: [`into_movable`](Vm::into_movable).
///
/// After a failure of the plugin (a trap, a crash, an exceeded limit) the VM runs no more of its
/// code: callbacks return the failure policy's results, and [`failure`](Vm::failure) describes the
/// failure. [`Plugin`](crate::Plugin) replaces failed VMs.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::abi::types::FilterHeadersStatus;
/// use dynvm::host::ConfigStream;
/// use dynvm::{PluginConfig, Vm};
/// # use dynvm::Loader;
/// # let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
/// # let module = Loader::new()?.load_bytes("noop.wat", text)?;
///
/// let mut vm = Vm::builder(&module).build()?;
/// let root = vm.start_plugin(PluginConfig::named("noop"))?;
///
/// let stream = vm.create_stream(root, Box::new(ConfigStream))?;
/// assert_eq!(vm.on_request_headers(stream, 0, true), FilterHeadersStatus::Continue);
/// vm.on_done(stream);
/// vm.on_log(stream);
/// vm.delete_stream(stream);
///
/// vm.stop_plugin(root)?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
pub struct Vm {
    // Dropped before the state: its drop may run destructors of the plugin, which make hostcalls.
    instance: Box<dyn Instance>,
    state: Rc<InstanceState>,
    module: Module,
    /// The services are those of [`VmBuilder::movable`].
    has_movable_services: bool,
    _not_send: PhantomData<*const ()>,
}

impl Vm {
    /// The VM's identity, unique in this process for its whole life.
    #[inline]
    pub fn id(&self) -> VmId {
        self.state.id
    }

    /// The module that the VM runs.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The failure of the plugin, if it has failed.
    pub fn failure(&self) -> Option<Failure> {
        self.state.failure()
    }

    /// True if the plugin has failed.
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// True if the plugin exports a callback and the capability restriction allows it. Calling any
    /// other one does nothing.
    pub fn exports(&self, callback: CallbackId) -> bool {
        self.instance.exports(callback)
    }

    /// Bytes of memory that the instance holds: the linear memory of a wasm module, the private
    /// heap of a native one. `None` if unknown.
    pub fn memory_size(&self) -> Option<u64> {
        self.instance.memory_size()
    }

    /// The reason why a crash of the plugin ends the process. `None` if it only fails the VM.
    ///
    /// Also logged when the VM is created, and counted by [`Observer`](crate::observe::Observer).
    pub fn uncontained(&self) -> Option<&'static str> {
        self.instance.uncontained()
    }

    /// Sets or removes the tracer, which receives every callback and hostcall from now on.
    pub fn set_tracer(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.state.set_tracer(tracer);
    }

    /// The services that the VM was created with.
    pub fn services(&self) -> &Services {
        &self.state.services
    }

    /// Sets the numbers that the plugin sees for the next context and the next call. A number in
    /// use is skipped.
    ///
    /// Plugins log these numbers and use them as keys, so a host that replays a recorded stream
    /// reserves the recorded ones.
    ///
    /// ```
    /// # #[cfg(feature = "wasm")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use dynvm::host::ConfigStream;
    /// # use dynvm::{Loader, PluginConfig, Vm};
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

    /// Reads the embedder's stream of a context without knowing its type, unlike
    /// [`stream`](Vm::stream). `None`: the context is not a stream of this VM.
    pub fn with_stream<R>(&self, context: ContextId, look: impl FnOnce(&dyn Stream) -> R) -> Option<R> {
        let id = self.state.stream_id(context)?;
        self.state.contexts.borrow().stream(id).map(|state| look(state.stream.as_ref()))
    }

    /// Takes the tracer out of a VM that is about to be replaced.
    pub(crate) fn take_tracer(&mut self) -> Option<Box<dyn Tracer>> {
        self.state.take_tracer()
    }

    /// Ends the VM and returns its tracer, which has seen the end.
    pub(crate) fn into_tracer(self) -> Option<Box<dyn Tracer>> {
        let state = self.state.clone();
        drop(self);
        state.take_tracer()
    }

    /// The embedder's stream of a context, if it has type `S`. The borrow must end before the next
    /// call into the VM.
    pub fn stream<S: Stream>(&self, context: ContextId) -> Option<Ref<'_, S>> {
        let id = self.state.stream_id(context)?;
        Ref::filter_map(self.state.contexts.borrow(), |contexts| {
            (contexts.stream(id)?.stream.as_ref() as &dyn std::any::Any).downcast_ref()
        })
        .ok()
    }

    /// Like [`stream`](Vm::stream), for changing it.
    pub fn stream_mut<S: Stream>(&mut self, context: ContextId) -> Option<RefMut<'_, S>> {
        let id = self.state.stream_id(context)?;
        RefMut::filter_map(self.state.contexts.borrow_mut(), |contexts| {
            (contexts.stream_mut(id)?.stream.as_mut() as &mut dyn std::any::Any).downcast_mut()
        })
        .ok()
    }

    /// Calls a callback of a stream, made from its number. `None`: as [`call`](Vm::call), or this VM
    /// has no such stream and no code runs.
    #[inline]
    fn call_stream<C: Callback>(&mut self, stream: ContextId, callback: impl FnOnce(u32) -> C) -> Option<Called> {
        let id = self.state.stream_id(stream)?;
        self.call(callback(id))
    }

    /// Calls a callback of a root, as [`call_stream`](Vm::call_stream) does for a stream.
    #[inline]
    fn call_root<C: Callback>(&mut self, root: ContextId, callback: impl FnOnce(u32) -> C) -> Option<Called> {
        let id = self.state.root_id(root)?;
        self.call(callback(id))
    }

    /// Calls a callback with its context as the effective one, then executes the deferred actions.
    ///
    /// `None`: the VM failed, before or in this call.
    #[inline]
    fn call<C: Callback>(&mut self, callback: C) -> Option<Called> {
        let state = &*self.state;
        let context = callback.context();
        state.enter_callback(C::ID, context);
        let returned = if state.needs_attention() {
            if state.has_failed() {
                return self.left(C::ID, 0, None);
            }
            instrument::instrumented(state, self.instance.as_mut(), callback)
        } else {
            callback.call(self.instance.as_mut())
        };
        state.leave_callback();
        match returned {
            Ok(result) if !state.has_deferred() => Some(Called { value: result.get(), local_response_sent: false }),
            returned => self.left(C::ID, context, Some(returned)),
        }
    }

    /// What follows a callback that failed or left something to do; `None`: the VM failed before, and it was not called.
    #[cold]
    #[inline(never)]
    fn left(&mut self, id: CallbackId, context: u32, returned: Option<Returned>) -> Option<Called> {
        self.state.leave_callback();
        let local_response_sent = self.state.local_response_sent.replace(false);
        let called = match returned {
            Some(Ok(result)) => Some(Called { value: result.get(), local_response_sent }),
            Some(Err(failure)) => {
                self.failed(id, context, failure);
                None
            }
            None => None,
        };
        self.carry_out_deferred();
        // Only now: the failure may have been recorded inside a hostcall, which has the contexts borrowed.
        if called.is_none() {
            self.state.end_all();
        }
        called
    }

    fn failed(&self, id: CallbackId, context: u32, failure: Box<Failure>) {
        let text = format!("the plugin failed in {}: {failure}", id.describe().name);
        // Before the log, which is the host's and may panic.
        self.state.set_failed_in(context);
        self.state.fail(failure);
        self.state.effective.set(context);
        self.state.log(dynvm_abi::types::LogLevel::Critical, text.as_bytes());
        self.state.effective.set(0);
    }
}

/// The outcome of a callback.
#[derive(Clone, Copy)]
struct Called {
    /// The result; `None` if the plugin does not export the callback.
    value: Option<u32>,
    local_response_sent: bool,
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        StartError::VmFailed(failure)
    }
}
