//! A message with assertions.

use std::fmt::Write as _;

use dynvm::call_trace::escaped;
use dynvm::host::HeaderMap as _;
use dynvm_sim::Message;

/// A request as received by the upstream, or a response as received by the client. Header names are case-insensitive.
///
/// The `assert_` methods panic with the message in the text, and return `self` for chaining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    what: &'static str,
    message: Message,
}

impl ReceivedMessage {
    pub(crate) fn new(what: &'static str, message: Message) -> ReceivedMessage {
        ReceivedMessage { what, message }
    }

    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The status of a response, if present and numeric.
    pub fn status(&self) -> Option<u32> {
        self.header(":status")?.parse().ok()
    }

    /// The first value of a header. Invalid UTF-8 is replaced.
    pub fn header(&self, name: &str) -> Option<String> {
        self.message.headers.get(name.as_bytes()).map(text)
    }

    /// All values of a header.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        let lines = self.message.headers.iter();
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| text(value)).collect()
    }

    /// The first value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<String> {
        self.message.trailers.get(name.as_bytes()).map(text)
    }

    /// The body chunks concatenated.
    pub fn body(&self) -> Vec<u8> {
        self.message.body()
    }

    /// The body as text. Invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        text(&self.message.body())
    }

    /// Asserts the status.
    #[track_caller]
    pub fn assert_status(&self, expected: u32) -> &ReceivedMessage {
        self.check(self.status() == Some(expected), || format!("the status is not {expected}"))
    }

    /// Asserts the first value of a header.
    #[track_caller]
    pub fn assert_header(&self, name: &str, expected: &str) -> &ReceivedMessage {
        self.check(self.header(name).as_deref() == Some(expected), || {
            format!("no `{name}: {expected}` is the first of its name")
        })
    }

    /// Asserts the body.
    #[track_caller]
    pub fn assert_body(&self, expected: impl AsRef<[u8]>) -> &ReceivedMessage {
        let expected = expected.as_ref();
        self.check(self.body() == expected, || format!("the body is not \"{}\"", escaped(expected)))
    }

    #[track_caller]
    fn check(&self, holds: bool, what: impl FnOnce() -> String) -> &ReceivedMessage {
        assert!(holds, "{}: {}. It is:\n{self}", self.what, what());
        self
    }
}

impl std::fmt::Display for ReceivedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for (name, value) in self.message.headers.iter() {
            writeln!(text, "  {}: {}", escaped(name), escaped(value))?;
        }
        if !self.message.chunks.is_empty() {
            writeln!(text, "  body in {} chunks: \"{}\"", self.message.chunks.len(), escaped(&self.body()))?;
        }
        for (name, value) in self.message.trailers.iter() {
            writeln!(text, "  trailer {}: {}", escaped(name), escaped(value))?;
        }
        f.write_str(if text.is_empty() { "  (nothing)\n" } else { &text })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
