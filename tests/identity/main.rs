//! VMs are isolated from each other: contexts, calls, ticks, queues and streams of a VM that failed, was replaced or
//! has ended are unknown to every other VM, on both backends.

mod deployed;
mod ended;
mod held;
mod mixed;
mod replaced;

use std::cell::RefCell;
use std::rc::Rc;

use dynvm::{CallId, ContextId, FailurePolicy, Plugin, PluginConfig, ReloadBackoff};
use harness::{Backend, Parts, TestStream, parts, probe};

const BACKENDS: [Backend; 2] = [Backend::Native, Backend::Wasm];

/// A plugin that makes a call for each request and holds it until the answer; a request body makes its VM fail.
const WAITS: &str = "on_request_headers|proxy_http_call up null null null 0\n\
                     on_request_headers|proxy_grpc_call up svc method null message 0\n\
                     on_request_headers|proxy_grpc_stream up svc method null\n\
                     on_request_headers|return 4\n\
                     on_request_body|trap\n";

/// One plugin and its services.
struct World {
    plugin: Plugin,
    parts: Parts,
}

impl World {
    fn new(backend: Backend, policy: FailurePolicy, script: &str) -> World {
        let parts = parts();
        let config = PluginConfig::named("probe").failure_policy(policy).configuration(script);
        let services = parts.services.clone();
        let plugin = Plugin::builder(&probe(backend, &[]), config)
            .services(services)
            .backoff(ReloadBackoff::none())
            .start()
            .unwrap();
        let world = World { plugin, parts };
        world.log();
        world
    }

    /// A request whose headers have arrived, and the actions requested of its stream.
    fn request(&mut self) -> (ContextId, Rc<RefCell<Vec<String>>>) {
        let stream = TestStream::default();
        let asked = stream.asked.clone();
        let (vm, root) = self.plugin.vm_for_new_stream();
        let id = vm.create_stream(root, Box::new(stream)).unwrap();
        vm.on_request_headers(id, 0, false);
        (id, asked)
    }

    /// Fails the VM in a stream of another user.
    fn fail(&mut self) -> Rc<RefCell<Vec<String>>> {
        let (id, asked) = self.request();
        self.plugin.vm().on_request_body(id, 0, false);
        assert!(self.plugin.vm().has_failed());
        asked
    }

    /// The names of the HTTP calls and of the gRPC calls that were made.
    fn calls(&self) -> (Vec<CallId>, Vec<CallId>) {
        let http = self.parts.calls.http.borrow().iter().map(|call| call.id).collect();
        (http, self.parts.calls.grpc.borrow().iter().map(|call| call.id).collect())
    }

    fn log(&self) -> Vec<String> {
        harness::lines(&self.parts.log)
    }

    fn notes(&self) -> Vec<String> {
        self.parts.calls.notes.take()
    }
}
