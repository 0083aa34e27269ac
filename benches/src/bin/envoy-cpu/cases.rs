//! What is measured: plugins, and what does the same without a plugin.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use dynvm_benches::envoy::{address, http_listener, module_filter, plugin, ty, v8_filter};
use serde_json::{Value, json};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    None,
    V8,
    Native,
    Wasm,
    /// A filter in C against Envoy's ABI for modules.
    Hand,
    Lua,
    HeaderMutation,
}

impl By {
    pub const ALL: [By; 7] = [By::None, By::V8, By::Native, By::Wasm, By::Hand, By::Lua, By::HeaderMutation];

    pub fn name(self) -> &'static str {
        match self {
            By::None => "no filter",
            By::V8 => "V8",
            By::Native => "native in the module",
            By::Wasm => "wasm in the module",
            By::Hand => "a filter in C",
            By::Lua => "Envoy's Lua",
            By::HeaderMutation => "Envoy's header_mutation",
        }
    }
}

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    Noop,
    Headers,
    Chain,
    Json,
    Sha256,
}

/// The rules of the plugin header-rewrite, which also reads three headers and adds two. The filter in C does the same.
const RULES: &str = r#"{"request": [{"set": "x-env", "value": "production"}, {"remove": "x-internal"}],
    "response": [{"set": "x-frame-options", "value": "DENY"}, {"remove": "x-powered-by"}]}"#;

/// The same for Envoy's Lua.
const LUA: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  headers:add("x-original-method", headers:get(":method"))
  headers:add("x-original-url", headers:get(":authority") .. headers:get(":path"))
  headers:replace("x-env", "production")
  headers:remove("x-internal")
end
function envoy_on_response(handle)
  local headers = handle:headers()
  headers:replace("x-frame-options", "DENY")
  headers:remove("x-powered-by")
end
"#;

impl Case {
    pub const ALL: [Case; 5] = [Case::Noop, Case::Headers, Case::Chain, Case::Json, Case::Sha256];

    pub fn name(self) -> &'static str {
        match self {
            Case::Noop => "nothing but the callbacks",
            Case::Headers => "3 headers read, 2 added, 2 set, 2 removed",
            Case::Chain => "five such filters",
            Case::Json => "16 KiB of JSON, parsed and written anew",
            Case::Sha256 => "SHA-256 of 16 KiB",
        }
    }

    /// The bytes of a request.
    pub fn request(self) -> Vec<u8> {
        if !self.has_body() {
            return b"GET /a HTTP/1.1\r\nhost: example.com\r\nuser-agent: bench\r\nx-internal: 1\r\n\r\n".to_vec();
        }
        let items: Vec<Value> = (0..270).map(|id| json!({"id": id, "name": "a name", "password": "hunter2"})).collect();
        let body = json!({"items": items}).to_string();
        let head = "POST /a HTTP/1.1\r\nhost: example.com\r\ncontent-type: application/json\r\n";
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn has_body(self) -> bool {
        matches!(self, Case::Json | Case::Sha256)
    }

    /// The filters; `None`: not measured.
    fn filters(self, by: By, files: &Files) -> Option<Vec<Value>> {
        let (name, configuration, count) = match self {
            Case::Noop => ("bench-suite", "noop", 1),
            Case::Headers => ("header-rewrite", RULES, 1),
            Case::Chain => ("header-rewrite", RULES, 5),
            Case::Json => ("body-transform", r#"{"redact": ["password"]}"#, 1),
            Case::Sha256 => ("bench-suite", "sha256", 1),
        };
        let is_rules = configuration == RULES;
        let filter = |number: usize| {
            let instance = format!("{name}-{number}");
            Some(match by {
                By::None => return None,
                By::V8 | By::Native | By::Wasm => files.filter(by, &instance, &files.artifact(by, name), configuration),
                By::Hand if is_rules => module_filter("headers", &files.hand, &json!({})),
                By::Hand if self == Case::Noop => module_filter("nothing", &files.hand, &json!({})),
                By::Lua if is_rules => json!({"name": "lua", "typed_config": {
                    "@type": ty("envoy.extensions.filters.http.lua.v3.Lua"),
                    "default_source_code": {"inline_string": LUA}}}),
                By::HeaderMutation if is_rules => header_mutation(),
                _ => return None,
            })
        };
        let mut filters: Vec<Value> = (0..count).filter_map(filter).collect();
        if filters.is_empty() && by != By::None {
            return None;
        }
        if self.has_body() {
            // Envoy would answer before it has read the body.
            let buffer = json!({"@type": ty("envoy.extensions.filters.http.buffer.v3.Buffer"),
                "max_request_bytes": 1 << 20});
            filters.push(json!({"name": "buffer", "typed_config": buffer}));
        }
        Some(filters)
    }
}

fn header_mutation() -> Value {
    let append =
        |key, value, action| json!({"append": {"header": {"key": key, "value": value}, "append_action": action}});
    let add = |key, value| append(key, value, "APPEND_IF_EXISTS_OR_ADD");
    let set = |key, value| append(key, value, "OVERWRITE_IF_EXISTS_OR_ADD");
    json!({"name": "header-mutation", "typed_config": {
        "@type": ty("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
        "mutations": {
            "request_mutations": [
                add("x-original-method", "%REQ(:METHOD)%"), add("x-original-url", "%REQ(:AUTHORITY)%%REQ(:PATH)%"),
                set("x-env", "production"), {"remove": "x-internal"},
            ],
            "response_mutations": [set("x-frame-options", "DENY"), {"remove": "x-powered-by"}],
        },
    }})
}

/// The files, by absolute paths.
pub struct Files {
    module: PathBuf,
    plugins: PathBuf,
    hand: PathBuf,
}

impl Files {
    pub fn new(module: &Path, plugins: &Path, hand: &Path) -> Result<Files> {
        let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
        Ok(Files { module: absolute(module)?, plugins: absolute(plugins)?, hand: absolute(hand)? })
    }

    pub fn artifact(&self, by: By, plugin: &str) -> PathBuf {
        self.plugins.join(format!("{plugin}.{}", if by == By::Native { "so" } else { "wasm" }))
    }

    /// A filter that runs a plugin.
    pub fn filter(&self, by: By, name: &str, artifact: &Path, configuration: &str) -> Value {
        let mut block = plugin(name, artifact, configuration);
        if by == By::V8 {
            return v8_filter(name, &block);
        }
        block["dynvm"] = json!({"native": true});
        module_filter(name, &self.module, &block)
    }
}

/// The name of a listener.
pub fn listener_name(case: Case, by: By) -> String {
    format!("{case:?}-{by:?}")
}

/// The configuration of an Envoy with a listener for each, and what they are.
pub fn config(cases: &[Case], files: &Files) -> (Value, Vec<(Case, By)>) {
    let all = cases.iter().flat_map(|case| By::ALL.map(|by| (*case, by)));
    let known: Vec<_> = all.filter_map(|(case, by)| Some((case, by, case.filters(by, files)?))).collect();
    let listeners: Vec<Value> =
        known.iter().map(|(case, by, filters)| http_listener(&listener_name(*case, *by), filters.clone())).collect();
    let config = json!({"admin": {"address": address(0)}, "static_resources": {"listeners": listeners}});
    (config, known.into_iter().map(|(case, by, _)| (case, by)).collect())
}
