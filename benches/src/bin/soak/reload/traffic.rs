//! Threads that serve streams, and the outcomes of these.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Result, ensure};
use dynvm::abi::types::{LogLevel, MapType};
use dynvm::host::{AbsentMap, HeaderMap, Headers, Services, StderrLog, Stream};
use dynvm_rollout::deploy::{Deployment, StreamRef, Worker};

/// Concurrent streams of a thread.
const CONCURRENT: usize = 32;

/// The names that the versions report, in turn.
pub const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// The traffic of all threads.
#[derive(Default)]
pub struct Traffic {
    /// Whether the plugins report their version.
    named: bool,
    stop: AtomicBool,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Streams that lost their VM before they ended.
    lost: AtomicU64,
    /// Answers of another version than the stream's, or missing because the plugin failed.
    wrong: AtomicU64,
}

struct Exchange {
    request: Headers,
    response: Headers,
}

impl Exchange {
    fn map(&self, map: MapType) -> &Headers {
        if map == MapType::HttpResponseHeaders { &self.response } else { &self.request }
    }
}

impl Stream for Exchange {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        Ok(self.map(map))
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        Ok(if map == MapType::HttpResponseHeaders { &mut self.response } else { &mut self.request })
    }
}

impl Traffic {
    /// Traffic for plugins that report their version, or for others.
    pub fn new(named: bool) -> Traffic {
        Traffic { named, ..Traffic::default() }
    }

    /// Serves until it is stopped.
    pub fn serve(&self, deployment: &Deployment) -> Result<()> {
        let mut worker = deployment.worker(|_| {
            let mut services = Services::default();
            services.log = std::sync::Arc::new(StderrLog::with_level(LogLevel::Warn));
            services
        })?;
        let mut running = VecDeque::new();
        while !self.stop.load(Relaxed) {
            let exchange = Exchange {
                request: Headers::from([(":method", "GET"), (":path", "/")]),
                response: Headers::from([(":status", "200")]),
            };
            let stream = worker.create_stream(Box::new(exchange))?;
            self.begun.fetch_add(1, Relaxed);
            self.ask(&mut worker, stream, MapType::HttpRequestHeaders);
            running.push_back(stream);
            if running.len() == CONCURRENT
                && let Some(oldest) = running.pop_front()
            {
                self.finish(&mut worker, oldest);
            }
        }
        running.into_iter().for_each(|stream| self.finish(&mut worker, stream));
        while let Some(again) = worker.poll() {
            std::thread::sleep(again.saturating_duration_since(Instant::now()));
        }
        ensure!(worker.versions().count() == 1, "a version without streams is still there");
        Ok(())
    }

    fn finish(&self, worker: &mut Worker, stream: StreamRef) {
        self.ask(worker, stream, MapType::HttpResponseHeaders);
        let count = if worker.end(stream).is_some() { &self.ended } else { &self.lost };
        count.fetch_add(1, Relaxed);
    }

    /// Asks the plugin for its version, and compares it.
    fn ask(&self, worker: &mut Worker, stream: StreamRef, map: MapType) {
        let Some(vm) = worker.vm_of(stream) else { return };
        match map {
            MapType::HttpResponseHeaders => vm.on_response_headers(stream.context(), 1, true),
            _ => vm.on_request_headers(stream.context(), 2, true),
        };
        let name = NAMES[(stream.version() - 1) as usize % NAMES.len()];
        let answered = match vm.stream::<Exchange>(stream.context()) {
            Some(exchange) if self.named => exchange.map(map).get(b"x-version") == Some(name.as_bytes()),
            Some(_) => !vm.has_failed(),
            None => false,
        };
        if !answered {
            self.wrong.fetch_add(1, Relaxed);
        }
    }

    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether every stream that began has ended, answered by its own version.
    pub fn verdict(&self) -> Result<()> {
        let [begun, ended, lost, wrong] =
            [&self.begun, &self.ended, &self.lost, &self.wrong].map(|count| count.load(Relaxed));
        ensure!(begun == ended && lost == 0, "of {begun} streams {} were lost", begun - ended);
        ensure!(wrong == 0, "{wrong} answers came from a version other than the stream's, or not at all");
        let answers = if self.named { ", each answered by the version on which it began" } else { "" };
        println!("{ended} streams, none lost{answers}");
        Ok(())
    }
}

impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [ended, lost, wrong] = [&self.ended, &self.lost, &self.wrong].map(|count| count.load(Relaxed));
        write!(f, "{ended:>10} streams {lost} lost {wrong} wrong")
    }
}
