//! Guards a TCP port: closes connections whose first bytes match a forbidden prefix.
//!
//! Everything else passes unchanged. When a connection ends, a line with the bytes of both
//! directions goes to the log.
//!
//! Configuration, JSON: `{"reject": ["SSH-", "GET "]}`, prefixes as text; `\u0000` and the like
//! stand for single bytes up to 127.
//!
//! A prefix may arrive in pieces, so the first bytes are collected until the decision. They are not
//! held back meanwhile, because a client that waits for a greeting would hang: of a forbidden
//! prefix in pieces, all but the last piece reach the upstream.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, PeerType};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    reject: Vec<String>,
}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        if size == 0 {
            return true;
        }
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice::<Config>(&bytes) {
            Ok(config) if config.reject.iter().any(String::is_empty) => {
                error!("an empty prefix would reject every connection");
                false
            }
            Ok(config) => {
                self.config = Rc::new(config);
                true
            }
            Err(error) => {
                error!("the configuration is not valid: {error}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, _context_id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Connection {
            config: self.config.clone(),
            beginning: Vec::new(),
            verdict: Verdict::Open,
            received: 0,
            sent: 0,
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// More bytes are needed.
    Open,
    Passed,
    Rejected,
}

struct Connection {
    config: Rc<Config>,
    /// The first bytes from downstream, up to the length of the longest prefix.
    beginning: Vec<u8>,
    verdict: Verdict,
    received: usize,
    sent: usize,
}

impl Connection {
    /// Checks the first bytes after `size` more have arrived.
    fn examine(&mut self, size: usize) -> Verdict {
        let longest = self.config.reject.iter().map(String::len).max().unwrap_or(0);
        let wanted = size.min(longest - self.beginning.len());
        self.beginning.extend(self.get_downstream_data(0, wanted).unwrap_or_default());
        let mut prefixes = self.config.reject.iter().map(String::as_bytes);
        if prefixes.clone().any(|prefix| self.beginning.starts_with(prefix)) {
            Verdict::Rejected
        } else if prefixes.any(|prefix| prefix.starts_with(&self.beginning)) {
            Verdict::Open
        } else {
            Verdict::Passed
        }
    }
}

impl Context for Connection {}

impl StreamContext for Connection {
    fn on_downstream_data(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.received += size;
        if self.verdict == Verdict::Open {
            self.verdict = self.examine(size);
            if self.verdict == Verdict::Rejected {
                let address = self.get_property(vec!["source", "address"]).unwrap_or_default();
                warn!("connection from {} rejected", String::from_utf8_lossy(&address));
                self.close_downstream();
            }
        }
        // Closing takes effect after this callback; pausing keeps these bytes from the upstream.
        if self.verdict == Verdict::Rejected { Action::Pause } else { Action::Continue }
    }

    fn on_upstream_data(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.sent += size;
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: PeerType) {
        info!("downstream closed by {peer:?}");
    }

    fn on_log(&mut self) {
        let outcome = if self.verdict == Verdict::Rejected { "rejected" } else { "passed" };
        info!("connection {outcome}: {} bytes in, {} bytes out", self.received, self.sent);
    }
}
