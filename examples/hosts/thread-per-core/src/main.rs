//! One VM for each worker thread, called directly, as in proxies like Envoy.
//!
//! The module is loaded once and shared. Each worker starts a private VM from it, which never leaves its thread. If a
//! VM fails, the failure policy decides; here the VM is replaced for the next stream.
//!
//! ```text
//! cargo run --release -p host-thread-per-core -- target/release/libheader_rewrite.so
//! ```

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use dynvm::abi::types::{FilterHeadersStatus, MapType};
use dynvm::host::{AbsentMap, HeaderMap, Headers, Stream};
use dynvm::{FailurePolicy, Loader, LoaderOptions, Module, Plugin, PluginConfig, PluginStats};

struct Exchange {
    request: Headers,
    response: Headers,
}

impl Stream for Exchange {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&self.request),
            MapType::HttpResponseHeaders => Ok(&self.response),
            _ => Err(AbsentMap::Empty),
        }
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&mut self.request),
            MapType::HttpResponseHeaders => Ok(&mut self.response),
            _ => Err(AbsentMap::Empty),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", dynvm::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: host-thread-per-core PLUGIN.so|PLUGIN.wasm")?;
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let module = loader.load_file(&path)?;

    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = (0..cores)
        .map(|_| {
            thread::spawn({
                let module = module.clone();
                move || worker(&module)
            })
        })
        .collect();
    for (index, worker) in workers.into_iter().enumerate() {
        let (streams, stats) = worker.join().map_err(|_| "a worker panicked")??;
        println!("worker {index}: {streams} streams in a second, {} VM failures", stats.failures);
    }
    Ok(())
}

/// Serves streams for a second.
fn worker(module: &Module) -> Result<(u64, PluginStats), dynvm::StartError> {
    let config = PluginConfig::named("example").failure_policy(FailurePolicy::Reload);
    let mut plugin = Plugin::builder(module, config).start()?;
    let start = Instant::now();
    let mut streams = 0;
    while start.elapsed() < Duration::from_secs(1) {
        let request = Headers::from([(":method", "GET"), (":path", "/"), (":authority", "example.com")]);
        let response = Headers::from([(":status", "200"), ("content-type", "text/plain")]);
        let (requests, responses) = (request.len(), response.len());

        let (vm, root) = plugin.vm_for_new_stream();
        let Ok(stream) = vm.create_stream(root, Box::new(Exchange { request, response })) else { continue };
        // Here a real proxy sends the request upstream if the plugin allows it, or else the plugin's local response.
        if vm.on_request_headers(stream, requests, true) == FilterHeadersStatus::Continue {
            vm.on_response_headers(stream, responses, true);
        }
        vm.delete_stream(stream);
        streams += 1;
    }
    Ok((streams, plugin.stats()))
}
