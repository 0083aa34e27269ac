//! Streams report their results through a shared queue; the root context sums them up on a timer.
//!
//! A stream must be quick, and each worker sees only its own streams. A stream therefore puts a
//! short record (`GET /items 200`) into a queue, and one root context, the last one to register the
//! queue, takes the records out and logs totals per status when its timer fires.
//!
//! Configuration, text: the period of the timer in milliseconds; empty: 5000.
//!
//! Lessons about queues and timers:
//!
//! - `on_queue_ready` runs after the callback that added a record, not inside it, and may find the
//!   queue empty if an earlier notice took the record. It takes all records.
//! - A root context has one timer. It fires again until the period is set to zero.
//! - A queue of another plugin is found by `resolve_shared_queue(vm_id, name)`; this example uses
//!   one plugin.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::collections::BTreeMap;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

const QUEUE: &str = "queue-tick/records";

#[derive(Default)]
struct Root {
    queue: u32,
    /// Number of records per status, since the last tick.
    totals: BTreeMap<String, u64>,
    ticks: u64,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // 0 would stop the timer, and the ABI has 32 bits for the period.
        let period = match text.trim() {
            "" => 5000,
            text => match text.parse::<u32>() {
                Ok(period) if period > 0 => period,
                _ => {
                    error!("\"{text}\" is not a period in milliseconds");
                    return false;
                }
            },
        };
        self.queue = self.register_shared_queue(QUEUE);
        self.set_tick_period(Duration::from_millis(u64::from(period)));
        info!("queue registered, totals every {period} ms");
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        loop {
            match self.dequeue_shared_queue(queue) {
                Ok(Some(record)) => {
                    let record = String::from_utf8_lossy(&record);
                    let status = record.rsplit(' ').next().unwrap_or_default();
                    *self.totals.entry(status.to_owned()).or_default() += 1;
                }
                Ok(None) => break,
                Err(status) => {
                    warn!("the queue cannot be read: {status:?}");
                    break;
                }
            }
        }
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        let totals = std::mem::take(&mut self.totals);
        let count: u64 = totals.values().sum();
        let parts: String = totals.iter().map(|(key, count)| format!(", {key}: {count}")).collect();
        info!("tick {}: {count} requests{parts}", self.ticks);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { queue: self.queue, request: String::new() }))
    }
}

struct Stream {
    queue: u32,
    /// Method and path.
    request: String,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let part = |name| self.get_http_request_header_bytes(name).unwrap_or_default();
        self.request =
            [part(":method"), part(":path")].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join(" ");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let status = self.get_http_response_header_bytes(":status").unwrap_or_default();
        let record = format!("{} {}", self.request, String::from_utf8_lossy(&status));
        // A full or missing queue must not disturb the response.
        if let Err(status) = self.enqueue_shared_queue(self.queue, Some(record.as_bytes())) {
            warn!("\"{record}\" was not recorded: {status:?}");
        }
        Action::Continue
    }
}
