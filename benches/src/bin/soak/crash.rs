//! Crashes VMs repeatedly, on several threads at once, in every way that is contained.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dynvm::abi::types::{FilterHeadersStatus, MapType, StreamType};
use dynvm::host::{AbsentMap, HeaderMap, Headers, NoLog, Services, Stream};
use dynvm::{FailurePolicy, Loader, LoaderOptions, Module, Plugin, PluginConfig, ReloadBackoff};

use crate::usage::{self, Usage};

/// Crash VMs repeatedly, on several threads at once, and check that each crash fails its own stream and nothing else.
#[derive(Args)]
pub struct CrashArgs {
    /// Total crashes of all threads.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    crashes: u64,
    /// Threads.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Only these ways to crash [default: all, in turn]. Under valgrind leave out `overflow`, which it does not
    /// support.
    #[arg(long, value_name = "WAY", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(WAYS))]
    ways: Vec<String>,
    /// Streams that are served before each crash.
    #[arg(long, default_value_t = 20)]
    streams: u64,
}

/// The ways to crash of `tests/plugins/crash.cc` that are always contained. Not `smash`: it overwrites the path to its callers, and what
/// earlier calls left behind on the stack may then look like a library's call.
pub const WAYS: [&str; 15] = [
    "throw",
    "throw_int",
    "noexcept",
    "terminate",
    "abort",
    "assert",
    "exit",
    "_exit",
    "segv",
    "memcpy",
    "null call",
    "wild call",
    "fpe",
    "ill",
    "overflow",
];

#[derive(Default)]
struct Counts {
    crashes: AtomicU64,
    streams: AtomicU64,
    /// Total nanoseconds from a crash to the next stream served.
    recovery: AtomicU64,
}

pub fn run(args: &CrashArgs) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let module = loader.load_file(compile(dir.path())?)?;
    let (counts, samples) = (Counts::default(), 20);
    println!("{} crashes with {} threads", args.crashes, args.threads);
    thread::scope(|scope| {
        let serving: Vec<_> = (0..args.threads)
            .map(|first| (first, &module, &counts))
            .map(|(first, module, counts)| scope.spawn(move || serve(module, args, counts, first)))
            .collect();
        let mut usages = Vec::new();
        for sample in 1..=samples {
            while counts.crashes.load(Ordering::Relaxed) < args.crashes * sample / samples {
                if serving.iter().all(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            let (crashes, usage) = (counts.crashes.load(Ordering::Relaxed), Usage::now()?);
            let recovery = counts.recovery.load(Ordering::Relaxed) / crashes.max(1) / 1000;
            let streams = counts.streams.load(Ordering::Relaxed);
            println!("{crashes:>7} crashes {streams:>9} streams {usage}, a crash and a new VM take {recovery} us");
            // The first quarter warms up.
            if sample > samples / 4 {
                usages.push(usage);
            }
        }
        for thread in serving {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        println!("0 streams lost, 0 answered wrongly");
        usage::check(&usages)
    })
}

fn serve(module: &Module, args: &CrashArgs, counts: &Counts, first: u64) -> Result<()> {
    let config = PluginConfig::named("soak").failure_policy(FailurePolicy::Reload);
    let mut services = Services::default();
    services.log = std::sync::Arc::new(NoLog);
    let mut plugin = Plugin::builder(module, config).services(services).backoff(ReloadBackoff::none()).start()?;
    let ways: Vec<&str> =
        if args.ways.is_empty() { WAYS.to_vec() } else { args.ways.iter().map(String::as_str).collect() };
    let mut turn = first as usize;
    while counts.crashes.load(Ordering::Relaxed) < args.crashes {
        for _ in 0..args.streams {
            let failed = stream(&mut plugin, "")?;
            ensure!(!failed, "a stream of a VM that runs failed");
        }
        turn += 1;
        let way = ways[turn % ways.len()];
        let started = Instant::now();
        ensure!(stream(&mut plugin, way)?, "{way} did not fail its stream");
        ensure!(!stream(&mut plugin, "")?, "the stream after {way} failed");
        counts.recovery.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        counts.streams.fetch_add(args.streams + 2, Ordering::Relaxed);
        counts.crashes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Runs one stream, and returns whether it failed; an error if the answer is wrong.
fn stream(plugin: &mut Plugin, how: &str) -> Result<bool> {
    let (vm, root) = plugin.vm_for_new_stream();
    let mut headers = Headers::from([(":path", "/")]);
    if !how.is_empty() {
        headers.add(b"x-crash", how.as_bytes());
    }
    let count = headers.len();
    let id = vm.create_stream(root, Box::new(Request { headers, failed: false }))?;
    let status = vm.on_request_headers(id, count, true);
    vm.on_done(id);
    vm.on_log(id);
    let stream: Box<dyn Any> = vm.delete_stream(id).context("the stream is gone")?;
    let request = stream.downcast::<Request>().map_err(|_| anyhow::anyhow!("another stream came back"))?;
    let served = request.headers.get(b"x-served").is_some();
    ensure!(
        (status == FilterHeadersStatus::Continue) == served && served != request.failed,
        "status {status:?}, served {served}, failed {}",
        request.failed
    );
    Ok(request.failed)
}

struct Request {
    headers: Headers,
    failed: bool,
}

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&self.headers as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&mut self.headers as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn fail(&mut self, _: StreamType) {
        self.failed = true;
    }
}

/// Compiles the plugin that crashes.
pub fn compile(dir: &Path) -> Result<PathBuf> {
    let target = dir.join("crash.so");
    let mut command = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned()));
    // With a statically linked C++ library, whose memory belongs to the VM.
    command.arg("-static-libstdc++");
    command.args(["-shared", "-fPIC", "-O1", "-fstack-protector-strong", "-I", dynvm::abi::INCLUDE_DIR]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/plugins/crash.cc")).arg("-o").arg(&target);
    let output = command.output().with_context(|| format!("{command:?} cannot be run: install a C++ compiler"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(target)
}
