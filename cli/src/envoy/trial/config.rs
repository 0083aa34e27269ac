//! Envoy's configuration for each setup of the trial.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::scenario::Scenario;

/// The namespace of plugins' metrics, the same in all setups.
pub const METRICS: &str = "wasmcustom";

/// Name of the cluster that all requests go to.
const UPSTREAM: &str = "dynvm_trial_upstream";

/// What runs in the Envoy of a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setup {
    /// No plugin.
    NoFilter,
    /// The wasm build in V8.
    V8,
    /// The native build in the module.
    ModuleNative,
    /// The wasm build in the module.
    ModuleWasm,
}

impl Setup {
    pub fn title(self) -> &'static str {
        match self {
            Setup::NoFilter => "no filter",
            Setup::V8 => "wasm in V8",
            Setup::ModuleNative => "native in the module",
            Setup::ModuleWasm => "wasm in the module",
        }
    }

    pub fn is_module(self) -> bool {
        matches!(self, Setup::ModuleNative | Setup::ModuleWasm)
    }
}

/// The files of a trial.
pub struct Files {
    pub envoy: PathBuf,
    pub native: PathBuf,
    pub wasm: PathBuf,
    /// The module, if it is part of the trial.
    pub module: Option<PathBuf>,
}

/// Ports of the upstreams: the requests', and those of the plugin's calls by cluster.
pub struct Ports {
    pub upstream: u16,
    pub calls: Vec<(String, u16)>,
}

/// The configuration of a setup, as JSON.
pub fn bootstrap(setup: Setup, files: &Files, scenario: &Scenario, ports: &Ports) -> String {
    let filters: Vec<Value> = plugin(setup, files, scenario).into_iter().chain([router()]).collect();
    let manager = typed(
        "envoy.filters.network.http_connection_manager",
        json!({
            "@type": url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "trial",
            // What would differ between two runs without a plugin.
            "generate_request_id": false,
            "http_protocol_options": {"enable_trailers": true},
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": UPSTREAM, "timeout": "8s"}}],
            }]},
            "http_filters": filters,
        }),
    );
    let mut clusters = vec![cluster(UPSTREAM, ports.upstream)];
    clusters.extend(ports.calls.iter().map(|(name, port)| cluster(name, *port)));
    if setup.is_module() {
        clusters.push(ticks(files));
    }
    let config = json!({
        "node": {"id": "dynvm-trial", "cluster": "dynvm-trial"},
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [{"name": "trial", "address": address(0), "filter_chains": [{"filters": [manager]}]}],
            "clusters": clusters,
        },
    });
    config.to_string()
}

fn plugin(setup: Setup, files: &Files, scenario: &Scenario) -> Option<Value> {
    let code = match setup {
        Setup::NoFilter => return None,
        Setup::V8 | Setup::ModuleWasm => &files.wasm,
        Setup::ModuleNative => &files.native,
    };
    let mut config = plugin_config(code, scenario);
    if !setup.is_module() {
        let filter = json!({"@type": url("envoy.extensions.filters.http.wasm.v3.Wasm"), "config": config});
        return Some(typed("envoy.filters.http.wasm", filter));
    }
    if setup == Setup::ModuleNative {
        config["dynvm"] = json!({"native": true});
    }
    Some(typed(
        "envoy.filters.http.dynamic_modules",
        json!({
            "@type": url("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
            "dynamic_module_config": module(files),
            "filter_name": "plugin",
            "filter_config": {"@type": url("google.protobuf.Struct"), "value": config},
        }),
    ))
}

/// Envoy's `PluginConfig`.
fn plugin_config(code: &Path, scenario: &Scenario) -> Value {
    let plugin = &scenario.plugin;
    let text = |bytes: Vec<u8>| {
        json!({
            "@type": url("google.protobuf.StringValue"), "value": String::from_utf8_lossy(&bytes),
        })
    };
    let mut vm = json!({
        "vm_id": plugin.vm_id,
        "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": code}},
        "configuration": text(plugin.vm_configuration.bytes()),
    });
    if !scenario.environment.is_empty() {
        vm["environment_variables"] = json!({"key_values": scenario.environment});
    }
    let mut config = json!({
        "name": plugin.name,
        "root_id": plugin.root_id,
        "configuration": text(plugin.configuration.bytes()),
        "vm_config": vm,
    });
    if let Some(policy) = &plugin.failure_policy {
        config["failure_policy"] = policy.as_str().into();
    }
    config
}

fn module(files: &Files) -> Value {
    json!({
        "module": {"local": {"filename": files.module}},
        "do_not_close": true, "metrics_namespace": METRICS,
    })
}

/// The cluster through which the module reaches threads without traffic.
fn ticks(files: &Files) -> Value {
    let config = json!({
        "@type": url("envoy.extensions.clusters.dynamic_modules.v3.ClusterConfig"),
        "dynamic_module_config": module(files),
        "cluster_name": "ticks",
    });
    json!({
        "name": "dynvm_ticks", "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": typed("envoy.clusters.dynamic_modules", config),
    })
}

fn cluster(name: &str, port: u16) -> Value {
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]);
    json!({
        "name": name, "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
            },
        },
    })
}

fn router() -> Value {
    let config = json!({
        "@type": url("envoy.extensions.filters.http.router.v3.Router"),
        // Times.
        "suppress_envoy_headers": true,
    });
    typed("envoy.filters.http.router", config)
}

fn typed(name: &str, config: Value) -> Value {
    json!({"name": name, "typed_config": config})
}

fn url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
