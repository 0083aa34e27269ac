//! Writes a line per request and keeps metrics.
//!
//! The line goes to the log of the host when a stream is complete:
//!
//! ```text
//! GET example.com /items 200 12ms in=0 out=34 source.address=10.0.0.1:1234
//! ```
//!
//! | metric | kind | counts |
//! |---|---|---|
//! | `access_log.responses.1xx` to `.5xx`, `.none` | counter | responses by class of status |
//! | `access_log.active` | gauge | streams that are open |
//! | `access_log.duration_ms` | histogram | from the request's headers to the end of the stream |
//!
//! Configuration, JSON, optional: `{"properties": ["source.address", "request.protocol"]}`, the
//! properties to append, segments separated by a dot. Strings are written as they are, other values
//! in hexadecimal, unknown properties as `-`.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    properties: Vec<String>,
}

/// Ids of the metrics. Defining a name again yields the same id, so all workers count together.
#[derive(Clone, Copy, Default)]
struct Metrics {
    /// Indexed by the first digit of the status; 0 for streams that ended without one.
    responses: [u32; 6],
    active: u32,
    duration: u32,
}

impl Metrics {
    fn define() -> Result<Self, Status> {
        let mut metrics = Self::default();
        for (class, id) in metrics.responses.iter_mut().enumerate() {
            let name = match class {
                0 => "access_log.responses.none".to_owned(),
                _ => format!("access_log.responses.{class}xx"),
            };
            *id = hostcalls::define_metric(MetricType::Counter, &name)?;
        }
        metrics.active = hostcalls::define_metric(MetricType::Gauge, "access_log.active")?;
        metrics.duration = hostcalls::define_metric(MetricType::Histogram, "access_log.duration_ms")?;
        Ok(metrics)
    }
}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
    metrics: Metrics,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        if size > 0 {
            match serde_json::from_slice(&self.get_plugin_configuration().unwrap_or_default()) {
                Ok(config) => self.config = Rc::new(config),
                Err(error) => {
                    error!("the configuration is not valid: {error}");
                    return false;
                }
            }
        }
        match Metrics::define() {
            Ok(metrics) => self.metrics = metrics,
            Err(status) => error!("the host defines no metrics: {status:?}"),
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            config: self.config.clone(),
            metrics: self.metrics,
            started: None,
            request: "- - -".to_owned(),
            status: None,
            received: 0,
            sent: 0,
        }))
    }
}

struct Stream {
    config: Rc<Config>,
    metrics: Metrics,
    /// Arrival of the headers; `None` for a stream that ended before.
    started: Option<SystemTime>,
    /// Method, authority and path, kept from the request's headers: a later filter may change them,
    /// and some hosts have dropped them by the time of the log.
    request: String,
    status: Option<u16>,
    received: usize,
    sent: usize,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.started = Some(self.get_current_time());
        let fields = [":method", ":authority", ":path"]
            .map(|name| printable(&self.get_http_request_header_bytes(name).unwrap_or_else(|| b"-".to_vec())));
        self.request = fields.join(" ");
        count(hostcalls::increment_metric(self.metrics.active, 1));
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.received += size;
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let status = self.get_http_response_header_bytes(":status");
        self.status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.sent += size;
        Action::Continue
    }

    // Called once per stream, even if it was reset or answered by a plugin.
    fn on_log(&mut self) {
        let mut duration = Duration::ZERO;
        if let Some(started) = self.started {
            // The wall clock may go back; the log must not fail because of it.
            duration = self.get_current_time().duration_since(started).unwrap_or_default();
            count(hostcalls::increment_metric(self.metrics.active, -1));
        }
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let class = usize::from(self.status.unwrap_or(0) / 100);
        let class = self.metrics.responses.get(class).unwrap_or(&self.metrics.responses[0]);
        count(hostcalls::increment_metric(*class, 1));
        count(hostcalls::record_metric(self.metrics.duration, milliseconds));

        let status = self.status.map_or("-".to_owned(), |status| status.to_string());
        let (request, received, sent) = (&self.request, self.received, self.sent);
        let mut line = format!("{request} {status} {milliseconds}ms in={received} out={sent}");
        for property in &self.config.properties {
            // Not the method of Context, which panics if the host fails; hostcalls return an error.
            let value = hostcalls::get_property(property.split('.').collect()).ok().flatten();
            let value = value.map_or("-".to_owned(), |value| printable(&value));
            let _ = write!(line, " {property}={value}");
        }
        info!("{line}");
    }
}

/// Metrics are secondary: a failure is reported and the stream continues.
fn count(result: Result<(), Status>) {
    if let Err(status) = result {
        warn!("a metric was not recorded: {status:?}");
    }
}

/// The text without bytes that could forge a log line; those become hexadecimal.
fn printable(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}
