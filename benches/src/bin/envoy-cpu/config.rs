//! Envoy's configuration: a listener for each case and backend.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// What runs the plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    None,
    V8,
    Native,
    Wasm,
}

impl By {
    pub const ALL: [By; 4] = [By::None, By::V8, By::Native, By::Wasm];
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Idle,
    Headers,
    Chain,
    Body,
}

impl Case {
    pub const ALL: [Case; 4] = [Case::Idle, Case::Headers, Case::Chain, Case::Body];

    pub fn name(self) -> &'static str {
        match self {
            Case::Idle => "a plugin without rules",
            Case::Headers => "four rules for headers",
            Case::Chain => "five such plugins in a chain",
            Case::Body => "a body of 16 KiB of JSON, parsed and written anew",
        }
    }

    /// The bytes of a request.
    pub fn request(self) -> Vec<u8> {
        if self != Case::Body {
            return b"GET /a HTTP/1.1\r\nhost: example.com\r\nuser-agent: bench\r\nx-internal: 1\r\n\r\n".to_vec();
        }
        let items: Vec<Value> = (0..270).map(|id| json!({"id": id, "name": "a name", "password": "hunter2"})).collect();
        let body = json!({"items": items}).to_string();
        let head = "POST /a HTTP/1.1\r\nhost: example.com\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Plugin, configuration, and how many in the chain.
    fn plugin(self) -> (&'static str, Value, usize) {
        let rules = json!({
            "request": [{"set": "x-env", "value": "production"}, {"remove": "x-internal"}],
            "response": [{"set": "x-frame-options", "value": "DENY"}, {"remove": "x-powered-by"}],
        });
        match self {
            Case::Idle => ("header-rewrite", json!({}), 1),
            Case::Headers => ("header-rewrite", rules, 1),
            Case::Chain => ("header-rewrite", rules, 5),
            Case::Body => ("body-transform", json!({"redact": ["password"]}), 1),
        }
    }
}

/// The name of a listener.
pub fn listener_name(case: Case, by: By) -> String {
    format!("{case:?}-{by:?}")
}

fn ty(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

fn filter(by: By, number: usize, plugin: &str, configuration: &Value, module: &Path, plugins: &Path) -> Value {
    let file = plugins.join(format!("{plugin}.{}", if by == By::Native { "so" } else { "wasm" }));
    let name = format!("{plugin}-{number}");
    let mut block = json!({
        "name": name,
        "configuration": {"@type": ty("google.protobuf.StringValue"), "value": configuration.to_string()},
        "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": file}}},
    });
    let config = if by == By::V8 {
        json!({"@type": ty("envoy.extensions.filters.http.wasm.v3.Wasm"), "config": block})
    } else {
        block["dynvm"] = json!({"native": true});
        json!({
            "@type": ty("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"),
            "dynamic_module_config": {"module": {"local": {"filename": module}}, "do_not_close": true},
            "filter_name": name,
            "filter_config": {"@type": ty("google.protobuf.Struct"), "value": block},
        })
    };
    json!({"name": name, "typed_config": config})
}

/// The configuration of an Envoy that answers itself.
pub fn config(module: &Path, plugins: &Path) -> Result<Value> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let (module, plugins) = (absolute(module)?, absolute(plugins)?);
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let mut listeners = Vec::new();
    for case in Case::ALL {
        for by in By::ALL {
            let (plugin, configuration, count) = case.plugin();
            let count = if by == By::None { 0 } else { count };
            let mut filters: Vec<Value> =
                (0..count).map(|number| filter(by, number, plugin, &configuration, &module, &plugins)).collect();
            if case == Case::Body {
                // Envoy would answer before it has read the body.
                let buffer = json!({"@type": ty("envoy.extensions.filters.http.buffer.v3.Buffer"),
                    "max_request_bytes": 1 << 20});
                filters.push(json!({"name": "buffer", "typed_config": buffer}));
            }
            let router = json!({"@type": ty("envoy.extensions.filters.http.router.v3.Router")});
            filters.push(json!({"name": "router", "typed_config": router}));
            let name = listener_name(case, by);
            let manager = json!({
                "@type": ty("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": name,
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "answer"}}},
                ]}]},
                "http_filters": filters,
            });
            let chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
            listeners.push(json!({"name": name, "address": address, "filter_chains": [chain]}));
        }
    }
    Ok(json!({"admin": {"address": address}, "static_resources": {"listeners": listeners}}))
}
