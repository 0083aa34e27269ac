//! The dictionary of a plugin: words from its scenario, its configuration and its binary, plus those of common traffic.

use std::collections::BTreeMap;

use crate::generate::harvest;
use crate::scenario::{Body, Bytes, Event, Lines, Scenario, Step};

/// A dictionary for generating traffic.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub(super) methods: Vec<Bytes>,
    pub(super) paths: Vec<Bytes>,
    pub(super) authorities: Vec<Bytes>,
    /// Header names with their observed values.
    pub(super) headers: Vec<(Bytes, Vec<Bytes>)>,
    pub(super) bodies: Vec<Bytes>,
    pub(super) statuses: Vec<u32>,
    /// Chunks of connections.
    pub(super) chunks: Vec<Bytes>,
    /// Strings of the configuration and the binary.
    pub(super) words: Vec<Bytes>,
    /// Possible upstreams of calls.
    pub(super) upstreams: Vec<String>,
    /// Whether the scenario has connections.
    pub(super) connections: bool,
    pub(super) requests: bool,
}

/// Headers of common traffic, with values.
const COMMON: &[(&str, &[&str])] = &[
    ("accept", &["*/*", "text/html", "application/json;q=0.9, */*;q=0.1"]),
    ("accept-encoding", &["gzip, br", "identity"]),
    ("authorization", &["Bearer x", "Basic YTpi", "Bearer ", "bearer"]),
    ("cache-control", &["no-cache", "max-age=0"]),
    ("content-length", &["0", "5", "-1", "18446744073709551616"]),
    (
        "content-type",
        &["application/json", "text/plain; charset=utf-8", "application/grpc", "application/problem+json"],
    ),
    ("cookie", &["a=b; c=d", "session=", "=;=;"]),
    ("forwarded", &["for=10.0.0.1;proto=https"]),
    ("grpc-status", &["0", "13"]),
    ("host", &["example.com", "[::1]:80"]),
    ("origin", &["https://example.com", "null"]),
    ("referer", &["https://example.com/a?b=c"]),
    ("te", &["trailers"]),
    ("traceparent", &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
    ("user-agent", &["curl/8.5.0", "Mozilla/5.0"]),
    ("x-forwarded-for", &["10.0.0.1", "10.0.0.1, 192.168.0.1", "::1"]),
    ("x-forwarded-proto", &["https", "http"]),
    ("x-request-id", &["6b1f4f0e-0000-4000-8000-000000000001", ""]),
];

impl Vocabulary {
    /// Collects words from a scenario and from the plugin's wasm module.
    pub fn of(scenario: &Scenario, module: &[u8]) -> Vocabulary {
        let mut words = Vocabulary::default();
        let mut headers = BTreeMap::new();
        for step in &scenario.steps {
            words.learn(step, &mut headers);
        }
        for call in &scenario.http_calls {
            words.statuses.extend(call.status);
            words.upstreams.push(call.upstream.clone());
            lines(&call.headers, &mut headers);
            words.learn_body(&call.body);
        }
        words.upstreams.extend(scenario.grpc_calls.iter().map(|call| call.upstream.clone()));
        strings(&scenario.plugin.configuration.0, &mut words.words);
        strings(&scenario.plugin.vm_configuration.0, &mut words.words);
        words.words.extend(harvest::words(module).into_iter().map(Bytes::from));
        for word in &words.words {
            match std::str::from_utf8(word) {
                Ok(text) if harvest::is_header_name(text) => drop(headers.entry(text.to_owned()).or_default()),
                Ok(text) if text.starts_with('/') => words.paths.push(word.clone()),
                Ok(text) if text.len() < 8 && text.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                    words.methods.push(word.clone());
                }
                _ => {}
            }
        }
        words.headers = headers.into_iter().map(|(name, values)| (Bytes::from(name), values)).collect();
        words.upstreams.extend(upstream_words(&words.words));
        words.upstreams.sort();
        words.upstreams.dedup();
        words
    }

    fn learn(&mut self, step: &Step, headers: &mut BTreeMap<String, Vec<Bytes>>) {
        match step {
            Step::Request(request) => {
                self.requests = true;
                self.methods.extend(request.method.clone());
                self.paths.extend(request.path.clone());
                self.authorities.extend(request.authority.clone());
                lines(&request.headers, headers);
                lines(&request.trailers, headers);
                self.learn_body(&request.body);
                if let Some(response) = &request.response {
                    self.statuses.extend(response.status);
                    lines(&response.headers, headers);
                    lines(&response.trailers, headers);
                    self.learn_body(&response.body);
                }
            }
            Step::Connection(connection) => {
                self.connections = true;
                self.chunks.extend(connection.downstream.iter().chain(&connection.upstream).cloned());
            }
            Step::Interleaved(events) => {
                self.requests = true;
                for event in events {
                    match event {
                        Event::Headers { headers: of, .. } | Event::Trailers { trailers: of, .. } => lines(of, headers),
                        Event::Body { chunk, .. } => self.bodies.push(chunk.clone()),
                        _ => {}
                    }
                }
            }
            Step::Tick(_) => {}
        }
    }

    fn learn_body(&mut self, body: &Body) {
        let whole = body.chunks().concat();
        if !whole.is_empty() {
            self.bodies.push(Bytes(whole));
        }
    }

    /// A common header, whose name the plugin may know too.
    pub(super) fn common(index: usize) -> (&'static str, &'static [&'static str]) {
        COMMON[index % COMMON.len()]
    }

    pub(super) const COMMON_HEADERS: usize = COMMON.len();
}

fn lines(lines: &Lines, headers: &mut BTreeMap<String, Vec<Bytes>>) {
    for (name, value) in &lines.0 {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        match name {
            ":method" | ":path" | ":authority" | ":scheme" | ":status" => {}
            _ => {
                let values = headers.entry(name.to_owned()).or_default();
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
        }
    }
}

/// Collects the strings of a configuration, including member names.
fn strings(value: &serde_json::Value, words: &mut Vec<Bytes>) {
    match value {
        serde_json::Value::String(text) => words.push(Bytes::from(text.as_str())),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, words)),
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                words.push(Bytes::from(name.as_str()));
                strings(value, words);
            }
        }
        _ => {}
    }
}

/// Words that could name an upstream. Only a few, because each gets answers.
fn upstream_words(words: &[Bytes]) -> Vec<String> {
    let named = words.iter().filter_map(|word| std::str::from_utf8(word).ok());
    let likely = named.filter(|word| {
        word.len() <= 60
            && ["cluster", "upstream", "service", "backend", "authz"].iter().any(|part| word.contains(part))
    });
    likely.take(8).map(str::to_owned).collect()
}
