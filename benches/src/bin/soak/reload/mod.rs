//! Reloads a plugin repeatedly while threads serve streams.

mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dynvm::abi::types::LogLevel;
use dynvm::host::StderrLog;
use dynvm::{Loader, LoaderOptions, PluginConfig, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig, DeploymentStatus};
use traffic::Traffic;

use crate::plugin::{self, Backend};
use crate::usage::{self, Usage};

/// Reload a plugin repeatedly while threads serve streams.
///
/// Each stream asks twice which version answers it. Every tenth reload has a damaged file, which must be refused.
#[derive(Args)]
pub struct ReloadArgs {
    /// Reloads to make.
    #[arg(long, default_value_t = 1000)]
    reloads: u64,
    /// Serving threads.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Reloads between two samples, rounded up so that the same artifact is current at each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Only versions of this kind [default: native and wasm in turn].
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Reload these artifacts in turn instead of the built-in ones. Their answers are not checked.
    #[arg(long, value_name = "FILE", conflicts_with = "backend")]
    plugin: Vec<PathBuf>,
}

/// Reloads before the first sample.
const WARM_UP: u64 = 48;

/// Time limit for threads to follow.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(args: &ReloadArgs) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = if args.plugin.is_empty() { made(args.backend, dir.path())? } else { args.plugin.clone() };
    let path = dir.path().join("plugin");
    copy(&artifacts[0], &path)?;

    let log = Arc::new(StderrLog::with_level(LogLevel::Critical));
    let mut config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("soak")).log(log);
    config.vm_backoff = dynvm::ReloadBackoff::none();
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let deployment = Deployment::new(loader, path.as_path(), config)?;
    let traffic = Traffic::new(args.plugin.is_empty());
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
        let every = self.args.every.next_multiple_of(self.artifacts.len() as u64);
        println!("{WARM_UP} reloads to warm up, then {} with {} threads", self.args.reloads, self.args.threads);
        for reload in 1..=WARM_UP + self.args.reloads {
            self.reload(reload)?;
            let counted = reload.saturating_sub(WARM_UP);
            if reload >= WARM_UP && counted.is_multiple_of(every) {
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
            copy(artifact, &self.path)?;
        } else {
            rename_over(&self.path, artifact)?;
        }
        let version = self.deployment.reload()?;
        ensure!(version == reload + 1, "reload {reload} gave version {version}");
        // Sometimes the next version arrives before all threads have followed.
        if !reload.is_multiple_of(4) {
            self.wait(|status| status.current.vms as u64 == self.args.threads)?;
        }
        Ok(())
    }

    fn damaged(&self, artifact: &Path) -> Result<()> {
        let bytes = std::fs::read(artifact)?;
        // Half of the file could load: data for debuggers is at the end.
        std::fs::write(&self.path, &bytes[..bytes.len().min(200)])?;
        let version = self.deployment.version();
        ensure!(self.deployment.reload().is_err(), "the beginning of a file became a version");
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

/// The artifacts of versions 1, 2, and so on, named as in [`traffic::NAMES`].
fn made(backend: Option<Backend>, dir: &Path) -> Result<Vec<PathBuf>> {
    let turn = backend.map_or([Backend::Native, Backend::Wasm], |backend| [backend; 2]).into_iter().cycle();
    turn.zip(traffic::NAMES).map(|(backend, name)| plugin::compile(backend, name, dir)).collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    Ok(())
}

fn rename_over(path: &Path, with: &Path) -> Result<()> {
    let next = path.with_extension("next");
    copy(with, &next)?;
    std::fs::rename(&next, path).with_context(|| format!("{} cannot be renamed", next.display()))
}
