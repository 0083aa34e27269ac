//! Cost of a request as a function of its headers and its body.

use std::time::Duration;

use dynvm::host::HeaderMap as _;
use dynvm_sim::{Exchange, Outcome, Request, Response, SimProxy};
use indicatif::ProgressBar;

use super::clock::Clock;
use super::forget;
use super::interleave::Turns;
use super::samples::{Pair, Stat};
use super::statistics::{Estimate, Line, line};
use super::traffic::TimedHost;
use crate::ab::Side;
use crate::scenario::{Scenario, Step};

const BLOCKS: u32 = 12;
const HEADERS: [usize; 3] = [5, 20, 100];
const BODIES: [usize; 5] = [0, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

/// Maximum size of a body chunk, as in proxies.
const CHUNK: usize = 16 << 10;

/// Results for one request.
pub struct Sweep {
    /// Title of the request.
    pub request: String,
    /// Results by number of headers.
    pub headers: Growth,
    /// Results by bytes of body.
    pub body: Growth,
}

/// Results along one axis.
pub struct Growth {
    pub points: Vec<Point>,
    /// Fitted lines in nanoseconds per header or byte: native, wasm.
    pub lines: [Option<Line>; 2],
}

/// Results for one size. Arrays are native, wasm.
pub struct Point {
    /// Number of headers, including pseudo-headers, or bytes.
    pub size: usize,
    /// Time of a stream's callbacks, in nanoseconds.
    pub times: [Option<Estimate>; 2],
    /// Native to wasm.
    pub ratio: Option<Estimate>,
    /// Difference between the results of both builds, if any.
    pub difference: Option<String>,
}

pub fn measure(
    sides: &[Side; 2],
    scenario: &Scenario,
    time: Duration,
    clock: &Clock,
    bar: &ProgressBar,
) -> anyhow::Result<Result<Sweep, String>> {
    let Some((title, request)) = chosen(&sides[0], scenario)? else {
        return Ok(Err("the scenario has no request".to_owned()));
    };
    let own = request.message.headers.len();
    let mut sizes: Vec<usize> = HEADERS.iter().map(|size| (*size).max(own)).collect();
    sizes.dedup();
    let each = time / (sizes.len() + BODIES.len()) as u32;
    let growth = |sizes: &[usize], grow: fn(&Request, usize) -> Request| -> anyhow::Result<Growth> {
        let point = |size: &usize| point(sides, scenario, *size, &grow(&request, *size), each, clock, bar);
        let points = sizes.iter().map(point).collect::<anyhow::Result<Vec<_>>>()?;
        let lines = [0, 1].map(|side| {
            let at = |point: &Point| point.times[side].map(|time| (point.size as f64, time.value));
            line(&points.iter().filter_map(at).collect::<Vec<_>>())
        });
        Ok(Growth { points, lines })
    };
    let headers = growth(&sizes, with_headers)?;
    let body = growth(&BODIES, with_body)?;
    Ok(Ok(Sweep { request: title, headers, body }))
}

/// The first request that reaches the upstream, because a rejected one says little; otherwise the
/// first request. Its upstream answers as in the scenario, or 200 without a body, so that only the
/// request grows.
fn chosen(side: &Side, scenario: &Scenario) -> anyhow::Result<Option<(String, Request)>> {
    let mut host = side.host(scenario)?;
    let mut first = None;
    for step in &scenario.steps {
        let Step::Request(step_request) = step else { continue };
        let mut request = step_request.request();
        let reached = host.send(request.clone())?.outcome == Outcome::Upstream;
        request.upstream.get_or_insert_with(|| Response::new(200));
        let this = (step.title(), request);
        if reached {
            return Ok(Some(this));
        }
        first.get_or_insert(this);
    }
    Ok(first)
}

/// The request with headers added up to `count`.
fn with_headers(request: &Request, count: usize) -> Request {
    let mut request = request.clone();
    for index in request.message.headers.len()..count {
        request = request.header(format!("x-sweep-{index}"), "abcdefghijklmnopqrstuvwx");
    }
    request
}

/// The request with a body of `size` bytes.
fn with_body(request: &Request, size: usize) -> Request {
    let mut request = request.clone();
    let body = filled(&request.message.body(), size);
    if request.message.headers.get(b"content-length").is_some() {
        request.message.headers.replace(b"content-length", size.to_string().as_bytes());
    }
    request.message.chunks = body.chunks(CHUNK).map(<[u8]>::to_vec).collect();
    request
}

/// A body of `size` bytes derived from another: a JSON object gets a member with a list of such
/// objects; anything else is repeated.
fn filled(body: &[u8], size: usize) -> Vec<u8> {
    let repeated = |body: &[u8]| body.iter().copied().cycle().take(size).collect::<Vec<u8>>();
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(object)) if size >= 2 * body.len() + 32 => {
            let mut text = body.trim_ascii_end().strip_suffix(b"}").unwrap_or(body).to_vec();
            text.extend_from_slice(if object.is_empty() { b"\"sweep\":[" } else { b",\"sweep\":[" });
            let item = [body, b","].concat();
            while text.len() + item.len() + b"{}]}".len() <= size {
                text.extend_from_slice(&item);
            }
            text.extend_from_slice(b"{}]");
            text.resize(size - 1, b' ');
            text.push(b'}');
            text
        }
        _ if body.is_empty() => repeated(b"the quick brown fox jumps over the lazy dog\n"),
        _ => repeated(body),
    }
}

fn point(
    sides: &[Side; 2],
    scenario: &Scenario,
    size: usize,
    request: &Request,
    time: Duration,
    clock: &Clock,
    bar: &ProgressBar,
) -> anyhow::Result<Point> {
    let mut hosts = [TimedHost::start(&sides[0], scenario)?, TimedHost::start(&sides[1], scenario)?];
    let seen = [hosts[0].host.send(request.clone())?, hosts[1].host.send(request.clone())?];
    let difference = difference(&seen, &mut hosts.each_mut().map(|timed| &mut timed.host));
    for timed in &hosts {
        forget(&timed.host);
        timed.take_total(clock);
    }
    if hosts.iter_mut().any(|timed| timed.host.failure().is_some()) {
        return Ok(Point { size, times: [None; 2], ratio: None, difference });
    }
    let mut pair = Pair::new(clock)?;
    let shared = std::cell::RefCell::new(&mut pair);
    Turns { time, blocks: BLOCKS, bar }.take(
        2,
        &mut |side| {
            let timed = &mut hosts[side];
            timed.rewind();
            timed.host.send(request.clone())?;
            shared.borrow_mut().sides[side].record(timed.take_total(clock));
            forget(&timed.host);
            Ok(())
        },
        &mut || shared.borrow_mut().end_block(),
    )?;
    let times = pair.sides.each_ref().map(|side| side.estimate(Stat::P50));
    Ok(Point { size, times, ratio: pair.ratio(Stat::P50), difference })
}

/// Short description of the difference between two exchanges.
fn difference(seen: &[Exchange; 2], hosts: &mut [&mut SimProxy; 2]) -> Option<String> {
    let failures = hosts.each_mut().map(|host| host.failure().map(|failure| failure.message));
    match &failures {
        [Some(native), None] => return Some(format!("the native VM failed: {native}")),
        [None, Some(wasm)] => return Some(format!("the wasm VM failed: {wasm}")),
        [Some(native), Some(_)] => return Some(format!("both VMs failed: {native}")),
        [None, None] => {}
    }
    let [native, wasm] = seen;
    if native.outcome != wasm.outcome {
        Some(format!("the outcome: {:?} natively, {:?} in wasm", native.outcome, wasm.outcome))
    } else if native.response != wasm.response {
        Some("the response".to_owned())
    } else if native.upstream_request != wasm.upstream_request {
        Some("the request as it reached the upstream".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_added_to_the_number() {
        let request = with_headers(&Request::get("/").header("x-own", "1"), 20);
        assert_eq!(request.message.headers.len(), 20);
        assert_eq!(request.message.headers.get(b"x-own"), Some(&b"1"[..]));
        assert_eq!(with_headers(&request, 5).message.headers.len(), 20, "no header is removed");
    }

    #[test]
    fn bodies_have_the_size_and_stay_json() {
        let json = br#"{"user":"alice","password":"hunter2"}"#;
        for size in BODIES {
            let request = with_body(&Request::post("/", &json[..]).header("content-length", "37"), size);
            assert_eq!(request.message.body().len(), size);
            assert_eq!(request.message.headers.get(b"content-length"), Some(size.to_string().as_bytes()));
            assert!(request.message.chunks.iter().all(|chunk| chunk.len() <= CHUNK));
            if size > 0 {
                let value: serde_json::Value = serde_json::from_slice(&request.message.body()).unwrap();
                assert_eq!(value["user"], "alice");
                assert!(value["sweep"].as_array().unwrap().iter().any(|item| item["password"] == "hunter2"));
            }
        }
        assert!(serde_json::from_slice::<serde_json::Value>(&filled(b"{}", 1024)).is_ok());
        assert_eq!(filled(b"ab", 5), b"ababa");
        assert_eq!(filled(b"", 1024).len(), 1024);
    }
}
