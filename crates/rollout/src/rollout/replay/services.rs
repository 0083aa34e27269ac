//! Services of a shadow: reads return recorded answers, and writes have no effect outside.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use dynvm::abi::types::{LogLevel, Status};
use dynvm::host::{
    CasMismatch, Clock, Consumer, DequeueError, DispatchError, ForeignError, ForeignFunctions, GrpcCall, GrpcCalls,
    GrpcSendError, HttpCall, HttpCalls, InProcessMetrics, InProcessSharedData, Log, LogSource, QueueId, Services,
    SharedData, SharedQueues, SystemClock, UnknownQueue,
};
use dynvm::{CallId, ContextId};

use super::replayed::{Replayed, bytes_of};
use crate::rollout::recording::number;

/// Services without access to anything but the recording.
pub(super) fn isolated(replayed: &Arc<Replayed>) -> Services {
    let calls = Rc::new(Calls(replayed.clone()));
    let mut services = Services::default();
    services.log = Arc::new(Silent(replayed.clone()));
    services.clock = Arc::new(RecordedClock(replayed.clone()));
    services.metrics = Arc::new(InProcessMetrics::default());
    services.shared_data = Arc::new(Data { replayed: replayed.clone(), own: InProcessSharedData::default() });
    services.shared_queues = Arc::new(Queues { replayed: replayed.clone(), ids: Mutex::default() });
    services.foreign = Arc::new(Foreign(replayed.clone()));
    services.http_calls = calls.clone();
    services.grpc_calls = calls;
    services
}

/// Accepts the levels of the serving plugin's log and discards messages; the tracer has them already.
struct Silent(Arc<Replayed>);

impl Log for Silent {
    fn log(&self, _: LogSource<'_>, _: LogLevel, _: &[u8]) {}

    fn level(&self) -> LogLevel {
        self.0.log_level().unwrap_or(LogLevel::Info)
    }
}

struct RecordedClock(Arc<Replayed>);

impl Clock for RecordedClock {
    fn realtime_ns(&self) -> u64 {
        self.0.realtime().unwrap_or_else(|| SystemClock.realtime_ns())
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.monotonic().unwrap_or_else(|| SystemClock.monotonic_ns())
    }
}

/// Recorded values; for other keys, the values the shadow itself wrote while it started.
struct Data {
    replayed: Arc<Replayed>,
    own: InProcessSharedData,
}

impl SharedData for Data {
    fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Arc<[u8]>, u32)> {
        if !self.replayed.is_under_way() {
            return self.own.get(vm_id, key);
        }
        let (status, results) = self.replayed.take_or_note("proxy_get_shared_data", &[key])?;
        let value = bytes_of(&results).filter(|_| status == Status::Ok)?;
        Some((value.into(), number(&results, "cas").unwrap_or(1)))
    }

    fn set(&self, vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> Result<(), CasMismatch> {
        if !self.replayed.is_under_way() {
            return self.own.set(vm_id, key, value, cas);
        }
        match self.replayed.take("proxy_set_shared_data", &[key]) {
            Some((Status::CasMismatch, _)) => Err(CasMismatch),
            _ => Ok(()),
        }
    }
}

/// Queues that exist under every name and discard their content.
struct Queues {
    replayed: Arc<Replayed>,
    ids: Mutex<HashMap<(String, Vec<u8>), QueueId>>,
}

impl Queues {
    fn id(&self, vm_id: &str, name: &[u8]) -> QueueId {
        let mut ids = self.ids.lock().unwrap_or_else(|e| e.into_inner());
        let next = ids.len() as QueueId + 1;
        *ids.entry((vm_id.to_owned(), name.to_owned())).or_insert(next)
    }
}

impl SharedQueues for Queues {
    fn register(&self, vm_id: &str, name: &[u8], _: Consumer) -> QueueId {
        self.id(vm_id, name)
    }

    fn unregister(&self, _: ContextId) {}

    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<QueueId> {
        let recorded = self.replayed.take("proxy_resolve_shared_queue", &[vm_id.as_bytes(), name]);
        recorded.is_none_or(|(status, _)| status == Status::Ok).then(|| self.id(vm_id, name))
    }

    fn enqueue(&self, _: QueueId, value: &[u8]) -> Result<(), UnknownQueue> {
        match self.replayed.take("proxy_enqueue_shared_queue", &[value]) {
            Some((Status::NotFound, _)) => Err(UnknownQueue),
            _ => Ok(()),
        }
    }

    fn dequeue(&self, _: QueueId) -> Result<Vec<u8>, DequeueError> {
        match self.replayed.take("proxy_dequeue_shared_queue", &[]) {
            Some((Status::Ok, results)) => Ok(bytes_of(&results).unwrap_or_default().to_vec()),
            Some((Status::NotFound, _)) => Err(DequeueError::UnknownQueue),
            _ => Err(DequeueError::Empty),
        }
    }
}

struct Foreign(Arc<Replayed>);

impl ForeignFunctions for Foreign {
    fn call(&self, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>, ForeignError> {
        let (status, results) =
            self.0.take_or_note("proxy_call_foreign_function", &[name, arguments]).ok_or(ForeignError::NotFound)?;
        match status {
            Status::Ok => Ok(bytes_of(&results).unwrap_or_default().to_vec()),
            Status::BadArgument => Err(ForeignError::BadArgument),
            Status::SerializationFailure => Err(ForeignError::SerializationFailure),
            Status::InternalFailure => Err(ForeignError::Internal),
            _ => Err(ForeignError::NotFound),
        }
    }
}

/// Calls that are never sent. A call that the serving plugin made too gets its recorded answer; others get none.
struct Calls(Arc<Replayed>);

impl HttpCalls for Calls {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        match self.0.take("proxy_http_call", &[&call.upstream]) {
            Some((Status::Ok, results)) => {
                self.0.pair(&results, call.id);
                Ok(())
            }
            Some((Status::BadArgument, _)) => Err(DispatchError::BadArgument),
            Some(_) => Err(DispatchError::Internal),
            None => Ok(()),
        }
    }
}

impl GrpcCalls for Calls {
    fn open(&self, _: GrpcCall) -> Result<(), DispatchError> {
        Err(DispatchError::Internal)
    }

    fn send(&self, _: CallId, _: &[u8], _: bool) -> Result<(), GrpcSendError> {
        Err(GrpcSendError::NotFound)
    }

    fn cancel(&self, _: CallId) {}

    fn close(&self, _: CallId) {}
}
