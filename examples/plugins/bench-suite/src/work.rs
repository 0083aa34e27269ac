//! The workloads, over plain data: no SDK, no ABI.
//!
//! The plugin runs them behind the ABI. A bench may include this file as a module and run the same
//! code directly, as a lower bound for every loader.

use regex::bytes::Regex;
use sha2::{Digest, Sha256};

/// Headers, as [`header`] needs them: the plugin reads and writes those of the host.
pub trait Headers {
    /// The first value of a header.
    fn get(&self, name: &str) -> Option<Vec<u8>>;
    /// Adds a header.
    fn add(&mut self, name: &str, value: &[u8]);
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.push((name.to_owned(), value.to_owned()));
    }
}

/// Plain header work: 3 reads, 2 adds.
pub fn header(headers: &mut impl Headers) {
    let method = headers.get(":method").unwrap_or_default();
    let path = headers.get(":path").unwrap_or_default();
    let agent = headers.get("user-agent").unwrap_or_default();
    headers.add("x-bench-request", &[method, path].concat());
    headers.add("x-bench-agent", &agent);
}

/// Reads all headers, and returns the number of bytes in names and values.
pub fn all_headers(headers: &[(String, Vec<u8>)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Parses JSON and serializes it again; `None` if it is not JSON.
pub fn json(body: &[u8]) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    serde_json::to_vec(&value).ok()
}

/// The SHA-256 digest in hexadecimal.
pub fn sha256(body: &[u8]) -> String {
    use std::fmt::Write;

    Sha256::digest(body).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The pattern of [`regex`](fn@regex), as in a masking filter: e-mail addresses and IPv4 addresses.
pub const PATTERN: &str = r"(?-u)[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}|\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b";

/// The compiled [`PATTERN`]; compiled once, at configuration.
pub fn pattern() -> Result<Regex, regex::Error> {
    Regex::new(PATTERN)
}

/// The number of matches.
pub fn regex(pattern: &Regex, body: &[u8]) -> usize {
    pattern.find_iter(body).count()
}
