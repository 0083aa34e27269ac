//! A running instance of a module: its contexts, its callbacks, its end.

mod backend;
pub(crate) mod budget;
mod callbacks;
mod cell;
mod contexts;
mod deferred;
mod guest;
mod lifecycle;
mod watch;

use std::cell::{Ref, RefMut};
use std::marker::PhantomData;
use std::rc::Rc;

use dynvm_abi::table::CallbackId;

pub(crate) use backend::{Backend, Returned};
pub(crate) use cell::{CallKind, Deferred, DeliveryKind, Phase, VmCell};
pub use contexts::ContextId;
pub(crate) use contexts::DoneState;
pub(crate) use guest::{Addr, Guest, Out, return_bytes, return_with};
pub use lifecycle::RootDone;

use crate::error::{CallFailed, Failure};
use crate::host::{Services, Stream};
use crate::trace::Tracer;
use crate::{Module, StartError};

/// A running instance of a [`Module`] on one thread (Proxy-Wasm's "Wasm VM").
///
/// It belongs to the thread that made it: plugins keep their state in thread-local variables, so it is neither `Send` nor `Sync`.
///
/// Once the plugin has failed (a trap, a crash, a limit), the VM runs no more of its code: callbacks give what the failure policy says,
/// and [`failure`](Vm::failure) tells what happened. [`Plugin`](crate::Plugin) replaces failed VMs.
pub struct Vm {
    // Before the cell: the backend may run destructors of the plugin, which make hostcalls.
    backend: Box<dyn Backend>,
    cell: Rc<VmCell>,
    module: Module,
    _not_send: PhantomData<*const ()>,
}

impl Vm {
    /// The module it runs.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// How the plugin failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.cell.failure()
    }

    /// Whether the plugin has failed.
    pub fn has_failed(&self) -> bool {
        self.cell.has_failed()
    }

    /// Whether the plugin exports a callback, and may have it called. Calling one that it does not export does nothing.
    pub fn exports(&self, callback: CallbackId) -> bool {
        self.backend.exports(callback)
    }

    /// Bytes of memory that the instance holds: linear memory of a wasm module. `None` where it cannot be known.
    pub fn memory_size(&self) -> Option<u64> {
        self.backend.memory_size()
    }

    /// Hands every callback and hostcall to a tracer from now on, or to none.
    pub fn set_tracer(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.cell.set_tracer(tracer);
    }

    /// What the host provides to it.
    pub(crate) fn services(&self) -> &Services {
        &self.cell.services
    }

    /// Has the next stream and the next HTTP call get these numbers, if they are free.
    pub(crate) fn number_next(&mut self, context: Option<ContextId>, token: Option<u32>) {
        if let Some(context) = context {
            self.cell.contexts.borrow_mut().number_next(context.0);
        }
        if let Some(token) = token {
            self.cell.calls.borrow_mut().number_next(token);
        }
    }

    /// Looks at the embedder's stream behind a context, of whatever type it is.
    pub(crate) fn look_at_stream<R>(&self, context: ContextId, look: impl FnOnce(&dyn Stream) -> R) -> Option<R> {
        self.cell.contexts.borrow().stream(context.0).map(|state| look(state.stream.as_ref()))
    }

    /// Takes the tracer from a VM that is replaced.
    pub(crate) fn take_tracer(&mut self) -> Option<Box<dyn Tracer>> {
        let tracer = self.cell.tracer.borrow_mut().take();
        self.cell.set_tracer(None);
        tracer
    }

    /// The embedder's stream behind a context, if it is of this type. It must be let go before the next call into the VM.
    pub fn stream<S: Stream>(&self, context: ContextId) -> Option<Ref<'_, S>> {
        Ref::filter_map(self.cell.contexts.borrow(), |contexts| {
            (contexts.stream(context.0)?.stream.as_ref() as &dyn std::any::Any).downcast_ref()
        })
        .ok()
    }

    /// The same, to change it.
    pub fn stream_mut<S: Stream>(&mut self, context: ContextId) -> Option<RefMut<'_, S>> {
        RefMut::filter_map(self.cell.contexts.borrow_mut(), |contexts| {
            (contexts.stream_mut(context.0)?.stream.as_mut() as &mut dyn std::any::Any).downcast_mut()
        })
        .ok()
    }

    /// Makes one callback with a context in effect, then carries out what the plugin asked for.
    ///
    /// `None`: the VM failed, before or in this call.
    #[inline]
    fn call<const COUNT: usize>(
        &mut self,
        context: u32,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Backend) -> Returned,
    ) -> Option<Called> {
        let called = self.enter(context, id, arguments, callback);
        if self.cell.has_deferred() {
            self.carry_out_deferred();
        }
        called
    }

    #[inline]
    fn enter<const COUNT: usize>(
        &mut self,
        context: u32,
        id: CallbackId,
        arguments: impl FnOnce() -> [u64; COUNT],
        callback: impl FnOnce(&mut dyn Backend) -> Returned,
    ) -> Option<Called> {
        let cell = &*self.cell;
        if cell.has_failed() {
            return None;
        }
        cell.current.set(context);
        cell.effective.set(context);
        cell.callback.set(Some(id));
        cell.local_response_sent.set(false);
        let returned = if cell.is_watched() {
            watch::watched(cell, self.backend.as_mut(), context, id, arguments, callback)
        } else {
            callback(self.backend.as_mut())
        };
        cell.current.set(0);
        cell.effective.set(0);
        match returned {
            Ok(value) => Some(Called { value, local_response_sent: cell.local_response_sent.get() }),
            Err(failure) => {
                self.failed(id, context, failure);
                None
            }
        }
    }

    #[cold]
    fn failed(&self, id: CallbackId, context: u32, failure: Box<Failure>) {
        let text = format!("the plugin failed in {}: {failure}", id.describe().name);
        self.cell.effective.set(context);
        self.cell.log(dynvm_abi::types::LogLevel::Critical, text.as_bytes());
        self.cell.effective.set(0);
        self.cell.set_failed_in(context);
        self.cell.fail(failure);
    }
}

/// What a callback gave.
#[derive(Clone, Copy)]
struct Called {
    /// Its result; `None` when the plugin does not export it.
    value: Option<u32>,
    local_response_sent: bool,
}

impl From<&Vm> for Option<CallFailed> {
    fn from(vm: &Vm) -> Self {
        vm.failure().map(CallFailed::Vm)
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        StartError::VmFailed(failure)
    }
}
