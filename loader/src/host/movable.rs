//! Services of VMs that move between threads.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{
    DispatchError, GrpcCall, GrpcCalls, GrpcSendError, HttpCall, HttpCalls, NoCalls, NoProperties, NoTimers,
    Properties, PropertyContext, PropertyError, PropertyPath, Services, Timers,
};
use crate::{CallId, ContextId};

/// Those of the [`Services`] that need not be `Send`, for a VM that moves between threads: with them, all are.
///
/// [`VmBuilder::movable`](crate::VmBuilder::movable) takes them. They are called on whatever thread runs the VM, and are usually shared by
/// all VMs of a pool.
#[derive(Clone)]
#[non_exhaustive]
pub struct MovableServices {
    /// Properties that do not belong to a stream.
    pub properties: Arc<dyn Properties + Send + Sync>,
    /// Makes HTTP calls.
    pub http_calls: Arc<dyn HttpCalls + Send + Sync>,
    /// Makes gRPC calls.
    pub grpc_calls: Arc<dyn GrpcCalls + Send + Sync>,
    /// Sets tick periods.
    pub timers: Arc<dyn Timers + Send + Sync>,
}

impl Default for MovableServices {
    /// None of them.
    fn default() -> Self {
        MovableServices {
            properties: Arc::new(NoProperties),
            http_calls: Arc::new(NoCalls),
            grpc_calls: Arc::new(NoCalls),
            timers: Arc::new(NoTimers),
        }
    }
}

impl MovableServices {
    /// Replaces what need not be `Send`. Nobody else has the new references.
    pub(crate) fn replace_in(self, services: &mut Services) {
        services.properties = Rc::new(self.properties);
        services.http_calls = Rc::new(self.http_calls);
        services.grpc_calls = Rc::new(self.grpc_calls);
        services.timers = Rc::new(self.timers);
    }
}

impl Services {
    /// Whether nobody else has a reference to what need not be `Send`.
    pub(crate) fn is_sole_owner(&self) -> bool {
        fn is_sole<T: ?Sized>(service: &Rc<T>) -> bool {
            Rc::strong_count(service) == 1 && Rc::weak_count(service) == 0
        }
        is_sole(&self.properties) && is_sole(&self.http_calls) && is_sole(&self.grpc_calls) && is_sole(&self.timers)
    }
}

impl<T: Properties + ?Sized> Properties for Arc<T> {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        (**self).property(path)
    }

    fn set_property(&self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        (**self).set_property(path, value)
    }

    fn find<'a>(
        &'a self,
        path: PropertyPath<'_>,
        context: &PropertyContext<'a>,
    ) -> Result<Cow<'a, [u8]>, PropertyError> {
        (**self).find(path, context)
    }
}

impl<T: HttpCalls + ?Sized> HttpCalls for Arc<T> {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        (**self).dispatch(call)
    }

    fn cancel_all(&self, root: ContextId) {
        (**self).cancel_all(root);
    }
}

impl<T: GrpcCalls + ?Sized> GrpcCalls for Arc<T> {
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError> {
        (**self).open(call)
    }

    fn send(&self, call: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError> {
        (**self).send(call, message, end_stream)
    }

    fn cancel(&self, call: CallId) {
        (**self).cancel(call);
    }

    fn close(&self, call: CallId) {
        (**self).close(call);
    }
}

impl<T: Timers + ?Sized> Timers for Arc<T> {
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>) {
        (**self).set_tick_period(root, period);
    }
}
