//! Asks an authorization service about every request before the upstream sees it.
//!
//! The request is paused and its method, path and `authorization` header are sent to the service,
//! which is an upstream that the proxy knows by name. A 2xx answer lets the request go on, with the
//! service's `x-auth-subject` as a header; any other answer means 403. No answer (a timeout, a
//! broken connection, an unknown upstream) means 503: when the service is down, nobody gets in.
//!
//! Configuration, JSON; `upstream` is required:
//!
//! ```json
//! {"upstream": "authz", "authority": "authz.internal", "path": "/check", "timeout_ms": 500}
//! ```
//!
//! To try it, in this directory: `dynvm run .`. In `scenario.json` the service answers 200, 204, 403,
//! 500, and not at all.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    upstream: String,
    #[serde(default = "default_authority")]
    authority: String,
    #[serde(default = "default_path")]
    path: String,
    #[serde(default = "default_timeout")]
    timeout_ms: u64,
}

fn default_authority() -> String {
    "authz".to_owned()
}

fn default_path() -> String {
    "/check".to_owned()
}

fn default_timeout() -> u64 {
    500
}

#[derive(Default)]
struct Root {
    config: Option<Rc<Config>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match serde_json::from_slice(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Some(Rc::new(config)),
            Err(error) => {
                error!("the configuration is not valid: {error}");
                return false;
            }
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone() }))
    }
}

struct Stream {
    config: Option<Rc<Config>>,
}

impl Stream {
    /// Sends the request to the service; false if it could not be sent.
    fn ask(&self, config: &Config) -> bool {
        let text = |name| {
            // The SDK cannot pass on a header that is not UTF-8, so such a request is refused.
            String::from_utf8(self.get_http_request_header_bytes(name).unwrap_or_default())
        };
        let (Ok(method), Ok(path), Ok(credentials)) = (text(":method"), text(":path"), text("authorization")) else {
            return false;
        };
        let headers = vec![
            (":method", "GET"),
            (":path", config.path.as_str()),
            (":authority", config.authority.as_str()),
            ("x-original-method", method.as_str()),
            ("x-original-path", path.as_str()),
            ("authorization", credentials.as_str()),
        ];
        let timeout = Duration::from_millis(config.timeout_ms);
        // An error is returned at once, for example for an unknown upstream. No callback follows,
        // so a request left paused here would hang.
        match self.dispatch_http_call(&config.upstream, headers, None, vec![], timeout) {
            Ok(_token) => true,
            Err(status) => {
                warn!("the call to {} was not sent: {status:?}", config.upstream);
                false
            }
        }
    }

    fn refuse(&self, status: u32, body: &str) {
        info!("refused with {status}");
        self.send_http_response(status, vec![], Some(body.as_bytes()));
    }
}

impl Context for Stream {
    /// The answer, on the stream that made the call: the SDK finds it by the token of the call.
    fn on_http_call_response(&mut self, _token: u32, count: usize, _body: usize, _trailers: usize) {
        // A call that failed or timed out is reported as an answer without headers.
        if count == 0 {
            return self.refuse(503, "The authorization service does not answer.\n");
        }
        let status = self.get_http_call_response_header_bytes(":status").unwrap_or_default();
        if !matches!(status.as_slice(), [b'2', _, _]) {
            return self.refuse(403, "Forbidden\n");
        }
        if let Some(subject) = self.get_http_call_response_header_bytes("x-auth-subject") {
            self.set_http_request_header_bytes("x-auth-subject", Some(&subject));
        }
        self.resume_http_request();
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // The service's header must not come from the client.
        self.remove_http_request_header("x-auth-subject");
        if !self.config.clone().is_some_and(|config| self.ask(&config)) {
            self.refuse(503, "The authorization service cannot be asked.\n");
        }
        Action::Pause
    }
}
