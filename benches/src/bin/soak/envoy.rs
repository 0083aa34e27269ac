//! A stock Envoy under load, whose native plugin is replaced and crashes again and again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use dynvm_benches::envoy::{Client, Envoy, address, http_listener, module_filter, plugin};
use serde_json::json;

use crate::crash::{WAYS, compile};
use crate::usage::{self, Usage};

/// Keep an Envoy busy while its native plugin is replaced every second and crashes every five, and account for each answer.
#[derive(Args)]
pub struct EnvoyArgs {
    /// A stock Envoy with dynamic modules.
    #[arg(long)]
    envoy: PathBuf,
    /// The module.
    #[arg(long)]
    module: PathBuf,
    /// Duration in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..))]
    seconds: u64,
    /// Worker threads of Envoy.
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// Connections without pause.
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// The plugin's failure policy.
    #[arg(long, default_value = "FAIL_RELOAD")]
    failure_policy: String,
}

#[derive(Default)]
struct Answers {
    served: AtomicU64,
    /// 503: the request that crashed the VM, and those before the next VM.
    failed: AtomicU64,
}

impl Answers {
    fn count(&self, status: u16) -> Result<()> {
        match status {
            200 => self.served.fetch_add(1, Ordering::Relaxed),
            503 => self.failed.fetch_add(1, Ordering::Relaxed),
            other => bail!("answered with {other}"),
        };
        Ok(())
    }
}

pub fn run(args: &EnvoyArgs) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = std::fs::read(compile(dir.path())?)?;
    let artifact = dir.path().join("plugin.so");
    replace(&artifact, &image, 0)?;
    let mut block = plugin("soak", &artifact, "");
    block["failure_policy"] = json!(args.failure_policy);
    block["reload_config"] = json!({"backoff": {"base_interval": "0.1s", "max_interval": "0.1s"}});
    block["dynvm"] = json!({"native": true, "watch": true});
    let module = std::path::absolute(&args.module).with_context(|| args.module.display().to_string())?;
    let listener = http_listener("soak", vec![module_filter("soak", &module, &block)]);
    let config = json!({"admin": {"address": address(0)}, "static_resources": {"listeners": [listener]}});
    let mut envoy = Envoy::start(&args.envoy, &config, args.workers)?;
    let port = envoy.port("soak")?;
    let (answers, end) = (Answers::default(), AtomicBool::new(false));
    println!("{} s with {} workers, {}", args.seconds, args.workers, args.failure_policy);
    let usages = thread::scope(|scope| {
        let load = || load(port, &answers, &end);
        let clients: Vec<_> = (0..args.connections).map(|_| scope.spawn(load)).collect();
        let disturbed = disturb(args, &mut envoy, port, &artifact, &image, &answers);
        end.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        disturbed
    })?;
    let (served, failed) = (answers.served.into_inner(), answers.failed.into_inner());
    println!("{} answers: {served} with 200, {failed} with 503, none other and none lost", served + failed);
    println!("at a third of the time: {}", usages[usages.len() / 3]);
    println!("at the end:             {}", usages[usages.len() - 1]);
    // The first quarter warms up.
    usage::check(&usages[usages.len() / 4..])
}

/// Replaces and crashes the plugin, second by second. Returns Envoy's resources after each.
fn disturb(
    args: &EnvoyArgs,
    envoy: &mut Envoy,
    port: u16,
    artifact: &Path,
    image: &[u8],
    answers: &Answers,
) -> Result<Vec<Usage>> {
    let (started, mut usages) = (Instant::now(), Vec::new());
    for second in 1..=args.seconds {
        thread::sleep((started + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        ensure!(envoy.is_running()?, "Envoy has ended");
        replace(artifact, image, second)?;
        if second % 5 == 0 {
            let way = WAYS[(second / 5) as usize % WAYS.len()];
            crash(port, way, answers).with_context(|| way.to_owned())?;
        }
        let usage = Usage::of(&envoy.pid().to_string())?;
        let (served, failed) = (answers.served.load(Ordering::Relaxed), answers.failed.load(Ordering::Relaxed));
        println!("{second:>4} s {served:>9} with 200 {failed:>7} with 503 {usage}");
        usages.push(usage);
    }
    Ok(usages)
}

/// Puts another version of the plugin in place: the number at the end is read by nobody, but makes another file.
fn replace(artifact: &Path, image: &[u8], number: u64) -> Result<()> {
    let new = artifact.with_extension("new");
    std::fs::write(&new, [image, &number.to_le_bytes()].concat())?;
    std::fs::rename(new, artifact)?;
    Ok(())
}

/// Requests without pause.
fn load(port: u16, answers: &Answers, end: &AtomicBool) -> Result<()> {
    let mut client = Client::connect(port, 1)?;
    while !end.load(Ordering::Relaxed) {
        let answer = client.request(b"GET / HTTP/1.1\r\nhost: soak\r\n\r\n").context("an answer was lost")?;
        answers.count(answer.status)?;
        if answer.closes {
            client = Client::connect(port, 1)?;
        }
    }
    Ok(())
}

/// Crashes the VM of one worker: a worker whose VM has not started again yet only answers with 503.
fn crash(port: u16, way: &str, answers: &Answers) -> Result<()> {
    let request = format!("GET / HTTP/1.1\r\nhost: soak\r\nx-crash: {way}\r\n\r\n");
    let answer = Client::connect(port, 1)?.request(request.as_bytes())?;
    ensure!(answer.status == 503, "did not fail its request, which is answered with {}", answer.status);
    answers.count(answer.status)
}
