//! Limits the rate of requests per client with token buckets, shared by all workers of the proxy.
//!
//! A client is the value of a header, by default `x-api-key`; requests without it share one bucket.
//! A bucket holds `burst` tokens and gains `per_second` tokens each second. A request takes one,
//! and is answered with 429 and `retry-after` if the bucket is empty.
//!
//! Configuration, JSON, all optional:
//! `{"header": "x-api-key", "per_second": 10, "burst": 20, "buckets": 65536}`.
//!
//! A lesson about shared data: each worker runs a separate VM, so a counter in a variable would
//! count per worker. Shared data belongs to all VMs with one `vm_id`, and several may write at
//! once: read the value with its `cas` number, compute, write with that number, and start again if
//! another worker was faster.
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The number of attempts to write when other workers are faster.
const ATTEMPTS: usize = 16;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    header: String,
    per_second: f64,
    burst: u32,
    /// Shared data does not expire and clients choose the header, so clients are hashed into a
    /// fixed number of buckets. Two may share one, but none can fill the memory of the proxy.
    buckets: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: "x-api-key".to_owned(), per_second: 10.0, burst: 20, buckets: 65536 }
    }
}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let config: Result<Config, _> = match size {
            0 => Ok(Config::default()),
            _ => serde_json::from_slice(&self.get_plugin_configuration().unwrap_or_default()),
        };
        match config {
            Ok(config) if config.per_second <= 0.0 || config.burst == 0 || config.buckets == 0 => {
                error!("per_second, burst and buckets must be greater than 0");
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
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone() }))
    }
}

/// The stored form of a bucket: 16 bytes, little endian.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    /// The time at which `tokens` was valid, in nanoseconds since 1970.
    updated: u64,
}

impl Bucket {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tokens, updated) = bytes.split_first_chunk::<8>()?;
        let bucket =
            Self { tokens: f64::from_le_bytes(*tokens), updated: u64::from_le_bytes(updated.try_into().ok()?) };
        bucket.tokens.is_finite().then_some(bucket)
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.tokens.to_le_bytes(), self.updated.to_le_bytes()].concat()
    }

    /// The bucket at a later time. Workers may write in another order than they read the clock.
    fn refilled(self, now: u64, config: &Config) -> Self {
        let seconds = now.saturating_sub(self.updated) as f64 / 1e9;
        let tokens = (self.tokens + seconds * config.per_second).min(f64::from(config.burst));
        Self { tokens, updated: now.max(self.updated) }
    }
}

struct Stream {
    config: Rc<Config>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.take() {
            Ok(()) => Action::Continue,
            Err(seconds) => {
                info!("over the limit, retry after {seconds} s");
                let headers = vec![("retry-after", seconds.as_str())];
                self.send_http_response(429, headers, Some(b"Too Many Requests\n"));
                Action::Pause
            }
        }
    }
}

impl Stream {
    /// Takes a token, or returns the seconds until the next one.
    fn take(&self) -> Result<(), String> {
        let client = self.get_http_request_header_bytes(&self.config.header);
        let mut hasher = DefaultHasher::new(); // The same keys in each worker, as it must be.
        // Only the bytes: a tag or a length would be hashed as a word, of 4 bytes on wasm and 8
        // natively.
        hasher.write(client.as_deref().unwrap_or_default());
        let key = format!("rate-limit/{}", hasher.finish() % self.config.buckets);

        for _ in 0..ATTEMPTS {
            let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            let (stored, cas) = self.get_shared_data(&key);
            // Nothing stored yet, or foreign data: a full bucket.
            let full = Bucket { tokens: f64::from(self.config.burst), updated: now };
            let bucket = stored.as_deref().and_then(Bucket::from_bytes).unwrap_or(full);
            let mut bucket = bucket.refilled(now, &self.config);
            if bucket.tokens < 1.0 {
                let wait = (1.0 - bucket.tokens) / self.config.per_second;
                return Err((wait.ceil().max(1.0) as u64).to_string());
            }
            bucket.tokens -= 1.0;
            // Without a number (the first write to a key) this overwrites: workers that meet there
            // count one request too few, once in the lifetime of a bucket.
            if self.set_shared_data(&key, Some(&bucket.to_bytes()), cas).is_ok() {
                return Ok(());
            }
        }
        // A limiter that blocked under load would cause an outage itself.
        warn!("{key}: too much contention, request let through");
        Ok(())
    }
}
