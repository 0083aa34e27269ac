//! An Envoy that runs for a trial, and what the system says about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::interrupt::Interrupt;
use super::traffic::Client;

/// Time until it must serve. V8 compiles a large plugin for seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether it serves, which is the precision of the time until it does.
const POLL: Duration = Duration::from_millis(2);

/// A running Envoy. It is ended when dropped.
pub struct Envoy {
    child: Child,
    log: PathBuf,
    admin: u16,
    /// Port that the traffic goes to.
    pub port: u16,
    /// Time from its start until it served.
    pub ready: Duration,
    /// The thread that serves the traffic.
    worker: Option<u32>,
}

impl Envoy {
    /// Starts an Envoy with one worker thread, and waits until it serves. Its files are in `dir`.
    pub fn start(
        program: &Path,
        config: &str,
        dir: &Path,
        arguments: &[&str],
        interrupt: &Interrupt,
    ) -> anyhow::Result<Envoy> {
        fs::create_dir_all(dir)?;
        let path = |name: &str| dir.join(name);
        let (config_path, log, address) = (path("envoy.json"), path("envoy.log"), path("admin"));
        fs::write(&config_path, config)?;
        let mut command = Command::new(program);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-format", LOG_FORMAT]);
        command.arg("--log-format-escaped").args(arguments);
        command.arg("-c").arg(&config_path).arg("--admin-address-path").arg(&address);
        // A terminal's Ctrl-C is for this process, which ends Envoy when it has stopped using it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let start = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        let mut envoy = Envoy { child, log, admin: 0, port: 0, ready: Duration::ZERO, worker: None };
        while !envoy.is_ready(&address) {
            interrupt.check()?;
            if let Some(status) = envoy.child.try_wait()? {
                bail!("Envoy ended, {status}:\n{}", envoy.last_lines());
            }
            if start.elapsed() > PATIENCE {
                bail!("Envoy did not serve within {} s:\n{}", PATIENCE.as_secs(), envoy.last_lines());
            }
            std::thread::sleep(POLL);
        }
        envoy.ready = start.elapsed();
        envoy.worker = envoy.thread("wrk:worker_0");
        Ok(envoy)
    }

    /// Whether it serves; notes its ports.
    fn is_ready(&mut self, address: &Path) -> bool {
        let Ok(text) = fs::read_to_string(address) else { return false };
        let Some(port) = port(&text) else { return false };
        self.admin = port;
        if !self.admin("/ready").is_ok_and(|state| state.trim() == "LIVE") {
            return false;
        }
        let listeners = self.admin("/listeners").unwrap_or_default();
        let Some(port) = listeners.lines().find_map(port_of_listener) else { return false };
        self.port = port;
        true
    }

    /// Asks the administration interface.
    pub fn admin(&self, path: &str) -> anyhow::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        let response = Client::new(self.admin).send(request.as_bytes())?;
        if response.start != "200" {
            bail!("Envoy's administration interface answers {path} with {}", response.start);
        }
        Ok(String::from_utf8_lossy(&response.body).into_owned())
    }

    /// Fails if it has ended, with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("Envoy ended, {status}:\n{}", self.last_lines()),
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// CPU time of the thread that serves, in nanoseconds.
    pub fn cpu_ns(&self) -> Option<u64> {
        let path = format!("/proc/{}/task/{}/schedstat", self.child.id(), self.worker?);
        fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
    }

    /// Resident memory in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    fn thread(&self, name: &str) -> Option<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        tasks.flatten().find_map(|task| {
            let comm = fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim() == name).then(|| task.file_name().to_str()?.parse().ok())?
        })
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Nothing of it is needed any more, and its end on a signal that it handles takes time.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Level, logger and message, as [`super::log`] reads them.
const LOG_FORMAT: &str = "dynvm-trial %l %n %v";

fn port(address: &str) -> Option<u16> {
    address.trim().rsplit(':').next()?.parse().ok()
}

/// The port in a line of the list of listeners, `trial::127.0.0.1:1234`.
fn port_of_listener(line: &str) -> Option<u16> {
    port(line.strip_prefix("trial::")?)
}

/// The first line of what Envoy says about its version.
pub fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
    let version = text.split_once("version: ").and_then(|(_, version)| version.split('/').nth(1));
    let Some(version) = version else {
        bail!("{} is not an Envoy: --version prints {:?}", program.display(), text.trim())
    };
    Ok(version.to_owned())
}
