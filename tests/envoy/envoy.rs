//! A running Envoy with this workspace's module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::traffic;

/// How a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// In Envoy's own wasm filter.
    V8,
    /// Natively, in the module.
    Native,
    /// As wasm, in the module.
    Wasm,
}

impl By {
    pub const ALL: [By; 3] = [By::V8, By::Native, By::Wasm];
    pub const MODULE: [By; 2] = [By::Native, By::Wasm];

    pub fn name(self) -> &'static str {
        match self {
            By::V8 => "v8",
            By::Native => "native",
            By::Wasm => "wasm",
        }
    }
}

/// The Envoys to test with: `DYNVM_ENVOY`, and `DYNVM_ENVOY_OTHER` if another version is given.
pub fn programs() -> Vec<PathBuf> {
    let named = std::env::var_os("DYNVM_ENVOY").expect("DYNVM_ENVOY names an Envoy");
    [Some(named), std::env::var_os("DYNVM_ENVOY_OTHER")].into_iter().flatten().map(PathBuf::from).collect()
}

/// What runs plugins with an Envoy: some builds come without V8.
pub fn backends(program: &Path) -> Vec<By> {
    static KNOWN: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let has_v8 = *known.entry(program.to_owned()).or_insert_with(|| {
        let code = json!({"local": {"inline_string": "no wasm"}});
        let block = json!({"name": "v8", "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code}});
        let setup = Setup::new().cluster("upstream", 1).listener("v8", vec![filter(By::V8, "v8", &block)]);
        let output = validate(program, &setup.config());
        !String::from_utf8_lossy(&output.stderr).contains("compiled without support")
    });
    By::ALL.into_iter().filter(|by| has_v8 || *by != By::V8).collect()
}

pub fn ty(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

pub fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// The plugin's block of a configuration, as Envoy's wasm filter has it; `more` is merged into it.
pub fn plugin(name: &str, artifact: &Path, configuration: &str, more: &Value) -> Value {
    let mut block = json!({
        "name": name,
        "configuration": {"@type": ty("google.protobuf.StringValue"), "value": configuration},
        "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": artifact}}},
    });
    merge(&mut block, more);
    block
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            more.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, more) => *into = more.clone(),
    }
}

/// A filter of the module, with the block of a plugin.
pub fn module_filter(name: &str, block: &Value) -> Value {
    let mut block = block.clone();
    merge(&mut block, &json!({"dynvm": {"native": true}}));
    json!({
        "name": name,
        "typed_config": {
            "@type": ty("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
            "dynamic_module_config": {"name": "dynvm_envoy", "do_not_close": true},
            "filter_name": name,
            "filter_config": {"@type": ty("google.protobuf.Struct"), "value": block},
        },
    })
}

/// A filter that runs a plugin.
pub fn filter(by: By, name: &str, block: &Value) -> Value {
    match by {
        By::V8 => {
            let config = json!({"@type": ty("envoy.extensions.filters.http.wasm.v3.Wasm"), "config": block});
            json!({"name": name, "typed_config": config})
        }
        _ => module_filter(name, block),
    }
}

/// What an Envoy serves.
#[derive(Clone, Default)]
pub struct Setup {
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    pub concurrency: u32,
}

impl Setup {
    pub fn new() -> Setup {
        Setup { concurrency: 1, ..Setup::default() }
    }

    /// A listener whose HTTP streams pass these filters: `/direct` is answered by Envoy, the rest by the cluster
    /// `upstream`.
    pub fn listener(mut self, name: &str, filters: Vec<Value>) -> Setup {
        self.listeners.push(http_listener(name, filters, json!({})));
        self
    }

    /// A listener of this configuration.
    pub fn raw_listener(mut self, listener: Value) -> Setup {
        self.listeners.push(listener);
        self
    }

    /// A cluster on a port of this machine, with HTTP/1.1.
    pub fn cluster(mut self, name: &str, port: u16) -> Setup {
        self.clusters.push(cluster(name, port));
        self
    }

    /// A cluster of this configuration.
    pub fn raw_cluster(mut self, cluster: Value) -> Setup {
        self.clusters.push(cluster);
        self
    }

    /// The module's own cluster, which reaches all workers.
    pub fn worker_cluster(self) -> Setup {
        let config = json!({
            "@type": ty("envoy.extensions.clusters.dynamic_modules.v3.ClusterConfig"),
            "dynamic_module_config": {"name": "dynvm_envoy", "do_not_close": true},
            "cluster_name": "dynvm",
        });
        self.raw_cluster(json!({
            "name": "dynvm", "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": {"name": "envoy.clusters.dynamic_modules", "typed_config": config},
        }))
    }

    pub fn workers(mut self, count: u32) -> Setup {
        self.concurrency = count;
        self
    }

    pub fn config(&self) -> Value {
        json!({
            "admin": {"address": address(0)},
            "static_resources": {"listeners": self.listeners, "clusters": self.clusters},
        })
    }
}

/// An HTTP listener on a free port; `more` is merged into its connection manager.
pub fn http_listener(name: &str, mut filters: Vec<Value>, more: Value) -> Value {
    let router = json!({"@type": ty("envoy.extensions.filters.http.router.v3.Router")});
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": router}));
    let mut manager = json!({
        "@type": ty("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "http_protocol_options": {"enable_trailers": true},
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [
                {"match": {"prefix": "/direct"},
                    "direct_response": {"status": 200, "body": {"inline_string": "direct"}}},
                {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}},
            ],
        }]},
        "http_filters": filters,
    });
    merge(&mut manager, &more);
    let chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
    json!({"name": name, "address": address(0), "filter_chains": [chain]})
}

pub fn cluster(name: &str, port: u16) -> Value {
    json!({"name": name, "connect_timeout": "2s", "load_assignment": {"cluster_name": name, "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(port)}}]}
    ]}})
}

/// A running Envoy, ended when dropped.
pub struct Envoy {
    child: Child,
    dir: tempfile::TempDir,
    admin: u16,
    ports: BTreeMap<String, u16>,
    /// What runs plugins.
    pub backends: Vec<By>,
}

/// The directory of the module: cargo puts a library that tests depend on beside their programs.
fn module_dir() -> PathBuf {
    let dir = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    assert!(dir.join("libdynvm_envoy.so").is_file(), "libdynvm_envoy.so is in {}", dir.display());
    dir
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module_dir()).stdin(Stdio::null());
    command.args(["--disable-hot-restart", "-l", "warning", "--component-log-level", "wasm:info,dynamic_modules:info"]);
    command
}

/// Has Envoy check a configuration.
pub fn validate(program: &Path, config: &Value) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("envoy.json");
    std::fs::write(&path, config.to_string()).unwrap();
    command(program).args(["--mode", "validate", "-c"]).arg(path).output().unwrap()
}

impl Envoy {
    pub fn start(program: &Path, setup: &Setup) -> Envoy {
        Envoy::start_with(program, &setup.config(), setup.concurrency)
    }

    pub fn start_with(program: &Path, config: &Value, concurrency: u32) -> Envoy {
        let dir = tempfile::tempdir().unwrap();
        let (path, admin) = (dir.path().join("envoy.json"), dir.path().join("admin"));
        std::fs::write(&path, config.to_string()).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = command(program);
        command.args(["--concurrency", &concurrency.to_string(), "--admin-address-path"]).arg(&admin);
        command.arg("-c").arg(&path).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
        let mut envoy = Envoy { child, dir, admin: 0, ports: BTreeMap::new(), backends: backends(program) };
        let admin_port = || std::fs::read_to_string(&admin).ok()?.rsplit_once(':')?.1.trim().parse().ok();
        envoy.wait("has an admin port", |envoy| {
            envoy.admin = admin_port().unwrap_or(0);
            envoy.admin != 0
        });
        envoy.wait("is ready", |envoy| envoy.try_admin("/ready").is_some_and(|ready| ready.contains("LIVE")));
        envoy.read_ports();
        envoy
    }

    /// Reads the ports of listeners.
    pub fn read_ports(&mut self) {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json")).unwrap();
        for listener in listeners["listener_statuses"].as_array().into_iter().flatten() {
            let port = &listener["local_address"]["socket_address"]["port_value"];
            let name = listener["name"].as_str().unwrap_or_default().to_owned();
            self.ports.insert(name, u16::try_from(port.as_u64().unwrap_or(0)).unwrap());
        }
    }

    /// Waits for something; fails the test if it does not come, or if Envoy ends.
    pub fn wait(&mut self, what: &str, mut is_so: impl FnMut(&mut Envoy) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(120);
        while !is_so(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "Envoy ended before it {what}, {}:\n{}", ended.unwrap(), self.log());
            assert!(Instant::now() < give_up, "{what} does not come true:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a line in the log.
    pub fn wait_for_log(&mut self, part: &str) {
        self.wait(&format!("logs {part:?}"), |envoy| envoy.log().contains(part));
    }

    pub fn port(&self, listener: &str) -> u16 {
        *self.ports.get(listener).unwrap_or_else(|| panic!("{listener} is in {:?}:\n{}", self.ports, self.log()))
    }

    fn try_admin(&self, path: &str) -> Option<String> {
        let mut client = traffic::Client::connect(self.admin).ok()?;
        Some(client.send("GET", path, &[], &[]).ok()?.text())
    }

    pub fn admin(&self, path: &str) -> String {
        self.try_admin(path).unwrap_or_else(|| panic!("{path} is answered:\n{}", self.log()))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The messages of a plugin, in order.
    pub fn messages(&self, plugin: &str) -> Vec<String> {
        // Of root contexts, Envoy's wasm filter writes the VM's id only.
        let (of_plugin, of_root) = (format!("wasm log {plugin} {plugin}: "), format!("wasm log {plugin}: "));
        let message = |line: &str| {
            let (_, message) = line.split_once(&of_plugin).or_else(|| line.split_once(&of_root))?;
            Some(message.to_owned())
        };
        self.log().lines().filter_map(message).collect()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks Envoy to end, and returns how it did.
    pub fn stop(mut self) -> std::process::ExitStatus {
        // The shell's: a bare Debian has no program of this name.
        let kill = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of Envoy:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
