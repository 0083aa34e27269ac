//! Envoy's configuration.

use std::path::Path;

use serde_json::{Value, json};

/// The URL of a type.
pub fn ty(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

/// An address of this machine.
pub fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// The block of a plugin, as Envoy's wasm filter has it.
pub fn plugin(name: &str, artifact: &Path, configuration: &str) -> Value {
    json!({
        "name": name,
        "configuration": {"@type": ty("google.protobuf.StringValue"), "value": configuration},
        "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": artifact}}},
    })
}

/// A filter in Envoy's own wasm filter.
pub fn v8_filter(name: &str, block: &Value) -> Value {
    let config = json!({"@type": ty("envoy.extensions.filters.http.wasm.v3.Wasm"), "config": block});
    json!({"name": name, "typed_config": config})
}

/// A filter of a module.
pub fn module_filter(name: &str, module: &Path, config: &Value) -> Value {
    json!({"name": name, "typed_config": {
        "@type": ty("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
        "dynamic_module_config": {"module": {"local": {"filename": module}}, "do_not_close": true},
        "filter_name": name,
        "filter_config": {"@type": ty("google.protobuf.Struct"), "value": config},
    }})
}

/// A listener on a free port whose HTTP streams pass these filters, and are then answered by Envoy.
pub fn http_listener(name: &str, mut filters: Vec<Value>) -> Value {
    let router = json!({"@type": ty("envoy.extensions.filters.http.router.v3.Router")});
    filters.push(json!({"name": "router", "typed_config": router}));
    let answer = json!({"status": 200, "body": {"inline_string": "answer"}});
    let manager = json!({
        "@type": ty("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": answer},
        ]}]},
        "http_filters": filters,
    });
    let chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
    json!({"name": name, "address": address(0), "filter_chains": [chain]})
}
