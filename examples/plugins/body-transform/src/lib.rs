//! Redacts fields of JSON bodies, in requests and in responses.
//!
//! Every value under one of the configured keys, at any depth, becomes `"[redacted]"`. Bodies of
//! other content types pass unchanged. A body that claims to be JSON and cannot be parsed is
//! blocked, since it might contain a secret: a request is answered with 400, the body of a response
//! is replaced.
//!
//! Configuration, JSON: `{"redact": ["password", "card_number"]}`.
//!
//! Lessons about bodies:
//!
//! - `Pause` in a body callback makes the host buffer; the next call sees all bytes received so far.
//!   Headers must not be paused for that: many hosts would then deliver no body at all.
//! - Headers leave before the body is complete. The new length is still unknown then, so
//!   `content-length` is removed and the host frames the body itself.
//! - A message with trailers has no body callback with `end_of_stream`; its end is the trailers.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::collections::HashSet;
use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType};
use serde::Deserialize;
use serde_json::Value;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    redact: HashSet<String>,
}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match serde_json::from_slice(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Rc::new(config),
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
        Some(Box::new(Stream {
            config: self.config.clone(),
            request: Message::new(MapType::HttpRequestHeaders, BufferType::HttpRequestBody),
            response: Message::new(MapType::HttpResponseHeaders, BufferType::HttpResponseBody),
        }))
    }
}

/// One direction of a stream: the same work on other maps and buffers.
struct Message {
    headers: MapType,
    body: BufferType,
    /// Whether the body still has to be rewritten.
    active: bool,
    /// The number of bytes that the host has buffered.
    size: usize,
}

impl Message {
    fn new(headers: MapType, body: BufferType) -> Self {
        Self { headers, body, active: false, size: 0 }
    }

    fn on_headers(&mut self, end_of_stream: bool) {
        let content_type = hostcalls::get_map_value_bytes(self.headers, "content-type");
        let content_type = content_type.ok().flatten().unwrap_or_default().to_ascii_lowercase();
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let media_type = media_type.trim_ascii();
        self.active = !end_of_stream && (media_type == b"application/json" || media_type.ends_with(b"+json"));
        if self.active {
            let _ = hostcalls::remove_map_value(self.headers, "content-length");
        }
    }

    /// At the end of the message: rewrites the body. `Err` if it is not JSON.
    fn rewrite(&mut self, config: &Config) -> Result<(), serde_json::Error> {
        self.active = false;
        let Ok(Some(body)) = hostcalls::get_buffer(self.body, 0, self.size) else {
            return Ok(()); // No body after all.
        };
        let mut value = serde_json::from_slice(&body)?;
        let count = redact(&mut value, &config.redact);
        if count > 0 {
            info!("{count} values redacted");
            self.replace(value.to_string().as_bytes());
        }
        Ok(())
    }

    fn replace(&self, body: &[u8]) {
        let _ = hostcalls::set_buffer(self.body, 0, self.size, body);
    }
}

/// Replaces the values under `keys` and returns how many.
fn redact(value: &mut Value, keys: &HashSet<String>) -> usize {
    match value {
        Value::Object(members) => {
            let one = |(key, value): (&String, &mut Value)| match keys.contains(key) {
                true => {
                    *value = Value::from("[redacted]");
                    1
                }
                false => redact(value, keys),
            };
            members.iter_mut().map(one).sum()
        }
        Value::Array(items) => items.iter_mut().map(|item| redact(item, keys)).sum(),
        _ => 0,
    }
}

struct Stream {
    config: Rc<Config>,
    request: Message,
    response: Message,
}

impl Stream {
    fn finish_request(&mut self) -> Action {
        match self.request.rewrite(&self.config) {
            Ok(()) => Action::Continue,
            Err(error) => {
                warn!("request refused: its body is not JSON: {error}");
                self.send_http_response(400, vec![], Some(b"The body is not valid JSON.\n"));
                Action::Pause
            }
        }
    }

    fn finish_response(&mut self) -> Action {
        if let Err(error) = self.response.rewrite(&self.config) {
            // The status has been sent already, so only the body can still be changed.
            warn!("response replaced: its body is not JSON: {error}");
            self.response.replace(br#"{"error":"the upstream's answer was not valid JSON"}"#);
        }
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        // A compressed response could not be parsed, so ask for a plain one.
        self.set_http_request_header("accept-encoding", Some("identity"));
        self.request.on_headers(end_of_stream);
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.request.size = size;
        match (self.request.active, end_of_stream) {
            (false, _) => Action::Continue,
            (true, false) => Action::Pause,
            (true, true) => self.finish_request(),
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if self.request.active { self.finish_request() } else { Action::Continue }
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.response.on_headers(end_of_stream);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.response.size = size;
        match (self.response.active, end_of_stream) {
            (false, _) => Action::Continue,
            (true, false) => Action::Pause,
            (true, true) => self.finish_response(),
        }
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        if self.response.active { self.finish_response() } else { Action::Continue }
    }
}
