//! A deployment of a file in a temporary directory, and a worker of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynvm::abi::types::MapType;
use dynvm::host::{HeaderMap as _, Headers, MemoryLog, Services};
use dynvm::{PluginConfig, ReloadBackoff, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig, DeploymentStatus, StreamRef, Worker};

use harness::{Backend, TestStream, compile, loader, parts};

/// A version of `version.c`.
pub fn version(backend: Backend, name: &str, defines: &[&str]) -> PathBuf {
    let define = format!("VERSION=\"{name}\"");
    let defines: Vec<&str> = [define.as_str()].into_iter().chain(defines.iter().copied()).collect();
    compile::plugin(backend, "version.c", &defines)
}

/// Overwrites a file in place: the inode stays.
pub fn overwrite(path: &Path, with: &Path) {
    std::fs::write(path, std::fs::read(with).unwrap()).unwrap();
}

/// Replaces a file with a new one.
pub fn rename_over(path: &Path, with: &Path) {
    let next = path.with_extension("next");
    std::fs::copy(with, &next).unwrap();
    std::fs::rename(next, path).unwrap();
}

pub fn config(log: &Arc<MemoryLog>) -> DeploymentConfig {
    let mut config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("version"))
        .canary_services(|| parts().services)
        .log(log.clone());
    config.vm_backoff = ReloadBackoff::none();
    config
}

pub struct Stage {
    // Removed when the test is over.
    pub dir: tempfile::TempDir,
    pub path: PathBuf,
    pub deployment: Deployment,
    pub worker: Worker,
    /// The log of the worker's plugins.
    pub log: Arc<MemoryLog>,
    /// The log of the deployment.
    pub deployment_log: Arc<MemoryLog>,
}

impl Stage {
    /// A deployed file with this content, with one worker.
    pub fn new(first: &Path) -> Stage {
        Stage::with(first, |config| config)
    }

    pub fn with(first: &Path, change: impl FnOnce(DeploymentConfig) -> DeploymentConfig) -> Stage {
        let deployment_log = Arc::new(MemoryLog::default());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin");
        overwrite(&path, first);
        let deployment = Deployment::new(loader(), path.as_path(), change(config(&deployment_log))).unwrap();
        let services = parts();
        let log = services.log.clone();
        let services: Services = services.services;
        let worker = deployment.worker(move |_| services.clone()).unwrap();
        log.take();
        Stage { dir, path, deployment, worker, log, deployment_log }
    }

    pub fn stream(&mut self) -> StreamRef {
        begin(&mut self.worker)
    }

    /// The version that answers a stream's request.
    pub fn request(&mut self, stream: StreamRef) -> String {
        answer(&mut self.worker, stream, MapType::HttpRequestHeaders)
    }

    /// The version that answers a stream's response.
    pub fn response(&mut self, stream: StreamRef) -> String {
        answer(&mut self.worker, stream, MapType::HttpResponseHeaders)
    }

    /// Sends a whole stream, and returns the version that answered it.
    pub fn serve(&mut self) -> String {
        let stream = self.stream();
        let (request, response) = (self.request(stream), self.response(stream));
        assert_eq!(request, response, "one version answers a stream");
        assert!(self.worker.end(stream).is_some());
        request
    }

    pub fn log(&self) -> Vec<String> {
        self.log.take().into_iter().map(|(_, text)| text).collect()
    }

    /// Number, VMs and streams of each version in memory.
    pub fn retained(&self) -> Vec<(u64, usize, usize)> {
        retained(&self.deployment.status())
    }
}

pub fn retained(status: &DeploymentStatus) -> Vec<(u64, usize, usize)> {
    status.retained.iter().map(|version| (version.number, version.vms, version.streams)).collect()
}

pub fn begin(worker: &mut Worker) -> StreamRef {
    let stream = TestStream::with_headers([(":path", "/")])
        .map(MapType::HttpResponseHeaders, Headers::from([(":status", "200")]));
    worker.create_stream(Box::new(stream)).unwrap()
}

pub fn answer(worker: &mut Worker, stream: StreamRef, map: MapType) -> String {
    let vm = worker.vm_of(stream).expect("a stream has a VM until it ends");
    match map {
        MapType::HttpRequestHeaders => vm.on_request_headers(stream.context(), 1, true),
        _ => vm.on_response_headers(stream.context(), 1, true),
    };
    let stream = vm.stream::<TestStream>(stream.context()).unwrap();
    let versions: Vec<_> = stream.maps[&map].iter().filter(|(name, _)| name == b"x-version").collect();
    assert_eq!(versions.len(), 1, "one version answers once");
    String::from_utf8(stream.maps[&map].get(b"x-version").unwrap().to_vec()).unwrap()
}
