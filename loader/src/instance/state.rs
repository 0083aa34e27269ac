//! The state of one VM that hostcalls use. The [`Vm`](super::Vm) and its backend share it on one
//! thread.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::{CallbackId, HOSTCALLS, HostcallId};
use dynvm_abi::types::{LogLevel, StreamType};
use dynvm_abi::version::AbiVersion;

use super::budget::WatchdogEntry;
use super::contexts::{Contexts, Root};
use crate::VmConfig;
use crate::call_trace::Tracer;
use crate::error::{Failure, FailureKind};
use crate::host::{Headers, LocalResponse, LogSource, Services};
use crate::id::{CallId, ContextId, VmId};
use crate::observe::VmObserved;
use crate::telemetry;

/// What the plugin is executing, which decides the hostcalls that it may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `_initialize`, `main` or `_start`: no context exists yet.
    Starting,
    /// A callback of a context.
    Running,
    /// The plugin's allocator, called by a hostcall.
    Allocating,
}

/// A set of hostcalls, one bit each.
pub(crate) type HostcallSet = u64;

const _: () = assert!(HOSTCALLS.len() <= 64, "a HostcallSet has a bit for every hostcall");

pub(crate) const fn bit(id: HostcallId) -> HostcallSet {
    1 << id as u8
}

impl Phase {
    /// The hostcalls allowed in this phase, as in proxy-wasm-cpp-host.
    const fn allowed(self) -> HostcallSet {
        match self {
            Phase::Running => HostcallSet::MAX,
            Phase::Starting | Phase::Allocating => bit(HostcallId::proxy_log),
        }
    }
}

/// An action that a plugin requested, executed after its callback returns.
pub(crate) enum Deferred {
    Continue(u32, StreamType),
    Close(u32, StreamType),
    LocalResponse(u32, Box<LocalResponse>),
    /// `proxy_done` of a root, which is then deleted.
    RootDone(u32),
}

/// Data that is readable only inside the callback that delivers it.
#[derive(Default)]
pub(crate) struct Delivery {
    pub(crate) http_headers: Headers,
    pub(crate) http_trailers: Headers,
    pub(crate) http_body: Vec<u8>,
    pub(crate) grpc_metadata: Headers,
    pub(crate) grpc_message: Vec<u8>,
    pub(crate) call_data: Vec<u8>,
    /// The kind of delivery; `None` outside such a callback.
    pub(crate) kind: Option<DeliveryKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryKind {
    HttpCall,
    GrpcInitialMetadata,
    GrpcMessage,
    GrpcTrailingMetadata,
    ForeignCall,
}

/// The status that `proxy_get_status` returns.
#[derive(Default)]
pub(crate) struct CallStatus {
    pub(crate) code: u32,
    pub(crate) message: Vec<u8>,
}

/// Calls in progress, with their tokens and roots.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) under_way: Vec<Call>,
    pub(crate) count: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) token: u32,
    pub(crate) root: u32,
    pub(crate) kind: CallKind,
}

/// Kinds of calls. The number is in the low two bits of a token, as in proxy-wasm-cpp-host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Http = 0,
    GrpcCall = 1,
    GrpcStream = 2,
}

impl Calls {
    /// Starts a call and returns its token, which no other call in progress has and which is never
    /// 0.
    pub(crate) fn begin(&mut self, kind: CallKind, root: u32) -> u32 {
        loop {
            // Wraps before the shift could lose a bit, and skips 0, so that no token is 0.
            self.count = self.count % (u32::MAX >> 2) + 1;
            let token = self.count << 2 | kind as u32;
            if self.find(token).is_none() {
                self.under_way.push(Call { token, root, kind });
                return token;
            }
        }
    }

    /// Makes this the token of the next call, if it is free and a token of that call's kind.
    pub(crate) fn reserve_ids(&mut self, token: u32) {
        self.count = (token >> 2).saturating_sub(1);
    }

    pub(crate) fn find(&self, token: u32) -> Option<Call> {
        self.under_way.iter().find(|call| call.token == token).copied()
    }

    /// Removes all calls of a root and returns them, oldest first.
    pub(crate) fn end_all(&mut self, root: u32) -> Vec<Call> {
        let mut ended: Vec<Call> = self.under_way.extract_if(.., |call| call.root == root).collect();
        ended.sort_unstable_by_key(|call| call.token);
        ended
    }

    pub(crate) fn end(&mut self, token: u32) -> Option<Call> {
        let index = self.under_way.iter().position(|call| call.token == token)?;
        Some(self.under_way.swap_remove(index))
    }
}

pub(crate) struct InstanceState {
    /// Part of every context and call id that leaves the VM.
    pub(crate) id: VmId,
    pub(crate) services: Services,
    pub(crate) config: VmConfig,
    abi_version: AbiVersion,
    /// Hostcalls that need no further check: allowed by the configuration, implemented by the host,
    /// allowed in this phase, and not traced. One test of a bit decides between the fast path and
    /// the slow path.
    fast: Cell<HostcallSet>,
    /// Hostcalls that the capability restriction allows.
    capable: HostcallSet,
    /// Hostcalls that the host implements.
    implemented: HostcallSet,
    phase: Cell<Phase>,
    traced: Cell<bool>,
    /// True if the VM has failed, is traced, is observed or has a time budget: callbacks take the longer path.
    needs_attention: Cell<bool>,
    observed: OnceCell<VmObserved>,
    /// The VM's entry for the watchdog, if callbacks have a time budget.
    slot: Option<Arc<WatchdogEntry>>,
    pub(crate) tracer: RefCell<Option<Box<dyn Tracer>>>,
    /// The context whose callback runs; 0 for the VM itself.
    pub(crate) current: Cell<u32>,
    /// The context that hostcalls act on: the current one, unless the plugin chose another.
    pub(crate) effective: Cell<u32>,
    pub(crate) callback: Cell<Option<CallbackId>>,
    pub(crate) local_response_sent: Cell<bool>,
    has_deferred: Cell<bool>,
    pub(crate) deferred: RefCell<Vec<Deferred>>,
    pub(crate) contexts: RefCell<Contexts>,
    pub(crate) delivery: RefCell<Delivery>,
    pub(crate) call_status: RefCell<CallStatus>,
    pub(crate) calls: RefCell<Calls>,
    has_failed: Cell<bool>,
    /// The context in whose callback the VM failed.
    failed_in: Cell<u32>,
    /// True once [`end_all`](InstanceState::end_all) has run after the failure of the VM.
    has_ended_all: Cell<bool>,
    failure: RefCell<Option<Box<Failure>>>,
}

/// The hostcalls whose names satisfy a condition.
fn hostcalls(condition: impl Fn(&str) -> bool) -> HostcallSet {
    let names = HOSTCALLS.iter().enumerate().filter(|(_, hostcall)| condition(hostcall.name));
    names.fold(0, |set, (index, _)| set | 1 << index)
}

impl InstanceState {
    pub(crate) fn new(config: VmConfig, services: Services, abi_version: AbiVersion) -> Rc<InstanceState> {
        let slot = config.callback_budget.map(|budget| WatchdogEntry::new(budget, services.log.clone(), &config.vm_id));
        InstanceState::with_slot(config, services, abi_version, slot)
    }

    pub(crate) fn with_slot(
        config: VmConfig,
        services: Services,
        abi_version: AbiVersion,
        slot: Option<Arc<WatchdogEntry>>,
    ) -> Rc<InstanceState> {
        let capable = hostcalls(|name| config.capabilities.allows(name));
        let implemented = hostcalls(|name| !services.unimplemented.contains(&name));
        let state = InstanceState {
            id: VmId::next(),
            services,
            config,
            abi_version,
            fast: Cell::new(0),
            capable,
            implemented,
            phase: Cell::new(Phase::Running),
            traced: Cell::new(false),
            needs_attention: Cell::new(slot.is_some()),
            observed: OnceCell::new(),
            slot,
            tracer: RefCell::default(),
            current: Cell::new(0),
            effective: Cell::new(0),
            callback: Cell::new(None),
            local_response_sent: Cell::new(false),
            has_deferred: Cell::new(false),
            deferred: RefCell::default(),
            contexts: RefCell::new(Contexts::new()),
            delivery: RefCell::default(),
            call_status: RefCell::default(),
            calls: RefCell::default(),
            has_failed: Cell::new(false),
            failed_in: Cell::new(0),
            has_ended_all: Cell::new(false),
            failure: RefCell::default(),
        };
        state.update_fast();
        Rc::new(state)
    }

    fn update_fast(&self) {
        let allowed = self.capable & self.implemented & self.phase.get().allowed();
        // A traced VM has no fast hostcalls, so that each of them reaches the tracer.
        self.fast.set(if self.traced.get() { 0 } else { allowed });
    }

    /// True if a hostcall needs no further check.
    #[inline]
    pub(crate) fn is_fast(&self, id: HostcallId) -> bool {
        self.fast.get() & bit(id) != 0
    }

    pub(crate) fn is_capable(&self, id: HostcallId) -> bool {
        self.capable & bit(id) != 0
    }

    pub(crate) fn is_implemented(&self, id: HostcallId) -> bool {
        self.implemented & bit(id) != 0
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn allows_in_phase(&self, id: HostcallId) -> bool {
        self.phase.get().allowed() & bit(id) != 0
    }

    /// Enters a phase until the guard is dropped.
    #[inline]
    pub(crate) fn enter_phase(&self, phase: Phase) -> PhaseGuard<'_> {
        let guard = PhaseGuard { state: self, phase: self.phase.get(), fast: self.fast.get() };
        self.phase.set(phase);
        self.fast.set(self.fast.get() & phase.allowed());
        guard
    }

    pub(crate) fn set_tracer(&self, tracer: Option<Box<dyn Tracer>>) {
        self.traced.set(tracer.is_some());
        let is_watched = tracer.is_some() || self.observed.get().is_some() || self.slot.is_some();
        self.needs_attention.set(is_watched || self.has_failed());
        *self.tracer.borrow_mut() = tracer;
        self.update_fast();
    }

    pub(crate) fn take_tracer(&self) -> Option<Box<dyn Tracer>> {
        let tracer = self.tracer.borrow_mut().take();
        self.set_tracer(None);
        tracer
    }

    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.get()
    }

    /// Makes the VM observed from now on.
    pub(crate) fn set_observed(&self, observed: VmObserved) {
        self.needs_attention.set(true);
        // A second value would be dropped, which would count the VM as ended. It is set only once.
        let _ = self.observed.set(observed);
    }

    pub(crate) fn observed(&self) -> Option<&VmObserved> {
        self.observed.get()
    }

    /// The VM's entry for the watchdog.
    pub(crate) fn slot(&self) -> Option<&Arc<WatchdogEntry>> {
        self.slot.as_ref()
    }

    /// True if the VM has failed, is traced, is observed or has a time budget.
    #[inline]
    pub(crate) fn needs_attention(&self) -> bool {
        self.needs_attention.get()
    }

    /// Notes that a callback runs, for a context.
    #[inline]
    pub(crate) fn enter_callback(&self, id: CallbackId, context: u32) {
        self.current.set(context);
        self.effective.set(context);
        self.callback.set(Some(id));
    }

    /// Notes that none runs.
    #[inline]
    pub(crate) fn leave_callback(&self) {
        self.current.set(0);
        self.effective.set(0);
    }

    /// Fails the VM. The first failure is the reported one.
    pub(crate) fn fail(&self, failure: Box<Failure>) {
        if !self.has_failed.replace(true) {
            self.needs_attention.set(true);
            if let Some(slot) = &self.slot {
                slot.set_failed();
            }
            self.tell_failure(&failure);
        }
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// Reports the failure to log, `tracing` and observer.
    #[cold]
    fn tell_failure(&self, failure: &Failure) {
        let context = if self.current.get() == 0 { self.failed_in.get() } else { self.current.get() };
        // A hostcall may hold the contexts while it fails.
        let contexts = self.contexts.try_borrow();
        let plugin = contexts.as_ref().ok().and_then(|contexts| contexts.root_of(context));
        let plugin = plugin.map(|(_, root)| root.config.name.as_str());
        telemetry::vm_failed(&self.config.vm_id, plugin.unwrap_or_default(), context, failure);
        if let Some(observed) = self.observed() {
            observed.failed(plugin, failure.kind);
        }
    }

    pub(crate) fn set_failed_in(&self, context: u32) {
        self.failed_in.set(context);
    }

    /// The identity of a context of this VM.
    #[inline]
    pub(crate) fn context_id(&self, id: u32) -> ContextId {
        ContextId::new(self.id, id)
    }

    /// The identity of a call of this VM.
    pub(crate) fn call_id(&self, token: u32) -> CallId {
        CallId::new(self.id, token)
    }

    /// The number of a stream. `None` if there is no such stream, or if it belongs to another VM.
    #[inline]
    pub(crate) fn stream_id(&self, context: ContextId) -> Option<u32> {
        (context.vm() == self.id && self.contexts.borrow().stream(context.get()).is_some()).then(|| context.get())
    }

    /// The number of a root, like [`stream_id`](InstanceState::stream_id).
    pub(crate) fn root_id(&self, context: ContextId) -> Option<u32> {
        (context.vm() == self.id && self.contexts.borrow().root(context.get()).is_some()).then(|| context.get())
    }

    /// A call in progress. `None` if there is no such call, or if it belongs to another VM.
    pub(crate) fn find_call(&self, call: CallId) -> Option<Call> {
        (call.vm() == self.id).then(|| self.calls.borrow().find(call.token())).flatten()
    }

    /// Cancels everything that a root has registered with the host: its calls, its ticks and its
    /// queues.
    pub(crate) fn cancel_all(&self, root: u32) {
        let calls = self.calls.borrow_mut().end_all(root);
        let name = self.context_id(root);
        self.services.timers.set_tick_period(name, None);
        self.services.shared_queues.unregister(name);
        self.services.http_calls.cancel_all(name);
        for call in calls.into_iter().filter(|call| call.kind != CallKind::Http) {
            self.services.grpc_calls.cancel(self.call_id(call.token));
        }
    }

    /// Cancels what all roots have registered with the host, and releases the streams, after the VM
    /// failed or ended. Later calls do nothing.
    #[cold]
    pub(crate) fn end_all(&self) {
        if self.has_ended_all.replace(true) {
            return;
        }
        let roots = self.contexts.borrow().roots();
        roots.into_iter().for_each(|root| self.cancel_all(root));
        self.contexts.borrow_mut().release_streams(self.failed_in.get());
    }

    /// Cancels what a root has registered with the host, unless [`end_all`](InstanceState::end_all)
    /// did.
    pub(crate) fn end_root(&self, root: u32) {
        if !self.has_ended_all.get() {
            self.cancel_all(root);
        }
    }

    /// Runs code of the host for the plugin, which called. `None`: it panicked, and the VM has failed. The panic must not
    /// unwind into the plugin.
    #[inline]
    pub(crate) fn run_host<R>(&self, name: &str, host: impl FnOnce() -> R) -> Option<R> {
        let returned = catch_unwind(AssertUnwindSafe(host));
        if returned.is_err() {
            self.fail_with(FailureKind::Host, format!("the host panicked in {name}"));
        }
        returned.ok()
    }

    pub(crate) fn fail_with(&self, kind: FailureKind, message: impl Into<String>) {
        self.fail(Failure::new(kind, message));
    }

    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.borrow().as_deref().cloned()
    }

    pub(crate) fn defer(&self, action: Deferred) {
        self.has_deferred.set(true);
        self.deferred.borrow_mut().push(action);
    }

    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        self.has_deferred.get()
    }

    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        self.has_deferred.set(false);
        std::mem::take(&mut self.deferred.borrow_mut())
    }

    pub(crate) fn abi_version(&self) -> AbiVersion {
        self.abi_version
    }

    /// The root of the context that hostcalls act on.
    pub(crate) fn effective_root(&self) -> Option<u32> {
        self.contexts.borrow().root_of(self.effective.get()).map(|(id, _)| id)
    }

    /// Writes a message of the effective context to the log, unless its level is below the log's.
    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        if level < self.services.log.level() {
            return;
        }
        let context_id = self.effective.get();
        // A destructor may log while the contexts are borrowed. The message then lacks the plugin's
        // name.
        let contexts = self.contexts.try_borrow();
        let plugin = contexts
            .as_ref()
            .ok()
            .and_then(|contexts| contexts.root_of(context_id))
            .map_or("", |(_, root): (u32, &Root)| root.config.name.as_str());
        let source = LogSource { vm_id: &self.config.vm_id, plugin, context_id };
        self.services.log.log(source, level, message);
    }
}

/// The state is dropped after the instance, whose last code may still have made hostcalls.
impl Drop for InstanceState {
    fn drop(&mut self) {
        self.end_all();
        // Streams that were created after the VM failed.
        self.contexts.borrow_mut().release_streams(0);
    }
}

/// Restores the previous phase when dropped.
pub(crate) struct PhaseGuard<'a> {
    state: &'a InstanceState,
    phase: Phase,
    fast: HostcallSet,
}

impl Drop for PhaseGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.phase.set(self.phase);
        self.state.fast.set(self.fast);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_their_kind_and_are_unique() {
        let mut calls = Calls::default();
        assert_eq!(calls.begin(CallKind::Http, 1), 4);
        assert_eq!(calls.begin(CallKind::GrpcCall, 1), 9);
        assert_eq!(calls.begin(CallKind::GrpcStream, 1), 14);
        calls.count = u32::MAX >> 2;
        assert_eq!(calls.begin(CallKind::Http, 1), 8, "4 is under way");
        assert!(calls.end(4).is_some() && calls.end(4).is_none());
    }
}
