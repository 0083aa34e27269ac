//! Checks expectations against observed behavior.

use std::path::Path;

use dynvm::abi::types::{FilterHeadersStatus, LogLevel};
use dynvm::host::HeaderMap as _;

use crate::host::Answer;
use crate::matcher::Matcher;
use crate::model::{Expectation, Immediate, StringMatcher};
use crate::result::Failure;

/// Collects the failed expectations of one step.
pub(super) struct Check<'a> {
    pub(super) phase: &'static str,
    pub(super) suite: &'a Path,
    pub(super) failures: &'a mut Vec<Failure>,
}

impl Check<'_> {
    /// Checks everything: headers, body, local response, log.
    pub(super) fn all(
        &mut self,
        expect: &Expectation,
        status: FilterHeadersStatus,
        answer: &Answer,
        log: &[(LogLevel, Vec<u8>)],
    ) {
        if !self.headers(expect, answer) {
            return;
        }
        let lines: Vec<Vec<u8>> = answer.headers.iter().map(|(name, value)| [name, b": ", value].concat()).collect();
        self.strings("header", &expect.headers, &lines);
        self.strings("body", &expect.body, std::slice::from_ref(&answer.body));
        self.immediate(expect.immediate.as_ref(), status, answer);
        self.log(expect, log);
    }

    pub(super) fn log(&mut self, expect: &Expectation, log: &[(LogLevel, Vec<u8>)]) {
        let messages: Vec<Vec<u8>> = log.iter().map(|(_, message)| message.clone()).collect();
        self.strings("log message", &expect.log, &messages);
    }

    /// Checks headers by name. Returns false if the suite is invalid; nothing more is checked then.
    fn headers(&mut self, expect: &Expectation, answer: &Answer) -> bool {
        let text = String::from_utf8_lossy;
        for header in &expect.has_header {
            if header.key.is_empty() {
                self.fail("has_header needs a key");
                return false;
            }
            match answer.headers.get(header.key.as_bytes()) {
                None => self.fail(format!("header {:?} is missing", header.key)),
                Some(value) if value != header.value => self.fail(format!(
                    "header {:?} is {:?}, expected {:?}",
                    header.key,
                    text(value),
                    text(&header.value)
                )),
                Some(_) => {}
            }
        }
        for header in &expect.no_header {
            if header.key.is_empty() {
                self.fail("no_header needs a key");
                return false;
            }
            if let Some(value) = answer.headers.get(header.key.as_bytes()) {
                self.fail(format!("header {:?} is {:?}, expected none", header.key, text(value)));
            }
        }
        true
    }

    fn strings(&mut self, kind: &str, matchers: &[StringMatcher], strings: &[Vec<u8>]) {
        for matcher in matchers {
            match Matcher::new(matcher, self.suite) {
                Err(mistake) => self.fail(mistake),
                Ok(matcher) if matcher.holds(strings.iter().map(Vec::as_slice)) => {}
                Ok(matcher) => {
                    let mut message = format!("expected {}", matcher.expectation(kind));
                    message.push_str(if strings.is_empty() { "; found nothing" } else { "; found:" });
                    for string in strings {
                        message.push_str(&format!("\n  {:?}", String::from_utf8_lossy(string)));
                    }
                    self.fail(message);
                }
            }
        }
    }

    /// A local response counts if its callback stopped the stream and it has a status; only one of
    /// the two is a failure.
    fn immediate(&mut self, expect: Option<&Immediate>, status: FilterHeadersStatus, answer: &Answer) {
        let goes_on = matches!(status, FilterHeadersStatus::Continue | FilterHeadersStatus::ContinueAndEndStream);
        let has_code = answer.http_status != 0;
        let expected = if expect.is_some() { "a local response" } else { "none" };
        if expect.is_some() == goes_on {
            self.fail(format!("expected {expected}, but the plugin answered {}", status.name()));
        }
        if expect.is_some() != has_code {
            self.fail(match answer.http_status {
                0 => format!("expected {expected}, but none was sent"),
                code => format!("expected {expected}, but the plugin sent one with HTTP status {code}"),
            });
        }
        let Some(expect) = expect else { return };
        for (what, expected, is) in [
            ("HTTP status", expect.http_status, answer.http_status),
            ("gRPC status", expect.grpc_status, answer.grpc_status),
        ] {
            if let Some(expected) = expected.filter(|expected| *expected != is) {
                self.fail(format!("the local response's {what} is {is}, expected {expected}"));
            }
        }
        if let Some(expected) = expect.details.as_ref().filter(|expected| expected.as_bytes() != answer.details) {
            let is = String::from_utf8_lossy(&answer.details);
            self.fail(format!("the local response's details are {is:?}, expected {expected:?}"));
        }
    }

    fn fail(&mut self, message: impl Into<String>) {
        self.failures.push(Failure { phase: self.phase, message: message.into() });
    }
}
