//! From one build of a plugin to another: shadow first, then a growing share of the streams, back to zero if the new
//! build differs.
//!
//! ```text
//! cargo run --release -p host-shadow -- header_rewrite.wasm target/release/libheader_rewrite.so '{"request": [{"set": "x", "value": "y"}]}'
//! ```
//!
//! An operator takes these steps over days and reads the numbers in between; this program takes a moment.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, Services, Stream};
use dynvm::observe::Observer;
use dynvm::{Loader, LoaderOptions, PluginConfig, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig};
use dynvm_rollout::rollout::{Rollout, RolloutConfig, RolloutWorker, Share};

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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", dynvm::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Whether the candidate finally serves all streams.
fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: host-shadow STABLE CANDIDATE [CONFIGURATION]";
    let (stable, candidate) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let plugin = PluginConfig::named("example").configuration(arguments.next().unwrap_or_default());
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let deploy =
        |path: &str| Deployment::new(loader.clone(), path, DeploymentConfig::new(VmConfig::default(), plugin.clone()));
    let observer = Observer::new();
    let mut config = RolloutConfig::default();
    config.observer = Some(observer.clone());
    let rollout = Rollout::new(deploy(&stable)?, deploy(&candidate)?, config);
    let mut worker = rollout.worker(|_arm, _version| Services::default())?;

    rollout.set_shadow(Share::percent(1.0));
    for percent in [0.0, 1.0, 10.0, 100.0] {
        rollout.set_split(Share::percent(percent));
        for client in 0..10_000_u32 {
            serve(&mut worker, client)?;
        }
        if !rollout.flush(Duration::from_secs(60)) {
            println!("the shadow has not come to an end");
        }
        let seen = rollout.snapshot();
        let [by_stable, by_candidate] = seen.streams;
        println!(
            "split {percent} %: {by_stable} streams by {stable}, {by_candidate} by {candidate}; shadow: {} same, {} diverged",
            seen.shadow.same, seen.shadow.diverged
        );
        if seen.shadow.diverged > 0 {
            rollout.set_split(Share::NONE);
            for divergence in &seen.first {
                println!(
                    "stream {}, {}, {} ({}): {:?} did: {}; {:?} would have done: {}",
                    divergence.stream,
                    divergence.callback.describe().name,
                    divergence.aspect.name(),
                    divergence.what,
                    divergence.answering.0,
                    divergence.answered,
                    divergence.shadow.0,
                    divergence.shadowed
                );
            }
            println!("back to {stable} for all streams");
            break;
        }
    }
    print!("\n{}", observer.prometheus());
    Ok(rollout.split() == Share::ALL)
}

/// One request of a client, who always gets the same build while the share is unchanged.
fn serve(worker: &mut RolloutWorker, client: u32) -> Result<(), dynvm::CallError> {
    let headers = Headers::from([(":method", "GET"), (":path", "/"), (":authority", "example.com")]);
    let stream = worker.create_stream(Some(&client.to_le_bytes()), Box::new(Request(headers)))?;
    worker.call(stream, |vm, context| vm.on_request_headers(context, 3, true));
    worker.end(stream);
    Ok(())
}
