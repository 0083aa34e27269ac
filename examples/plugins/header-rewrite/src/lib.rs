//! Rewrites headers by rules: set, add, remove, rename, on requests and on responses.
//!
//! Before the rules it records the client's original request: three headers are read
//! (`:method`, `:authority`, `:path`) and two added (`x-original-method`, `x-original-url`).
//!
//! Configuration, JSON; rules are applied in order:
//!
//! ```json
//! {
//!   "record": true,
//!   "request": [
//!     {"set": "x-env", "value": "production"},
//!     {"add": "via", "value": "dynvm"},
//!     {"remove": "x-internal"},
//!     {"rename": "x-user", "to": "x-account"}
//!   ],
//!   "response": [{"remove": "server"}]
//! }
//! ```
//!
//! A configuration with an unknown rule, an empty or malformed name, or that removes or renames one
//! of the pseudo-headers, is refused when the plugin starts.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::rc::Rc;

use log::error;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    record: bool,
    request: Vec<Rule>,
    response: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self { record: true, request: Vec::new(), response: Vec::new() }
    }
}

/// One rule; serde selects the variant by the key that names the action.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Rule {
    Set { set: String, value: String },
    Add { add: String, value: String },
    Remove { remove: String },
    Rename { rename: String, to: String },
}

impl Rule {
    /// Headers that this rule writes or reads; the `bool` says whether it removes the header.
    fn names(&self) -> Vec<(&str, bool)> {
        match self {
            Rule::Set { set, .. } => vec![(set, false)],
            Rule::Add { add, .. } => vec![(add, false)],
            Rule::Remove { remove } => vec![(remove, true)],
            Rule::Rename { rename, to } => vec![(rename, true), (to, false)],
        }
    }

    /// The reason why this rule cannot be applied, if any.
    fn mistake(&self) -> Option<String> {
        self.names().into_iter().find_map(|(name, removes)| {
            let plain = name.strip_prefix(':').unwrap_or(name);
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if plain.is_empty() || !plain.bytes().all(token) {
                Some(format!("\"{name}\" is not the name of a header"))
            } else if removes && plain != name {
                Some(format!("{name} cannot be taken away: a message without it is invalid"))
            } else {
                None
            }
        })
    }

    fn apply(&self, map: MapType) {
        // These hostcalls return OK for every existing map, and the SDK treats any other status as
        // a bug of the host, so the plugin has no error to handle.
        let _ = match self {
            Rule::Set { set, value } => hostcalls::set_map_value(map, set, Some(value)),
            Rule::Add { add, value } => hostcalls::add_map_value(map, add, value),
            Rule::Remove { remove } => hostcalls::remove_map_value(map, remove),
            Rule::Rename { rename, to } => {
                // A header may occur several times, so all pairs are checked.
                for (name, value) in hostcalls::get_map_bytes(map).unwrap_or_default() {
                    if name.eq_ignore_ascii_case(rename) {
                        let _ = hostcalls::add_map_value_bytes(map, to, &value);
                    }
                }
                hostcalls::remove_map_value(map, rename)
            }
        };
    }
}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let config = match size {
            0 => Ok(Config::default()),
            _ => serde_json::from_slice(&self.get_plugin_configuration().unwrap_or_default()),
        };
        let config: Config = match config {
            Ok(config) => config,
            Err(error) => {
                error!("the configuration is not valid: {error}");
                return false;
            }
        };
        let mistake = config.request.iter().chain(&config.response).find_map(Rule::mistake);
        if let Some(mistake) = &mistake {
            error!("the configuration is not valid: {mistake}");
        }
        self.config = Rc::new(config);
        mistake.is_none()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone() }))
    }
}

struct Stream {
    config: Rc<Config>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.config.record {
            // As bytes: a client may send headers that are not UTF-8, at which the String variants
            // panic.
            let method = self.get_http_request_header_bytes(":method").unwrap_or_default();
            let authority = self.get_http_request_header_bytes(":authority").unwrap_or_default();
            let path = self.get_http_request_header_bytes(":path").unwrap_or_default();
            self.add_http_request_header_bytes("x-original-method", &method);
            self.add_http_request_header_bytes("x-original-url", &[authority, path].concat());
        }
        self.config.request.iter().for_each(|rule| rule.apply(MapType::HttpRequestHeaders));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.config.response.iter().for_each(|rule| rule.apply(MapType::HttpResponseHeaders));
        Action::Continue
    }
}
