//! The scenario's requests as messages, and a client that sends them.

use std::io::{self, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use dynvm::host::{HeaderMap as _, Headers};
use dynvm_sim::Request;

use super::http1::{self, Message};
use super::upstream::status_line;
use crate::scenario::{Scenario, Step};

/// Time for one request, after which it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest pause that is waited for. A proxy's clock cannot be moved.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A step of the traffic.
pub enum Sent {
    /// A request, and the upstream's answer. None: its body.
    Request { title: String, request: Message, answer: Option<Message> },
    /// Time passes.
    Pause { title: String, time: Duration },
}

impl Sent {
    pub fn title(&self) -> &str {
        match self {
            Sent::Request { title, .. } | Sent::Pause { title, .. } => title,
        }
    }
}

/// The traffic of a scenario, and titles of the steps that cannot be sent through a proxy.
pub fn of_scenario(scenario: &Scenario) -> (Vec<Sent>, Vec<String>) {
    let (mut sent, mut skipped) = (Vec::new(), Vec::new());
    for step in &scenario.steps {
        let title = step.title();
        match step {
            Step::Request(step) if is_http1(&step.request()) => {
                let request = step.request();
                let message = request.message;
                let answer = request.upstream.map(|upstream| {
                    response(&upstream.message.headers, &upstream.message.chunks.concat(), &upstream.message.trailers)
                });
                let request = of_request(&message.headers, message.chunks.concat(), &message.trailers);
                sent.push(Sent::Request { title, request, answer });
            }
            Step::Tick(milliseconds) if Duration::from_millis(*milliseconds) <= LONGEST_PAUSE => {
                sent.push(Sent::Pause { title, time: Duration::from_millis(*milliseconds) });
            }
            Step::Request(_) | Step::Tick(_) | Step::Connection(_) | Step::Interleaved(_) => skipped.push(title),
        }
    }
    (sent, skipped)
}

/// Whether a request and its answer can be carried by HTTP/1.1, and end where they say.
fn is_http1(request: &Request) -> bool {
    let answer = request.upstream.as_ref();
    let status =
        answer.and_then(|answer| std::str::from_utf8(answer.message.headers.get(b":status")?).ok()?.parse().ok());
    let has_body = answer.is_some_and(|answer| answer.message.chunks.iter().any(|chunk| !chunk.is_empty()));
    let is_status = match status.unwrap_or(200) {
        204 | 304 => !has_body,
        status => (200..600).contains(&status),
    };
    let of = |name: &[u8]| request.message.headers.get(name).unwrap_or_default();
    is_status
        && of(b":method").iter().all(u8::is_ascii_uppercase)
        && of(b":path").starts_with(b"/")
        && of(b":path").iter().chain(of(b":authority")).all(u8::is_ascii_graphic)
        && is_message(&request.message)
        && answer.is_none_or(|answer| is_message(&answer.message))
}

fn is_message(message: &dynvm_sim::Message) -> bool {
    // Their meaning is for one connection.
    const FRAMING: [&[u8]; 8] =
        [b"host", b"connection", b"transfer-encoding", b"upgrade", b"te", b"expect", b"keep-alive", b"trailer"];
    let is_name = |name: &[u8]| {
        let name = name.strip_prefix(b":").unwrap_or(name);
        !name.is_empty() && name.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
    };
    let is_line = |(name, value): (&[u8], &[u8])| {
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        let length = message.chunks.iter().map(Vec::len).sum::<usize>().to_string();
        is_name(name)
            && !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
            && value.iter().all(|c| *c >= b' ' && *c != 0x7f)
            && value.trim_ascii() == value
            && (!is_length || value == length.as_bytes() && message.trailers.iter().next().is_none())
    };
    message.headers.iter().all(is_line) && message.trailers.iter().all(is_line)
}

fn of_request(headers: &Headers, body: Vec<u8>, trailers: &Headers) -> Message {
    let text = |name: &[u8], default: &str| {
        headers.get(name).map_or_else(|| default.to_owned(), |value| String::from_utf8_lossy(value).into_owned())
    };
    let start = format!("{} {} HTTP/1.1", text(b":method", "GET"), text(b":path", "/"));
    let host = ("host".to_owned(), text(b":authority", "example.com").into_bytes());
    let headers = [host].into_iter().chain(plain(headers)).collect();
    Message { start, headers, body, trailers: plain(trailers).collect() }
}

/// A response from its headers, `:status` among them.
pub fn response(headers: &Headers, body: &[u8], trailers: &Headers) -> Message {
    let status = headers.get(b":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    let start = status_line(status.unwrap_or(200));
    Message { start, headers: plain(headers).collect(), body: body.to_vec(), trailers: plain(trailers).collect() }
}

/// The headers that are not pseudo-headers.
fn plain(headers: &Headers) -> impl Iterator<Item = (String, Vec<u8>)> {
    let plain = headers.iter().filter(|(name, _)| !name.starts_with(b":"));
    plain.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

/// A client with one connection, which it opens again when it has ended.
pub struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(port: u16) -> Client {
        Client { port, connection: None }
    }

    /// Sends a request, as bytes, and reads the response.
    pub fn send(&mut self, request: &[u8]) -> io::Result<Message> {
        // A kept connection may have ended meanwhile; a new one has not.
        if self.connection.is_some()
            && let Ok(response) = self.exchange(request)
        {
            return Ok(response);
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        self.connection = Some(BufReader::new(stream));
        self.exchange(request)
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Message> {
        let Some(mut connection) = self.connection.take() else { return Err(io::ErrorKind::NotConnected.into()) };
        http1::send(connection.get_ref(), request)?;
        let response = Message::read_response(&mut connection, request.starts_with(b"HEAD "))?;
        let is_kept = !response.closes()
            && (response.header("content-length").is_some()
                || response.header("transfer-encoding").is_some()
                || response.body.is_empty());
        if is_kept {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::trial::upstream::Upstream;

    #[test]
    fn a_scenario_is_sent_and_answered() {
        let scenario = Scenario::parse(
            r#"{"steps": [
                {"request": {"method": "POST", "path": "/a", "headers": [["x", "1"]], "body": ["b", "c"]}},
                {"request": {"path": "/d", "response": {"status": 404, "body": "no", "trailers": [["t", "2"]]}}},
                {"tick": 5}, {"tick": 3600000}, {"connection": {}},
                {"request": {"headers": [["content-length", "7"]]}}, {"request": {"headers": [["a", "b\r\nc: d"]]}}
            ]}"#,
        );
        let (traffic, skipped) = of_scenario(&scenario.unwrap());
        assert_eq!((traffic.len(), skipped.len()), (3, 4));
        let upstream = Upstream::start().unwrap();
        upstream.record(true);
        let mut client = Client::new(upstream.port);
        let mut responses = Vec::new();
        for step in &traffic {
            if let Sent::Request { request, answer, .. } = step {
                upstream.answer(answer.clone());
                responses.push(client.send(&request.bytes(false)).unwrap());
            }
        }
        assert_eq!((responses[0].start.as_str(), responses[0].body.as_slice()), ("200", &b"bc"[..]));
        assert_eq!((responses[1].start.as_str(), responses[1].trailers.len()), ("404", 1));
        let seen = upstream.take();
        assert_eq!((seen[0].start.as_str(), seen[0].header("x")), ("POST /a", Some(&b"1"[..])));
        assert_eq!(seen.len(), 2);
    }
}
