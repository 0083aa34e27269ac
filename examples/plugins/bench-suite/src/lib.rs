//! One plugin with several workloads, to measure the cost of a loader around them.
//!
//! The plugin configuration is the name of the workload:
//!
//! | configuration | on each request |
//! |---|---|
//! | `noop` or empty | nothing but the callbacks |
//! | `header` | 3 headers read, 2 added |
//! | `all-headers` | all headers read, of the request and of the response |
//! | `json` | the body parsed and serialized again |
//! | `sha256` | the digest of the body, as the response header `x-bench-result` |
//! | `regex` | the matches in the body counted, as the response header `x-bench-result` |
//!
//! Bodies are request bodies and are processed whole, before the response begins, so that the
//! result can be a response header on any host. The workloads themselves are in [`work`], without
//! any SDK type, for benches that run them directly.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

pub mod work;

use std::rc::Rc;

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use regex::bytes::Regex;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root { workload: Rc::new(Workload::Noop) }));
}}

enum Workload {
    Noop,
    Header,
    AllHeaders,
    Json,
    Sha256,
    Regex(Regex),
}

impl Workload {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "" | "noop" => Self::Noop,
            "header" => Self::Header,
            "all-headers" => Self::AllHeaders,
            "json" => Self::Json,
            "sha256" => Self::Sha256,
            "regex" => Self::Regex(work::pattern().map_err(|error| error.to_string())?),
            other => {
                return Err(format!("\"{other}\" is no workload: noop, header, all-headers, json, sha256, regex"));
            }
        })
    }

    fn needs_body(&self) -> bool {
        matches!(self, Self::Json | Self::Sha256 | Self::Regex(_))
    }
}

struct Root {
    workload: Rc<Workload>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let name = self.get_plugin_configuration().unwrap_or_default();
        match Workload::parse(String::from_utf8_lossy(&name).trim()) {
            Ok(workload) => self.workload = Rc::new(workload),
            Err(mistake) => {
                error!("{mistake}");
                return false;
            }
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { workload: self.workload.clone(), result: None }))
    }
}

struct Stream {
    workload: Rc<Workload>,
    /// For the response header.
    result: Option<String>,
}

/// The headers of the request, in the host.
struct RequestHeaders<'a>(&'a Stream);

impl work::Headers for RequestHeaders<'_> {
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get_http_request_header_bytes(name)
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.0.add_http_request_header_bytes(name, value);
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match &*self.workload {
            Workload::Header => work::header(&mut RequestHeaders(self)),
            Workload::AllHeaders => {
                let size = work::all_headers(&self.get_http_request_headers_bytes());
                self.result = Some(size.to_string());
            }
            // The new body may have another length.
            Workload::Json => self.remove_http_request_header("content-length"),
            Workload::Noop | Workload::Sha256 | Workload::Regex(_) => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !self.workload.needs_body() {
            return Action::Continue;
        }
        if !end_of_stream {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        match &*self.workload {
            Workload::Json => match work::json(&body) {
                Some(body) => self.set_http_request_body(0, size, &body),
                None => warn!("the body is not JSON"),
            },
            Workload::Sha256 => self.result = Some(work::sha256(&body)),
            Workload::Regex(pattern) => {
                self.result = Some(work::regex(pattern, &body).to_string());
            }
            Workload::Noop | Workload::Header | Workload::AllHeaders => {}
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if let Workload::AllHeaders = *self.workload {
            let size = work::all_headers(&self.get_http_response_headers_bytes());
            self.result = Some(format!("{} {size}", self.result.as_deref().unwrap_or("0")));
        }
        if let Some(result) = &self.result {
            self.add_http_response_header("x-bench-result", result);
        }
        Action::Continue
    }
}
