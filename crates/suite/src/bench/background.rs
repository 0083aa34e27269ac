//! Streams that stay open while another one is measured.

use std::path::Path;
use std::rc::Rc;

use dynvm::{ContextId, Vm};

use crate::header_map::SortedHeaders;
use crate::host::{Phase, SuiteStream};
use crate::model::{Property, Test};
use crate::run::{call_body, call_headers};
use crate::{http1, input};

/// Inputs of a test's streams.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) properties: Rc<[Property]>,
    pub(super) request_headers: Option<SortedHeaders>,
    pub(super) request_body: Vec<Vec<u8>>,
    pub(super) response_headers: Option<SortedHeaders>,
    pub(super) response_body: Vec<Vec<u8>>,
}

impl Traffic {
    /// The inputs of a test, with the chunks of all parts of a body in one list.
    pub(super) fn of(test: &Test, suite: &Path) -> Result<Traffic, String> {
        let headers = |invocation: &Option<crate::model::Invocation>, kind| {
            invocation.as_ref().map(|invocation| input::headers(&invocation.input, kind, suite)).transpose()
        };
        let body = |invocations| input::bodies(invocations, test.chunking, suite).map(|parts| parts.concat());
        Ok(Traffic {
            properties: Rc::from(test.properties.as_slice()),
            request_headers: headers(&test.request_headers, http1::Kind::Request)?,
            request_body: body(&test.request_body)?,
            response_headers: headers(&test.response_headers, http1::Kind::Response)?,
            response_body: body(&test.response_body)?,
        })
    }
}

/// A stream that advances one step at a time, and restarts when it has ended.
#[derive(Default)]
pub(super) struct Background {
    id: Option<ContextId>,
    /// Steps taken since its creation: request headers, chunks, response headers, chunks.
    step: usize,
}

impl Background {
    /// Takes the next step: creates the stream, calls a handler, or deletes the stream.
    pub(super) fn advance(&mut self, vm: &mut Vm, root: ContextId, traffic: &Traffic) -> Result<(), String> {
        let Some(id) = self.id else {
            let stream = Box::new(SuiteStream::new(traffic.properties.clone()));
            self.id = Some(vm.create_stream(root, stream).map_err(|error| dynvm::with_causes(&error))?);
            self.step = 0;
            return healthy(vm);
        };
        if !self.call(vm, id, traffic) {
            vm.delete_stream(id);
            self.id = None;
        }
        healthy(vm)
    }

    /// Calls the next handler; returns false if there is none.
    fn call(&mut self, vm: &mut Vm, id: ContextId, traffic: &Traffic) -> bool {
        let mut step = self.step;
        for (phase, headers, body_phase, body) in [
            (Phase::RequestHeaders, &traffic.request_headers, Phase::RequestBody, &traffic.request_body),
            (Phase::ResponseHeaders, &traffic.response_headers, Phase::ResponseBody, &traffic.response_body),
        ] {
            if let Some(headers) = headers {
                if step == 0 {
                    call_headers(vm, id, phase, headers.clone());
                    self.step += 1;
                    return true;
                }
                step -= 1;
            }
            if let Some(chunk) = body.get(step) {
                call_body(vm, id, body_phase, chunk.clone(), step + 1 == body.len());
                self.step += 1;
                return true;
            }
            step -= body.len();
        }
        false
    }
}

fn healthy(vm: &Vm) -> Result<(), String> {
    vm.failure().map_or(Ok(()), |failure| Err(format!("the VM failed: {failure}")))
}
