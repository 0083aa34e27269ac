//! Start and end of the VM, of the plugins in it, and of streams.

use std::rc::Rc;
use std::time::Instant;

use dynvm_abi::types::LogLevel;

use super::callback_values::*;
use super::{Called, ContextId, Vm};
use crate::artifact::ArtifactKind;
use crate::backend::NotStarted;
use crate::call_trace::Tracer;
use crate::error::{CallError, Failure, StartError};
use crate::host::{Services, Stream};
use crate::instance::contexts::{Context, DoneState, Ended, Root, StreamState};
use crate::instance::{InstanceState, Phase};
use crate::telemetry;
use crate::{Module, PluginConfig, VmConfig};

/// Result of stopping a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootDone {
    /// The root context is deleted.
    Deleted,
    /// The plugin needs time: its root context is deleted when it calls `proxy_done`.
    Pending,
}

impl Vm {
    /// Creates a VM. If that fails, the tracer is the caller's again.
    pub(crate) fn start(
        module: &Module,
        config: VmConfig,
        services: Services,
        tracer: &mut Option<Box<dyn Tracer>>,
    ) -> Result<Vm, StartError> {
        let state = InstanceState::new(config, services, module.info().abi_version);
        state.set_tracer(tracer.take());
        let observer = state.services.observer.clone();
        let started = Instant::now();
        let _starting = telemetry::vm_starting(module.info(), &state.config.vm_id);
        let vm = Vm::make(module, state.clone());
        if vm.is_err() {
            *tracer = state.take_tracer();
        }
        if let Some(observer) = observer {
            observer.vm_started(module.info(), vm.is_ok(), started.elapsed());
        }
        telemetry::vm_started(vm.as_ref().map(Vm::memory_size));
        vm
    }

    fn make(module: &Module, state: Rc<InstanceState>) -> Result<Vm, StartError> {
        let instance = module.code().instantiate(&state)?;
        if let Some(observer) = &state.services.observer {
            state.set_observed(observer.vm_created(module.shared_info()));
        }
        if let Some(reason) = instance.uncontained() {
            telemetry::vm_uncontained(&state.config.vm_id, reason);
            // Who links a plugin in without slots decides so once, for all of its VMs.
            if module.info().kind != ArtifactKind::Linked {
                state.log(LogLevel::Warn, format!("a crash of the plugin ends the process: {reason}").as_bytes());
            }
            if let Some(observed) = state.observed() {
                observed.set_uncontained();
            }
        }
        let mut vm = Vm {
            instance,
            state,
            module: module.clone(),
            has_movable_services: false,
            _not_send: std::marker::PhantomData,
        };
        vm.initialize()?;
        vm.observe_memory();
        Ok(vm)
    }

    fn observe_memory(&self) {
        if let Some(observed) = self.state.observed() {
            observed.set_memory(self.instance.memory_size());
        }
    }

    fn initialize(&mut self) -> Result<(), StartError> {
        let _starting = self.state.enter_phase(Phase::Starting);
        let _running = self.state.slot().map(|slot| slot.enter(None, 0));
        let module = || self.module.name().to_owned();
        self.instance.initialize().map_err(|error| match error {
            NotStarted::Engine(source) => StartError::Instantiate { module: module(), source },
            NotStarted::Plugin(failure) => {
                self.state.fail(failure.clone());
                StartError::Failed { module: module(), function: "its start function", failure: *failure }
            }
        })
    }

    /// Creates a root context and starts the plugin: `proxy_on_context_create`,
    /// `proxy_on_vm_start`, `proxy_on_configure`.
    ///
    /// Several plugins can run in one VM; they share its memory.
    ///
    /// # Errors
    ///
    /// `proxy_on_vm_start` or `proxy_on_configure` returns false, or the VM fails. The context is
    /// deleted then. A plugin that only returned false leaves the VM usable for others.
    pub fn start_plugin(&mut self, config: PluginConfig) -> Result<ContextId, StartError> {
        if let Some(failure) = self.state.failure() {
            return Err(StartError::VmFailed(failure));
        }
        let config = Rc::new(config);
        let _starting = telemetry::plugin_starting(&self.state.config.vm_id, &config.name);
        let observed = self.state.observed().map(|vm| vm.plugin_created(&config.name));
        let root = Root { config: config.clone(), done: DoneState::Running, streams: 0, observed };
        let id = self.state.contexts.borrow_mut().insert(Context::Root(root));
        if let Some(slot) = self.state.slot() {
            slot.set_plugin(&config.name);
        }
        let started = self.start_root(id, &config);
        if let Some(observed) = self.state.observed() {
            observed.plugin_started(&config.name, &started);
        }
        self.observe_memory();
        telemetry::plugin_started(&self.state.config.vm_id, &config.name, id, &started);
        if started.is_err() {
            self.state.end_root(id);
            self.state.contexts.borrow_mut().remove(id);
        }
        started.map(|()| self.state.context_id(id))
    }

    fn start_root(&mut self, id: u32, config: &PluginConfig) -> Result<(), StartError> {
        let vm_size = self.state.config.configuration.as_ref().map_or(0, Vec::len);
        let size = config.configuration.len();
        self.call_start(proxy_on_context_create(id, 0))?;
        self.call_approval(config, proxy_on_vm_start(id, vm_size))?;
        self.call_approval(config, proxy_on_configure(id, size))
    }

    fn call_start<C: Callback>(&mut self, callback: C) -> Result<Called, StartError> {
        self.call(callback).ok_or_else(|| {
            let failure = self.state.failure().unwrap_or_else(|| Failure {
                kind: crate::FailureKind::Host,
                message: "the VM failed without saying how".to_owned(),
            });
            StartError::Failed { module: self.module.name().to_owned(), function: C::ID.describe().name, failure }
        })
    }

    /// Calls a callback that refuses the plugin by returning false.
    fn call_approval<C: Callback>(&mut self, config: &PluginConfig, callback: C) -> Result<(), StartError> {
        match self.call_start(callback)?.value {
            Some(0) => Err(self.refused(config, C::ID.describe().name)),
            _ => Ok(()),
        }
    }

    fn refused(&self, config: &PluginConfig, function: &'static str) -> StartError {
        let name = if config.name.is_empty() { self.module.name() } else { &config.name };
        StartError::Refused { plugin: name.to_owned(), function }
    }

    /// Asks a plugin to validate its configuration (`proxy_validate_configuration`, part of the C++
    /// SDK only). `None` if the plugin does not export it.
    pub fn validate_configuration(&mut self, root: ContextId) -> Option<bool> {
        let id = self.state.root_id(root)?;
        let size = self.state.contexts.borrow().root(id)?.config.configuration.len();
        let called = self.call(proxy_validate_configuration(id, size));
        called?.value.map(|valid| valid != 0)
    }

    /// Creates a stream context (`proxy_on_context_create`).
    ///
    /// On a failed VM the context is created too, and its callbacks return the failure policy's
    /// results.
    ///
    /// # Errors
    ///
    /// [`CallError::UnknownContext`]: there is no such root context.
    pub fn create_stream(&mut self, root: ContextId, stream: Box<dyn Stream>) -> Result<ContextId, CallError> {
        self.insert_stream(root, StreamState::new(root.get(), stream))
    }

    /// The same for a stream that a VM takes along to another thread ([`into_movable`](Vm::into_movable)).
    ///
    /// [`delete_stream`](Vm::delete_stream) returns it as one that need not be `Send`; to get its type back, turn it into a `Box<dyn Any>`.
    ///
    /// # Errors
    ///
    /// As [`create_stream`](Vm::create_stream).
    pub fn create_movable_stream(
        &mut self,
        root: ContextId,
        stream: Box<dyn Stream + Send>,
    ) -> Result<ContextId, CallError> {
        self.insert_stream(root, StreamState::movable(root.get(), stream))
    }

    #[inline]
    fn insert_stream(&mut self, root: ContextId, stream: StreamState) -> Result<ContextId, CallError> {
        let unknown = CallError::UnknownContext(root);
        if root.vm() != self.state.id {
            return Err(unknown);
        }
        let id = self.state.contexts.borrow_mut().insert_stream(root.get(), stream).ok_or(unknown)?;
        self.call(proxy_on_context_create(id, root.get()));
        Ok(self.state.context_id(id))
    }

    /// Ends the stream for the plugin (`proxy_on_done`). Returns false if the plugin asks to wait
    /// for its `proxy_done`, which hosts may ignore for streams, as proxy-wasm-cpp-host does. A
    /// second call does nothing.
    pub fn on_done(&mut self, stream: ContextId) -> bool {
        let Some(id) = self.end(stream, |ended| &mut ended.done) else { return true };
        let called = self.call(proxy_on_done(id));
        called.and_then(|called| called.value) != Some(0)
    }

    /// Lets the plugin log the stream (`proxy_on_log`), between `on_done` and `delete_stream`. A
    /// second call does nothing.
    pub fn on_log(&mut self, stream: ContextId) {
        let Some(id) = self.end(stream, |ended| &mut ended.log) else { return };
        self.call(proxy_on_log(id));
    }

    /// Notes that a stream has one of its final callbacks. Returns its number, unless it has had that one or there is no such stream.
    #[inline]
    fn end(&self, stream: ContextId, part: impl FnOnce(&mut Ended) -> &mut bool) -> Option<u32> {
        if stream.vm() != self.state.id {
            return None;
        }
        let mut contexts = self.state.contexts.borrow_mut();
        let ended = part(&mut contexts.stream_mut(stream.get())?.ended);
        (!std::mem::replace(ended, true)).then_some(stream.get())
    }

    /// Deletes a stream context (`proxy_on_delete`) and returns the embedder's stream. The id is
    /// unknown from then on.
    ///
    /// Calls `on_done` and `on_log` first if they were not called.
    pub fn delete_stream(&mut self, stream: ContextId) -> Option<Box<dyn Stream>> {
        if stream.vm() != self.state.id {
            return None;
        }
        let id = stream.get();
        let ended = self.state.contexts.borrow().stream(id)?.ended;
        if !ended.done {
            self.on_done(stream);
        }
        if !ended.log {
            self.on_log(stream);
        }
        self.call(proxy_on_delete(id));
        self.state.contexts.borrow_mut().remove_stream(id)
    }

    /// Stops a plugin: calls `proxy_on_done` of its root context and, unless the plugin asks for time,
    /// `proxy_on_delete`.
    ///
    /// Delete the plugin's streams before. Responses to its calls are no longer delivered.
    ///
    /// # Errors
    ///
    /// [`CallError::UnknownContext`]: there is no such root context.
    pub fn stop_plugin(&mut self, root: ContextId) -> Result<RootDone, CallError> {
        let id = self.state.root_id(root).ok_or(CallError::UnknownContext(root))?;
        if self.state.contexts.borrow().root(id).is_some_and(|root| root.done == DoneState::Pending) {
            return Ok(RootDone::Pending);
        }
        // Set before the call, because the plugin may call proxy_done inside proxy_on_done.
        self.set_done_state(id, DoneState::Pending);
        let called = self.call(proxy_on_done(id));
        if called.and_then(|called| called.value) == Some(0) {
            let gone = self.state.contexts.borrow().get(id).is_none();
            return Ok(if gone { RootDone::Deleted } else { RootDone::Pending });
        }
        self.delete_root(id);
        Ok(RootDone::Deleted)
    }

    /// Deletes a plugin for which [`stop_plugin`](Vm::stop_plugin) returned [`RootDone::Pending`]
    /// and which has not called `proxy_done` in the time that the host allows (`proxy_on_delete`).
    /// Does nothing if there is no such root context.
    pub fn delete_plugin(&mut self, root: ContextId) {
        if let Some(id) = self.state.root_id(root) {
            self.delete_root(id);
        }
    }

    /// Number of streams of a plugin; 0 if there is no such root context.
    #[inline]
    pub fn stream_count(&self, root: ContextId) -> usize {
        match self.state.root_id(root) {
            Some(id) => self.state.contexts.borrow().root(id).map_or(0, |root| root.streams),
            None => 0,
        }
    }

    fn set_done_state(&mut self, id: u32, state: DoneState) {
        if let Some(root) = self.state.contexts.borrow_mut().root_mut(id) {
            root.done = state;
        }
    }

    /// Calls `proxy_on_delete` and removes a root. Does nothing if it was removed.
    pub(super) fn delete_root(&mut self, id: u32) {
        if self.state.contexts.borrow().get(id).is_none() {
            return;
        }
        self.call(proxy_on_delete(id));
        self.state.end_root(id);
        if let Some(Context::Root(root)) = self.state.contexts.borrow_mut().remove(id) {
            telemetry::plugin_stopped(&self.state.config.vm_id, &root.config.name, id);
        }
    }
}
