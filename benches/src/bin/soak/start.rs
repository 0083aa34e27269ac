//! Starts and stops VMs repeatedly, on several threads at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use dynvm::host::{NoLog, Services};
use dynvm::{Loader, LoaderOptions, Module, Vm, VmConfig};
use dynvm_benches::artifacts::Artifacts;

use crate::usage::{self, Usage};

/// Start and stop VMs repeatedly, on several threads at once.
#[derive(Args)]
pub struct StartArgs {
    /// Total starts of all threads.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    starts: u64,
    /// Threads.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
}

pub fn run(args: &StartArgs) -> Result<()> {
    let artifacts = Artifacts::header_rewrite()?;
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let module = loader.load_file(artifacts.native)?;
    let (started, samples) = (AtomicU64::new(0), 20);
    println!("{} starts with {} threads", args.starts, args.threads);
    thread::scope(|scope| {
        let (module, started) = (&module, &started);
        let starting: Vec<_> =
            (0..args.threads).map(|_| scope.spawn(move || start(module, args.starts, started))).collect();
        let (mut usages, begun) = (Vec::new(), Instant::now());
        for sample in 1..=samples {
            while started.load(Ordering::Relaxed) < args.starts * sample / samples {
                if starting.iter().all(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            let (starts, usage) = (started.load(Ordering::Relaxed), Usage::now()?);
            println!("{starts:>7} starts {usage}, {:.1} s", begun.elapsed().as_secs_f64());
            // The first quarter warms up.
            if sample > samples / 4 {
                usages.push(usage);
            }
        }
        for thread in starting {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        usage::check(&usages)
    })
}

fn start(module: &Module, starts: u64, started: &AtomicU64) -> Result<()> {
    while started.fetch_add(1, Ordering::Relaxed) < starts {
        let mut services = Services::default();
        services.log = Arc::new(NoLog);
        let vm = Vm::builder(module).config(VmConfig::default()).services(services).build()?;
        ensure!(vm.failure().is_none(), "a VM failed while it started: {:?}", vm.failure());
    }
    Ok(())
}
