//! The host of a suite's plugins: what they see, and what is recorded.
//!
//! It is simpler than Envoy, and follows the wasm-tester where that differs from the simulated
//! proxy ([`dynvm_sim`]): one line per header name, no buffering of bodies, maps and buffers only
//! within their own callback, no calls, metrics or ticks.

mod clock;
mod log;
mod properties;
mod stream;

use std::rc::Rc;
use std::sync::Arc;

use dynvm::host::{AbsentMap, InProcessSharedData, InProcessSharedQueues, Services, SharedData, SharedQueues};
use dynvm::{CapabilityRestriction, VmConfig};

pub(crate) use clock::FrozenClock;
pub(crate) use log::{LogCount, LogFile, SuiteLog};
pub(crate) use stream::{Answer, Phase, SuiteStream};

/// Hostcalls that this host does not implement.
const UNIMPLEMENTED: &[&str] = &[
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    "proxy_set_property",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_continue_request",
    "proxy_continue_response",
];

/// The VM configuration: no id, no configuration, no environment.
pub(crate) fn vm_config() -> VmConfig {
    let mut config = VmConfig::default();
    config.configuration = None;
    // The tester never runs this callback.
    config.capabilities = CapabilityRestriction::except(["proxy_on_log"]);
    config
}

/// State shared by all VMs of one run of a suite.
#[derive(Clone)]
pub(crate) struct Shared {
    data: Arc<dyn SharedData>,
    queues: Arc<dyn SharedQueues>,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared { data: Arc::new(InProcessSharedData::default()), queues: Arc::new(InProcessSharedQueues::default()) }
    }

    /// The services of one VM. Randomness comes from the system; there are no ticks.
    pub(crate) fn services(&self, log: Arc<SuiteLog>, clock: FrozenClock) -> Services {
        let mut services = Services::default();
        services.log = log;
        services.clock = Arc::new(clock);
        services.shared_data = self.data.clone();
        services.shared_queues = self.queues.clone();
        services.properties = Rc::new(properties::OfOneContext);
        services.absent_maps = AbsentMap::Unimplemented;
        services.unimplemented = UNIMPLEMENTED;
        services
    }
}
