//! Runs the streams of the benches through the crate proxy-wasm-host, as the program `ratios` requests on standard
//! input.
//!
//! The answer to a line `WORKLOAD HEADERS BODY COUNT` is the duration of COUNT streams in nanoseconds.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use proxy_wasm_host::abi::v0_2_1::types::{BufferType, LogLevel, MapType, Status};
use proxy_wasm_host::abi::v0_2_1::{
    Access, ContextId, Guest, GuestError, Host, Invocation, LogContext, LogSink, PluginConfig, Started, StreamKind,
    StreamState, VmServices,
};
use proxy_wasm_host::{Buffer, Engine, HeaderMap, Limits, Module, VecHeaderMap};

#[path = "../../../src/traffic.rs"]
mod traffic;

use traffic::{Lines, Traffic};

struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _: LogContext<'_>, _: LogLevel, _: &[u8]) {}
}

#[derive(Clone)]
struct Stream {
    request: VecHeaderMap,
    response: VecHeaderMap,
    body: Vec<u8>,
}

impl StreamState for Stream {
    fn header_map(&mut self, _: Invocation, _: Access, map: MapType) -> Result<&mut dyn HeaderMap, Status> {
        match map {
            MapType::HttpRequestHeaders => Ok(&mut self.request),
            MapType::HttpResponseHeaders => Ok(&mut self.response),
            _ => Err(Status::NotFound),
        }
    }

    fn buffer(&mut self, _: Invocation, _: Access, buffer: BufferType) -> Result<&mut dyn Buffer, Status> {
        match buffer {
            BufferType::HttpRequestBody => Ok(&mut self.body),
            _ => Err(Status::NotFound),
        }
    }
}

fn headers(lines: &Lines) -> VecHeaderMap {
    let mut map = VecHeaderMap::default();
    for (name, value) in lines {
        map.add(name.as_bytes(), value).expect("the map takes all");
    }
    map
}

fn run(guest: &mut Guest, root: ContextId, template: &Stream) -> Result<(), GuestError> {
    let [headers, body, answers] =
        [template.request.len(), template.body.len(), template.response.len()].map(|size| size as u32);
    let (result, stream) = guest.with(template.clone(), |scope| {
        let stream = scope.on_context_create(Some(root))?;
        scope.expect_stream_kind(stream, StreamKind::Http)?;
        black_box(scope.on_request_headers(stream, headers, body == 0)?);
        if body > 0 {
            black_box(scope.on_request_body(stream, body, true)?);
        }
        black_box(scope.on_response_headers(stream, answers, true)?);
        scope.on_done(stream)?;
        scope.on_log(stream)?;
        scope.on_delete(stream)?;
        Ok::<_, GuestError>(())
    });
    black_box(stream);
    result
}

fn main() -> Result<(), Box<dyn Error>> {
    let wasm = std::fs::read(std::env::args().nth(1).ok_or("name the wasm module")?)?;
    let engine = Engine::new()?;
    let module = Module::new(&engine, &wasm)?;
    let host = Host::new(&engine)?;
    let mut guests: HashMap<String, (Guest, ContextId)> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let [workload, count_of_headers, body, count] = words[..] else { return Err("four words are expected".into()) };
        let (count_of_headers, body, count): (usize, usize, u32) =
            (count_of_headers.parse()?, body.parse()?, count.parse()?);
        if !guests.contains_key(workload) {
            let mut guest = Guest::new(&host, &module, VmServices::new(Arc::new(NoLog)), &Limits::default())?;
            let config = PluginConfig::new().with_name("bench").with_configuration(workload);
            let Started::Serving(root) = guest.start(config)? else { return Err("the plugin refused its start".into()) };
            guests.insert(workload.to_owned(), (guest, root));
        }
        let (guest, root) = guests.get_mut(workload).expect("it is there now");
        let traffic = Traffic::new(count_of_headers, body);
        let template = Stream {
            request: headers(&traffic.request),
            response: headers(&traffic.response),
            body: traffic.body.unwrap_or_default(),
        };
        let started = Instant::now();
        for _ in 0..count {
            run(guest, *root, &template)?;
        }
        println!("{}", started.elapsed().as_nanos());
        std::io::stdout().flush()?;
    }
    Ok(())
}
