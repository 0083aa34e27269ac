//! Threads that serve streams while the plugin is replaced: on SIGHUP, or when its file changes.
//!
//! ```text
//! cargo run --release -p host-hot-reload -- target/release/libheader_rewrite.so
//! cp target/release/libaccess_log.so target/release/libheader_rewrite.so     # reloaded; or kill -HUP
//! ```
//!
//! Once a second it prints the versions in memory with their streams. SIGINT and SIGTERM end it.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, Services, Stream};
use dynvm::{Loader, LoaderOptions, PluginConfig, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig, StreamRef, Worker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

struct Request(Headers);

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&self.0 as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&mut self.0 as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
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
    let path = std::env::args().nth(1).ok_or("usage: host-hot-reload PLUGIN.so|PLUGIN.wasm [CONFIGURATION]")?;
    let configuration = std::env::args().nth(2).unwrap_or_default();
    let plugin = PluginConfig::named("example").configuration(configuration);
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let deployment = Deployment::new(loader, path.as_str(), DeploymentConfig::new(VmConfig::default(), plugin))?;
    // Reloads when the file changes, until this is dropped.
    let _watch = deployment.watch()?;

    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(|| serve(&deployment, &stop, &served))).collect();
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                report(&deployment, &served);
                thread::sleep(Duration::from_secs(1));
            }
        });
        for signal in signals.forever() {
            if signal != SIGHUP {
                break;
            }
            // A bad version is logged, and the previous one keeps serving.
            let _ = deployment.reload();
        }
        stop.store(true, Relaxed);
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}

/// One thread, with a new stream each millisecond that lasts a while.
fn serve(deployment: &Deployment, stop: &AtomicBool, served: &AtomicU64) -> Result<(), dynvm::StartError> {
    let mut worker = deployment.worker(|_version| Services::default())?;
    let mut running: VecDeque<StreamRef> = VecDeque::new();
    while !stop.load(Relaxed) {
        let headers = Headers::from([(":method", "GET"), (":path", "/"), (":authority", "example.com")]);
        if let Ok(stream) = worker.create_stream(Box::new(Request(headers))) {
            running.push_back(stream);
        }
        if running.len() > 100
            && let Some(oldest) = running.pop_front()
        {
            finish(&mut worker, oldest);
            served.fetch_add(1, Relaxed);
        }
        // An event loop polls when it is idle, and at the time that this returns.
        worker.poll();
        thread::sleep(Duration::from_millis(1));
    }
    running.into_iter().for_each(|stream| finish(&mut worker, stream));
    Ok(())
}

/// The stream's one callback, on the version on which it began.
fn finish(worker: &mut Worker, stream: StreamRef) {
    if let Some(vm) = worker.vm_of(stream) {
        vm.on_request_headers(stream.context(), 3, true);
    }
    worker.end(stream);
}

fn report(deployment: &Deployment, served: &AtomicU64) {
    let status = deployment.status();
    println!(
        "{} streams served, {} reloads, {} refused",
        served.load(Relaxed),
        status.reloads_succeeded,
        status.reloads_failed
    );
    for version in &status.retained {
        let (module, digest) = (&version.module, version.module.sha256().map_or("unknown", |digest| &digest[..12]));
        println!(
            "  version {} ({}, {digest}): {} VMs, {} streams",
            version.number, module.kind, version.vms, version.streams
        );
    }
}
