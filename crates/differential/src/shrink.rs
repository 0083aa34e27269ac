//! Shrinks a differing scenario: removes everything removable, and simplifies the rest.
//!
//! Delta debugging (Zeller and Hildebrandt): halves of every list are removed, then quarters, down
//! to single elements; likewise for byte strings. Each attempt runs both builds, which takes less
//! than a millisecond for most plugins.

use std::time::{Duration, Instant};

use crate::scenario::{Body, Bytes, Scenario, Step, fields};

/// Limits on shrinking.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of runs of both builds.
    pub runs: u64,
    /// Maximum duration.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { runs: 20_000, time: Duration::from_secs(30) }
    }
}

/// Result of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario found.
    pub scenario: Scenario,
    /// Number of runs.
    pub runs: u64,
    /// Whether nothing more can be removed; false if a limit was reached.
    pub complete: bool,
}

/// Shrinks a differing scenario. `differs` runs a candidate; the result passed it, or is the original.
pub fn shrink(scenario: Scenario, limits: Limits, differs: impl FnMut(&Scenario) -> bool) -> Shrunk {
    let mut search = Search { best: scenario, differs, runs: 0, limits, started: Instant::now() };
    let mut last = None;
    while search.may_go_on() && last.as_ref() != Some(&search.best) {
        last = Some(search.best.clone());
        search.round();
    }
    Shrunk { complete: search.may_go_on(), runs: search.runs, scenario: search.best }
}

struct Search<F> {
    best: Scenario,
    differs: F,
    runs: u64,
    limits: Limits,
    started: Instant,
}

impl<F: FnMut(&Scenario) -> bool> Search<F> {
    fn may_go_on(&self) -> bool {
        self.runs < self.limits.runs && self.started.elapsed() < self.limits.time
    }

    /// Accepts a candidate if it still differs.
    fn accept(&mut self, candidate: Scenario) -> bool {
        if !self.may_go_on() || candidate == self.best {
            return false;
        }
        self.runs += 1;
        let differs = (self.differs)(&candidate);
        if differs {
            self.best = candidate;
        }
        differs
    }

    /// Tries one edit.
    fn edit(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.accept(candidate)
    }

    fn round(&mut self) {
        self.fewer(|scenario| Some(&mut scenario.steps));
        self.edit(|scenario| scenario.http_calls.clear());
        self.fewer(|scenario| Some(&mut scenario.http_calls));
        self.fewer(|scenario| Some(&mut scenario.grpc_calls));
        self.edit(|scenario| scenario.properties.clear());
        self.edit(|scenario| scenario.environment.clear());
        self.edit(|scenario| scenario.random_seed = None);
        self.edit(|scenario| scenario.start_time_ms = None);
        for index in 0..self.best.steps.len() {
            self.step(index);
        }
        for index in 0..self.best.http_calls.len() {
            self.answer(index);
        }
    }

    /// Removes as much of a list as possible: halves first, then down to single elements.
    fn fewer<T>(&mut self, list: impl Fn(&mut Scenario) -> Option<&mut Vec<T>>) {
        let len = |search: &mut Self| list(&mut search.best).map_or(0, |list| list.len());
        let mut size = len(self);
        while size > 0 {
            let mut from = 0;
            while from < len(self) {
                let removed = self.edit(|scenario| {
                    if let Some(list) = list(scenario) {
                        list.drain(from..list.len().min(from + size));
                    }
                });
                if !removed {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn step(&mut self, index: usize) {
        self.alone(index);
        self.streams(index);
        self.fewer(|scenario| match scenario.steps.get_mut(index) {
            Some(Step::Interleaved(events)) => Some(events),
            _ => None,
        });
        self.request(index);
        for number in 0..fields::lists(&mut self.best.steps[index]).len() {
            self.fewer(|scenario| fields::lists(&mut scenario.steps[index]).into_iter().nth(number));
        }
        for number in 0..fields::bodies(&mut self.best.steps[index]).len() {
            self.body(|scenario| fields::bodies(&mut scenario.steps[index]).into_iter().nth(number));
        }
        for number in 0..fields::chunk_lists(&mut self.best.steps[index]).len() {
            self.fewer(|scenario| fields::chunk_lists(&mut scenario.steps[index]).into_iter().nth(number));
        }
        for number in 0..fields::strings(&mut self.best.steps[index]).len() {
            self.bytes(|scenario| fields::strings(&mut scenario.steps[index]).into_iter().nth(number));
        }
        for number in 0..fields::ticks(&mut self.best.steps[index]).len() {
            for smaller in [0, 1, 1_000] {
                let shorter = |scenario: &mut Scenario| {
                    if let Some(tick) = fields::ticks(&mut scenario.steps[index]).into_iter().nth(number) {
                        *tick = smaller.min(*tick);
                    }
                };
                if self.edit(shorter) {
                    break;
                }
            }
        }
    }

    /// Rewrites an interleaved step with a single stream as a request, or one with only ticks as a
    /// tick: easier to read.
    fn alone(&mut self, index: usize) {
        let Step::Interleaved(events) = &self.best.steps[index] else { return };
        if events.iter().all(|event| event.stream().is_none()) {
            let passed = fields::ticks(&mut self.best.steps[index].clone()).into_iter().map(|tick| *tick).sum();
            self.edit(|scenario| scenario.steps[index] = Step::Tick(passed));
            return;
        }
        for request in fields::requests(events) {
            if self.edit(|scenario| scenario.steps[index] = Step::Request(Box::new(request))) {
                return;
            }
        }
    }

    /// Removes whole streams of an interleaved step.
    fn streams(&mut self, index: usize) {
        let Step::Interleaved(events) = &self.best.steps[index] else { return };
        let mut streams: Vec<u32> = events.iter().filter_map(|event| event.stream()).collect();
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            self.edit(|scenario| {
                if let Step::Interleaved(events) = &mut scenario.steps[index] {
                    events.retain(|event| event.stream() != Some(stream));
                }
            });
        }
    }

    fn request(&mut self, index: usize) {
        let request = |scenario: &mut Scenario, change: &dyn Fn(&mut crate::scenario::RequestStep)| {
            if let Step::Request(request) = &mut scenario.steps[index] {
                change(request);
            }
        };
        self.edit(|scenario| request(scenario, &|request| request.response = None));
        self.edit(|scenario| request(scenario, &|request| request.method = None));
        self.edit(|scenario| request(scenario, &|request| request.path = None));
        self.edit(|scenario| request(scenario, &|request| request.authority = None));
        self.edit(|scenario| {
            request(scenario, &|request| {
                if let Some(response) = &mut request.response {
                    response.status = None;
                }
            });
        });
    }

    fn answer(&mut self, index: usize) {
        self.edit(|scenario| scenario.http_calls[index].status = None);
        self.edit(|scenario| scenario.http_calls[index].delay_ms = 0);
        self.edit(|scenario| scenario.http_calls[index].fail = false);
        self.fewer(|scenario| scenario.http_calls.get_mut(index).map(|call| &mut call.headers.0));
        self.fewer(|scenario| scenario.http_calls.get_mut(index).map(|call| &mut call.trailers.0));
        self.body(|scenario| scenario.http_calls.get_mut(index).map(|call| &mut call.body));
        for number in 0..fields::strings_of_answer(&mut self.best.http_calls[index]).len() {
            self.bytes(|scenario| fields::strings_of_answer(&mut scenario.http_calls[index]).into_iter().nth(number));
        }
    }

    /// Simplifies a body: empty, or one chunk.
    fn body(&mut self, body: impl Fn(&mut Scenario) -> Option<&mut Body>) {
        let set = |search: &mut Self, other: &dyn Fn(&Body) -> Body| {
            search.edit(|scenario| {
                if let Some(body) = body(scenario) {
                    *body = other(body);
                }
            })
        };
        if !set(self, &|_| Body::default()) {
            set(self, &|body| Body::of(vec![Bytes(body.chunks().concat())]));
        }
    }

    /// Removes two bytes at once, at any positions: a dependence on odd length survives no single removal.
    fn pairs(&mut self, bytes: &impl Fn(&mut Scenario) -> Option<&mut Bytes>) {
        const LONGEST: usize = 16;
        let mut at = (0, 1);
        loop {
            let len = bytes(&mut self.best).map_or(0, |bytes| bytes.len());
            if len > LONGEST || at.0 + 1 >= len {
                return;
            }
            let removed = self.edit(|scenario| {
                if let Some(bytes) = bytes(scenario) {
                    bytes.0.remove(at.1);
                    bytes.0.remove(at.0);
                }
            });
            if removed {
                at = (0, 1);
            } else {
                at = if at.1 + 1 < len { (at.0, at.1 + 1) } else { (at.0 + 1, at.0 + 2) };
            }
        }
    }

    /// Simplifies bytes: empty, shorter, plainer.
    fn bytes(&mut self, bytes: impl Fn(&mut Scenario) -> Option<&mut Bytes>) {
        self.fewer(|scenario| bytes(scenario).map(|bytes| &mut bytes.0));
        self.pairs(&bytes);
        let len = bytes(&mut self.best).map_or(0, |bytes| bytes.len());
        // Long strings stay as they are beyond this.
        for at in 0..len.min(64) {
            for plain in [b'a', b'0'] {
                let replace = |scenario: &mut Scenario| {
                    if let Some(byte) = bytes(scenario).and_then(|bytes| bytes.0.get_mut(at))
                        && *byte != b'a'
                    {
                        *byte = plain;
                    }
                };
                if self.edit(replace) {
                    break;
                }
            }
        }
    }
}
