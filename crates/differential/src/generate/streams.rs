//! Generates requests, connections, and interleaved streams.

use super::dictionary::Vocabulary;
use super::random::Random;
use super::values::{damaged, pieces};
use crate::scenario::{Bytes, ConnectionStep, Event, HttpCall, Lines, RequestStep, ResponseStep, Step, Way};

/// Maximum number of interleaved streams.
const SIDE_BY_SIDE: usize = 5;

impl Vocabulary {
    /// The next step, with at most `most` streams.
    pub(super) fn step(&self, random: &mut Random, most: usize) -> Step {
        if random.percent(12) {
            return Step::Tick(pause(random));
        }
        let connection = match (self.connections, self.requests) {
            (true, false) => true,
            (true, true) => random.percent(50),
            _ => false,
        };
        if connection {
            Step::Connection(self.connection(random))
        } else if most > 1 && random.percent(8) {
            let count = 2 + random.below(SIDE_BY_SIDE.min(most) - 1);
            Step::Interleaved(self.interleaved(random, count))
        } else if random.percent(4) {
            Step::Interleaved(self.interleaved(random, 1))
        } else {
            Step::Request(Box::new(self.request(random)))
        }
    }

    fn request(&self, random: &mut Random) -> RequestStep {
        RequestStep {
            method: Some(self.method(random)),
            path: Some(self.path(random)),
            authority: random.percent(60).then(|| self.authority(random)),
            headers: self.lines(random, 8),
            body: self.body(random, 50),
            trailers: if random.percent(8) { self.lines(random, 3) } else { Lines::default() },
            response: random.percent(70).then(|| self.response(random)),
        }
    }

    fn response(&self, random: &mut Random) -> ResponseStep {
        ResponseStep {
            status: Some(self.status(random)),
            headers: self.lines(random, 5),
            body: self.body(random, 40),
            trailers: if random.percent(8) { self.lines(random, 3) } else { Lines::default() },
        }
    }

    fn connection(&self, random: &mut Random) -> ConnectionStep {
        let side = |random: &mut Random| {
            let mut chunks = Vec::new();
            for _ in 0..random.below(4) {
                let known = random.pick(&self.chunks).cloned().unwrap_or_else(|| Bytes::from("PING\r\n"));
                let bytes = if random.percent(60) { known } else { damaged(random, known) };
                chunks.extend(pieces(random, &bytes));
            }
            chunks
        };
        ConnectionStep { downstream: side(random), upstream: side(random) }
    }

    /// Interleaves streams: arbitrary order between them, in order within each direction.
    fn interleaved(&self, random: &mut Random, count: usize) -> Vec<Event> {
        let mut queues: Vec<Vec<Event>> =
            (1..=count as u32).map(|stream| self.pieces_of_stream(random, stream)).collect();
        let mut events = Vec::new();
        while let Some(index) = (!queues.is_empty()).then(|| random.below(queues.len())) {
            if random.percent(8) {
                events.push(Event::Tick(pause(random)));
            }
            match queues[index].pop() {
                Some(event) => events.push(event),
                None => drop(queues.swap_remove(index)),
            }
        }
        events
    }

    /// The events of one stream, in reverse order.
    fn pieces_of_stream(&self, random: &mut Random, stream: u32) -> Vec<Event> {
        let request = self.request(random);
        let mut headers = Lines::default();
        for (name, value) in [(":method", request.method), (":path", request.path), (":authority", request.authority)] {
            if let Some(value) = value {
                headers.push(name, value);
            }
        }
        headers.0.extend(request.headers.0);
        let request = half(stream, Way::Request, headers, request.body.chunks(), request.trailers);
        let response = request_response(self.response(random), stream);
        let mut events = vec![Event::Open { stream }];
        if random.percent(15) {
            // An upstream that answers before it has received the whole request.
            let early = 1 + random.below(request.len());
            let mut rest = request;
            let late = rest.split_off(early);
            events.extend(rest);
            events.extend(merged(random, late, response));
        } else {
            events.extend(request);
            events.extend(response);
        }
        if random.percent(20) {
            // A reset.
            events.truncate(1 + random.below(events.len()));
        }
        events.push(Event::Close { stream });
        events.reverse();
        events
    }

    /// An answer to calls to an upstream.
    pub(super) fn answer(&self, random: &mut Random, upstream: &str) -> HttpCall {
        HttpCall {
            upstream: upstream.to_owned(),
            status: Some(self.status(random)),
            headers: self.lines(random, 4),
            body: self.body(random, 40),
            trailers: if random.percent(8) { self.lines(random, 2) } else { Lines::default() },
            fail: random.percent(12),
            delay_ms: random.one([0, 0, 0, 1, 20, 100, 499, 500, 2_000, 60_000]),
        }
    }
}

fn request_response(response: ResponseStep, stream: u32) -> Vec<Event> {
    let mut headers = Lines::default();
    headers.push(":status", response.status.unwrap_or(200).to_string());
    headers.0.extend(response.headers.0);
    half(stream, Way::Response, headers, response.body.chunks(), response.trailers)
}

fn half(stream: u32, direction: Way, headers: Lines, chunks: Vec<Vec<u8>>, trailers: Lines) -> Vec<Event> {
    let last = chunks.len();
    let mut events = vec![Event::Headers { stream, direction, headers, end: last == 0 && trailers.is_empty() }];
    for (index, chunk) in chunks.into_iter().enumerate() {
        let end = index + 1 == last && trailers.is_empty();
        events.push(Event::Body { stream, direction, chunk: Bytes(chunk), end });
    }
    if !trailers.is_empty() {
        events.push(Event::Trailers { stream, direction, trailers });
    }
    events
}

fn merged(random: &mut Random, a: Vec<Event>, b: Vec<Event>) -> Vec<Event> {
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let mut merged = Vec::new();
    while a.peek().is_some() || b.peek().is_some() {
        let first = b.peek().is_none() || (a.peek().is_some() && random.percent(50));
        merged.extend(if first { a.next() } else { b.next() });
    }
    merged
}

/// A pause in milliseconds: usually short, sometimes an hour, which expires tokens.
fn pause(random: &mut Random) -> u64 {
    match random.below(200) {
        0 => 3_600_000,
        1..4 => 60_000,
        _ => random.one([0, 1, 7, 100, 499, 500, 1_000, 2_500]),
    }
}
