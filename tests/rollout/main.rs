//! Two builds of a plugin side by side: which one answers, what the shadow sees, what is counted, and that it harms no
//! stream.

mod divergence;
mod failure;
mod isolation;
mod reload;
mod split;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dynvm::abi::types::{BufferType, MapType};
use dynvm::host::{Headers, NoLog};
use dynvm::{PluginConfig, ReloadBackoff, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig};
use dynvm_rollout::rollout::{Aspect, Rollout, RolloutConfig, RolloutSnapshot, RolloutStream, RolloutWorker, Share};
use harness::{Backend, Parts, TestStream, compile, loader, parts};

/// Both directions: native answers and wasm is the shadow, and the reverse.
const BOTH: [[Backend; 2]; 2] = [[Backend::Native, Backend::Wasm], [Backend::Wasm, Backend::Native]];

fn config(script: &str) -> DeploymentConfig {
    let plugin = PluginConfig::named("probe").configuration(script);
    let mut config = DeploymentConfig::new(VmConfig::with_id("vm"), plugin).log(Arc::new(NoLog));
    config.vm_backoff = ReloadBackoff::none();
    config
}

fn deployment(backend: Backend, script: &str) -> Deployment {
    let path = compile::plugin(backend, "probe.c", &[]);
    Deployment::new(loader(), path, config(script)).unwrap()
}

/// A rollout from a probe with one script to a probe with another, on one thread.
struct Two {
    rollout: Rollout,
    worker: RolloutWorker,
    world: Parts,
}

impl Two {
    fn new([answers, shadow]: [Backend; 2], scripts: [&str; 2]) -> Two {
        Two::with([answers, shadow], scripts, RolloutConfig::default())
    }

    fn with([answers, shadow]: [Backend; 2], scripts: [&str; 2], config: RolloutConfig) -> Two {
        let rollout = Rollout::new(deployment(answers, scripts[0]), deployment(shadow, scripts[1]), config);
        rollout.set_shadow(Share::ALL);
        let world = parts();
        let services = world.services.clone();
        let worker = rollout.worker(move |_, _| services.clone()).unwrap();
        world.log.take();
        Two { rollout, worker, world }
    }

    fn stream(&mut self, stream: TestStream) -> RolloutStream {
        self.worker.create_stream(None, Box::new(stream)).unwrap()
    }

    /// Sends a request with a body, and returns the actions requested of its stream.
    fn request(&mut self) -> Vec<String> {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let mut stream = TestStream::with_headers([(":path", "/")]).buffer(BufferType::HttpRequestBody, b"body");
        stream.asked = asked.clone();
        let stream = self.stream(stream);
        self.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, false));
        self.worker.call(stream, |vm, id| vm.on_request_body(id, 4, true));
        self.worker.end(stream);
        asked.take()
    }

    /// The counts after all comparisons are done.
    #[track_caller]
    fn seen(&self) -> RolloutSnapshot {
        assert!(self.rollout.flush(Duration::from_secs(60)), "the shadow thread is done");
        self.rollout.snapshot()
    }

    /// The aspects in which the shadow differed.
    #[track_caller]
    fn aspects(&self) -> Vec<Aspect> {
        self.seen().divergences.iter().map(|divergence| divergence.aspect).collect()
    }
}

/// The final headers of a stream.
fn headers(worker: &mut RolloutWorker, stream: RolloutStream) -> Headers {
    worker.stream::<TestStream>(stream).unwrap().maps[&MapType::HttpRequestHeaders].clone()
}
