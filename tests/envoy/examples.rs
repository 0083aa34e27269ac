//! Every example plugin for HTTP does the same by V8, natively, and as wasm in the module.

use std::path::Path;

use serde_json::{Value, json};

use crate::envoy::{Envoy, Setup, backends, filter, plugin, programs};
use crate::plugins::artifact;
use crate::traffic::{Message, Upstream, send};

/// The examples, but for the one about TCP, and the one whose totals depend on time.
const EXAMPLES: [&str; 6] =
    ["access-log", "body-transform", "header-rewrite", "http-callout", "jwt-auth", "rate-limit"];

fn scenario(example: &str) -> Value {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins").join(example);
    serde_json::from_str(&std::fs::read_to_string(dir.join("scenario.json")).unwrap()).unwrap()
}

fn pairs(headers: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    headers.as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn body(body: &Value) -> Vec<String> {
    match body {
        Value::String(text) => vec![text.clone()],
        Value::Array(pieces) => pieces.iter().map(|piece| piece.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// A message without what differs from request to request.
fn normal(message: &Message) -> Vec<String> {
    let mut lines: Vec<String> = message
        .headers
        .iter()
        .filter(|(name, _)| {
            !["date", "x-request-id", "x-envoy-upstream-service-time", "retry-after"].contains(&name.as_str())
        })
        // Calls of modules bear the address of the proxy, which Envoy's wasm filter has left out.
        .filter(|(name, _)| !["x-forwarded-for", "x-envoy-internal"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    [vec![message.start.clone()], lines, vec![message.text()]].concat()
}

/// A message of a log without times and ports.
fn normal_log(message: &str) -> String {
    let word = |word: &str| -> String {
        if word.ends_with("ms") && word.trim_end_matches("ms").chars().all(|c| c.is_ascii_digit()) {
            return "TIME".to_owned();
        }
        match word.split_once("127.0.0.1:") {
            Some((before, _)) => format!("{before}ADDRESS"),
            None => word.to_owned(),
        }
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Sends the requests of a scenario. Returns what clients, upstream, and log saw.
fn run(
    envoy: &mut Envoy,
    name: &str,
    scenario: &Value,
    upstream: &Upstream,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut answers, mut forwarded) = (Vec::new(), Vec::new());
    upstream.take();
    let at_start = envoy.messages(name).len();
    for step in scenario["steps"].as_array().unwrap() {
        let request = &step["request"];
        if request.is_null() {
            continue;
        }
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let path = text("path");
        let response = &request["response"];
        if !response.is_null() {
            let status = u16::try_from(response["status"].as_u64().unwrap_or(200)).unwrap();
            upstream.answer(&path, (status, pairs(&response["headers"]), body(&response["body"]).concat()));
        }
        let headers = [pairs(&request["headers"]), vec![("host".to_owned(), text("authority"))]].concat();
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| name != "content-length")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = body(&request["body"]);
        let pieces: Vec<&str> = body.iter().map(String::as_str).collect();
        let answer = send(envoy.port(name), &text("method"), &path, &headers, &pieces);
        answers.push(format!("{path}: {:#?}", normal(&answer)));
        forwarded.extend(upstream.take().iter().map(|request| format!("{:#?}", normal(request))));
    }
    // Streams are logged after the answer has gone out.
    let mut messages = Vec::new();
    let mut settled = 0;
    envoy.wait("is quiet", |envoy| {
        let now: Vec<String> = envoy.messages(name)[at_start..].to_vec();
        settled = if now == messages { settled + 1 } else { 0 };
        messages = now;
        settled >= 5
    });
    (answers, forwarded, messages.iter().map(|message| normal_log(message)).collect())
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn each_example_does_the_same_by_v8_natively_and_as_wasm() {
    for program in programs() {
        let upstream = Upstream::start();
        let mut setup = Setup::new().cluster("upstream", upstream.port).cluster("authz", upstream.port);
        for example in EXAMPLES {
            for by in backends(&program) {
                let name = format!("{example}-{}", by.name());
                let scenario = scenario(example);
                let configuration = match &scenario["plugin"]["configuration"] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    object => object.to_string(),
                };
                let block = plugin(&name, &artifact(example, by), &configuration, &json!({}));
                setup = setup.listener(&name, vec![filter(by, &name, &block)]);
            }
        }
        let mut envoy = Envoy::start(&program, &setup);
        for example in EXAMPLES {
            let scenario = scenario(example);
            let mut seen: Vec<_> = Vec::new();
            for by in envoy.backends.clone() {
                seen.push((by, run(&mut envoy, &format!("{example}-{}", by.name()), &scenario, &upstream)));
            }
            let (of, first) = &seen[0];
            for (by, seen) in &seen {
                for (what, expected, seen) in [
                    ("answers", &first.0, &seen.0),
                    ("requests to upstreams", &first.1, &seen.1),
                    ("messages", &first.2, &seen.2),
                ] {
                    assert_eq!(expected, seen, "{what} of {example} by {of:?} and {by:?} in {}", program.display());
                }
            }
            assert!(!first.0.is_empty(), "{example} has requests");
        }
    }
}
