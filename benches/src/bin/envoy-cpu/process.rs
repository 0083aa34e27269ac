//! A running Envoy, and the CPU time of its worker.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::client::Client;
use crate::config::{By, Case, listener_name};

/// Ended when dropped.
pub struct Envoy {
    child: Child,
    listeners: Value,
    _dir: tempfile::TempDir,
}

impl Envoy {
    pub fn start(program: &Path, config: &Value) -> Result<Envoy> {
        let dir = tempfile::tempdir()?;
        let (path, admin) = (dir.path().join("envoy.json"), dir.path().join("admin"));
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new(program);
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "--admin-address-path"]);
        command.arg(&admin).arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| program.display().to_string())?;
        let mut envoy = Envoy { child, listeners: Value::Null, _dir: dir };
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = envoy.child.try_wait()? {
                bail!("Envoy ended: {status}");
            }
            let port = std::fs::read_to_string(&admin).ok().and_then(|a| a.rsplit_once(':')?.1.trim().parse().ok());
            if let Some(port) = port
                && let Ok(mut client) = Client::connect(port)
                && client.get("/ready").is_ok_and(|ready| ready.contains("LIVE"))
            {
                envoy.listeners = serde_json::from_str(&client.get("/listeners?format=json")?)?;
                return Ok(envoy);
            }
            if Instant::now() > give_up {
                bail!("Envoy does not get ready");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn port(&self, case: Case, by: By) -> Result<u16> {
        let name = listener_name(case, by);
        let statuses = self.listeners["listener_statuses"].as_array().context("listeners")?;
        let listener = statuses.iter().find(|listener| listener["name"] == name.as_str()).context(name)?;
        let port = listener["local_address"]["socket_address"]["port_value"].as_u64().context("a port")?;
        Ok(u16::try_from(port)?)
    }

    /// Time that the worker thread was on a CPU.
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
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
