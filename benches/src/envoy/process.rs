//! A running Envoy, and what it takes of the machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Client;

/// Ended when dropped.
pub struct Envoy {
    child: Child,
    admin: u16,
    listeners: Value,
    /// From the start of the process until it served.
    pub ready_after: Duration,
    _dir: tempfile::TempDir,
}

impl Envoy {
    /// Starts an Envoy, and waits until it serves.
    ///
    /// # Errors
    ///
    /// The program cannot be run, or it ends, or it does not get ready in two minutes.
    pub fn start(program: &Path, config: &Value, workers: u32) -> Result<Envoy> {
        let dir = tempfile::tempdir()?;
        let (path, admin) = (dir.path().join("envoy.json"), dir.path().join("admin"));
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new(program);
        command.args(["--concurrency", &workers.to_string(), "--disable-hot-restart", "-l", "critical"]);
        command.arg("--admin-address-path").arg(&admin).arg("-c").arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().with_context(|| program.display().to_string())?;
        let mut envoy = Envoy { child, admin: 0, listeners: Value::Null, ready_after: Duration::default(), _dir: dir };
        loop {
            if let Some(status) = envoy.child.try_wait()? {
                bail!("Envoy ended: {status}");
            }
            let port = std::fs::read_to_string(&admin).ok().and_then(|a| a.rsplit_once(':')?.1.trim().parse().ok());
            if let Some(port) = port {
                envoy.admin = port;
                if envoy.admin("/ready").is_ok_and(|ready| ready.contains("LIVE")) {
                    envoy.ready_after = started.elapsed();
                    envoy.listeners = serde_json::from_str(&envoy.admin("/listeners?format=json")?)?;
                    return Ok(envoy);
                }
            }
            if started.elapsed() > Duration::from_secs(120) {
                bail!("Envoy does not get ready");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A page of Envoy's administration.
    ///
    /// # Errors
    ///
    /// Envoy does not answer with 200.
    pub fn admin(&self, path: &str) -> Result<String> {
        Client::connect(self.admin, 1)?.get(path)
    }

    /// The port of a listener.
    ///
    /// # Errors
    ///
    /// Envoy has no such listener.
    pub fn port(&self, name: &str) -> Result<u16> {
        let statuses = self.listeners["listener_statuses"].as_array().context("listeners")?;
        let listener = statuses.iter().find(|listener| listener["name"] == name).context(name.to_owned())?;
        let port = listener["local_address"]["socket_address"]["port_value"].as_u64().context("a port")?;
        Ok(u16::try_from(port)?)
    }

    /// Time that the first worker thread was on a CPU.
    ///
    /// # Errors
    ///
    /// Envoy has ended.
    pub fn worker_ns(&self) -> Result<u64> {
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            if std::fs::read_to_string(task.join("comm"))?.starts_with("wrk:worker_0") {
                let times = std::fs::read_to_string(task.join("schedstat"))?;
                return Ok(times.split(' ').next().context("schedstat")?.parse()?);
            }
        }
        bail!("Envoy has no worker")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True unless the process has ended.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
