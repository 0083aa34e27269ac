//! The model of a suite, independent of the file format.

use std::path::PathBuf;

use dynvm::abi::types::LogLevel;

/// A suite: an environment and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// Path of the file; inputs and expected outputs are relative to its directory.
    pub path: PathBuf,
    /// Settings for all tests.
    pub env: Env,
    /// The tests in order. Names may repeat.
    pub tests: Vec<Test>,
}

/// Settings for all tests of a suite. Paths are relative to the current directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// The plugin (`wasm_path`), which may be a native build too.
    pub plugin: Option<PathBuf>,
    /// File with the plugin's configuration.
    pub config: Option<PathBuf>,
    /// Minimum level of recorded log messages. `None`: info.
    pub log_level: Option<LogLevel>,
    /// File to append log messages to.
    pub log_file: Option<PathBuf>,
    /// Constant time in seconds since 1970. 0 or unset: one millisecond after the start of 1970.
    pub time_secs: u64,
    /// Number of additional open streams during a benchmark.
    pub additional_streams: u64,
    /// Number of them that advance per round of a benchmark. 0 or unset: 3.
    pub advance_rate: u64,
}

/// A request, or part of one, with the expected results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// Name for output and filters.
    pub name: String,
    /// Whether the test is also a benchmark.
    pub benchmark: bool,
    /// How to split bodies into chunks, in both directions.
    pub chunking: Option<Chunking>,
    /// Properties of the stream.
    pub properties: Vec<Property>,
    /// Request headers; `None` skips the callback.
    pub request_headers: Option<Invocation>,
    /// Request body parts.
    pub request_body: Vec<Invocation>,
    /// Response headers; `None` skips the callback.
    pub response_headers: Option<Invocation>,
    /// Response body parts.
    pub response_body: Vec<Invocation>,
    /// Expectations of the plugin's start; log only.
    pub plugin_init: Expectation,
    /// Expectations of the stream's creation; log only.
    pub stream_init: Expectation,
    /// Expectations of the stream's end; log only.
    pub stream_destroy: Expectation,
}

/// How to split a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// This many chunks of equal size, with the rest in the last one.
    Count(i32),
    /// Chunks of this many bytes, with a shorter last one.
    Size(i64),
}

/// A property of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Property {
    /// Path, segments joined with dots.
    pub path: String,
    /// Value of the property.
    pub value: Vec<u8>,
}

/// One callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Input of the callback.
    pub input: Input,
    /// Expected results.
    pub expect: Expectation,
}

/// Headers or a body. The first non-empty field wins: file, content, headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Headers listed one by one.
    pub headers: Vec<Header>,
    /// Headers as HTTP/1 text, or a body.
    pub content: Vec<u8>,
    /// File with the content; empty if unused.
    pub file: String,
}

/// A header line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Name of the header.
    pub key: String,
    /// Value of the header.
    pub value: Vec<u8>,
}

/// Expected results of a callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Headers that must be present with exactly these values.
    pub has_header: Vec<Header>,
    /// Headers that must be absent; their values are ignored.
    pub no_header: Vec<Header>,
    /// Matchers for the lines `name: value`.
    pub headers: Vec<StringMatcher>,
    /// Matchers for the body.
    pub body: Vec<StringMatcher>,
    /// Expected local response. `None`: the plugin must let the stream continue.
    pub immediate: Option<Immediate>,
    /// Matchers for logged messages.
    pub log: Vec<StringMatcher>,
}

/// An expected local response; unset fields match anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Immediate {
    /// Expected HTTP status.
    pub http_status: Option<u32>,
    /// Expected gRPC status.
    pub grpc_status: Option<u32>,
    /// Expected details.
    pub details: Option<String>,
}

/// A matcher: one of several strings must match, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMatcher {
    /// Whether no string may match.
    pub invert: bool,
    /// The pattern. `None` is an error that fails the test.
    pub pattern: Option<Pattern>,
}

/// A pattern of a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly these bytes.
    Exact(Vec<u8>),
    /// A regular expression in RE2's syntax that must match the whole string.
    Regex(String),
    /// The content of a file.
    File(String),
}
