//! Reloads a plugin again and again while threads serve streams.

mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dynvm::abi::types::LogLevel;
use dynvm::deploy::{Deployment, DeploymentConfig, DeploymentStatus};
use dynvm::host::StderrLog;
use dynvm::{Loader, LoaderOptions, PluginConfig, VmConfig};
use traffic::Traffic;

use crate::plugin::{self, Backend};
use crate::usage::{self, Usage};

/// Reload a plugin again and again while threads serve streams.
///
/// Each stream is asked twice which version answers it. Every tenth reload is of a damaged file, which has to be refused.
#[derive(Args)]
pub struct ReloadArgs {
    /// Reloads to make.
    #[arg(long, default_value_t = 1000)]
    reloads: u64,
    /// Threads that serve.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Reloads between two samples, rounded up to a multiple of 4, so that the version is of the same kind at each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Only versions of this kind; without it native and wasm take turns.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
}

/// Reloads before the first sample.
const WARM_UP: u64 = 48;

/// Versions before the first one's name comes again.
const KINDS: u64 = 4;

/// How long threads may take to follow.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(args: &ReloadArgs) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let backends = args.backend.map_or(vec![Backend::Native, Backend::Wasm], |backend| vec![backend]);
    let artifacts: Vec<PathBuf> = (0..KINDS)
        .map(|index| plugin::compile(backends[index as usize % backends.len()], traffic::name(index + 1), dir.path()))
        .collect::<Result<_>>()?;
    let path = dir.path().join("plugin");
    std::fs::copy(&artifacts[0], &path)?;

    let log = Arc::new(StderrLog::with_level(LogLevel::Critical));
    let config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("soak")).log(log);
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let deployment = Deployment::new(loader, path.as_path(), config)?;
    let traffic = Traffic::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads).map(|_| scope.spawn(|| traffic.serve(&deployment))).collect();
        let reloaded = Soak { args, deployment: &deployment, artifacts, path, traffic: &traffic }.run();
        traffic.stop();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        reloaded
    })?;
    traffic.verdict()
}

struct Soak<'a> {
    args: &'a ReloadArgs,
    deployment: &'a Deployment,
    artifacts: Vec<PathBuf>,
    path: PathBuf,
    traffic: &'a Traffic,
}

impl Soak<'_> {
    fn run(&self) -> Result<()> {
        let mut samples = Vec::new();
        println!("{WARM_UP} reloads to warm up, then {} with {} threads", self.args.reloads, self.args.threads);
        for reload in 1..=WARM_UP + self.args.reloads {
            self.reload(reload)?;
            let counted = reload.saturating_sub(WARM_UP);
            if reload >= WARM_UP && counted.is_multiple_of(self.args.every.next_multiple_of(KINDS)) {
                let status = self.wait(|status| status.retained.len() == 1)?;
                let usage = Usage::now()?;
                println!("{counted:>6} reloads {} {usage} {} refused", self.traffic, status.reloads_failed);
                samples.push(usage);
            }
        }
        usage::check(&samples)
    }

    /// Puts the next version in place and reloads it.
    fn reload(&self, reload: u64) -> Result<()> {
        let artifact = &self.artifacts[reload as usize % self.artifacts.len()];
        if reload.is_multiple_of(10) {
            self.damaged(artifact)?;
        }
        if reload.is_multiple_of(2) {
            std::fs::copy(artifact, &self.path)?;
        } else {
            rename_over(&self.path, artifact)?;
        }
        let version = self.deployment.reload()?;
        ensure!(version == reload + 1, "reload {reload} gave version {version}");
        // Sometimes the next one comes before all threads have followed.
        if !reload.is_multiple_of(4) {
            self.wait(|status| status.current.vms as u64 == self.args.threads)?;
        }
        Ok(())
    }

    fn damaged(&self, artifact: &Path) -> Result<()> {
        let bytes = std::fs::read(artifact)?;
        std::fs::write(&self.path, &bytes[..bytes.len() / 2])?;
        let version = self.deployment.version();
        ensure!(self.deployment.reload().is_err(), "half a file became a version");
        ensure!(self.deployment.version() == version, "a refused file changed the version");
        Ok(())
    }

    fn wait(&self, until: impl Fn(&DeploymentStatus) -> bool) -> Result<DeploymentStatus> {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.deployment.status();
            if until(&status) {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "the threads have not followed within {PATIENCE:?}: {status:?}");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

fn rename_over(path: &Path, with: &Path) -> Result<()> {
    let next = path.with_extension("next");
    std::fs::copy(with, &next)?;
    std::fs::rename(&next, path).with_context(|| format!("{} cannot be renamed", next.display()))
}
