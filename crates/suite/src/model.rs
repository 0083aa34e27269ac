//! A suite as it is run: what a file of either format says.

use std::path::PathBuf;

use dynvm::abi::types::LogLevel;

/// A file of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// Where the file is: paths of inputs and expected outputs are relative to its directory.
    pub path: PathBuf,
    /// What holds for all tests.
    pub env: Env,
    /// The tests in order. Names need not be unique.
    pub tests: Vec<Test>,
}

/// What holds for all tests of a suite. Paths are relative to the current directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// The plugin (`wasm_path`); a native build is named the same way.
    pub plugin: Option<PathBuf>,
    /// File with the plugin's configuration.
    pub config: Option<PathBuf>,
    /// Least level of messages that are kept. `None`: info.
    pub log_level: Option<LogLevel>,
    /// File that messages are appended to.
    pub log_file: Option<PathBuf>,
    /// What time it always is, in seconds since 1970. 0, as none: a millisecond after the beginning of 1970.
    pub time_secs: u64,
    /// Streams that are under way while a benchmark runs.
    pub additional_streams: u64,
    /// How many of them take a step for each round of a benchmark. 0, as none: 3.
    pub advance_rate: u64,
}

/// One request, or part of one, through the plugin, and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// Name, for people and for filters.
    pub name: String,
    /// Whether it is a benchmark too.
    pub benchmark: bool,
    /// How bodies are cut into chunks. Both directions.
    pub chunking: Option<Chunking>,
    /// Properties of the stream.
    pub properties: Vec<Property>,
    /// Request headers; `None`: the callback is not made.
    pub request_headers: Option<Invocation>,
    /// Request body, part by part.
    pub request_body: Vec<Invocation>,
    /// Response headers; `None`: the callback is not made.
    pub response_headers: Option<Invocation>,
    /// Response body, part by part.
    pub response_body: Vec<Invocation>,
    /// What is expected of the plugin's start; only its log.
    pub plugin_init: Expectation,
    /// What is expected of the stream's creation; only its log.
    pub stream_init: Expectation,
    /// What is expected of the stream's end; only its log.
    pub stream_destroy: Expectation,
}

/// How a body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// So many chunks of the same size, the rest in the last.
    Count(i32),
    /// Chunks of so many bytes, a shorter one at the end.
    Size(i64),
}

/// A property of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Property {
    /// Its path, segments joined with dots.
    pub path: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// One call of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// What goes in.
    pub input: Input,
    /// What is expected.
    pub expect: Expectation,
}

/// Headers or a body. The first that is not empty counts: file, content, headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Headers, one by one.
    pub headers: Vec<Header>,
    /// Headers as HTTP/1 text, or a body.
    pub content: Vec<u8>,
    /// The same in a file; empty: none.
    pub file: String,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Name.
    pub key: String,
    /// Value.
    pub value: Vec<u8>,
}

/// What is expected of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Headers that are there, with exactly these values.
    pub has_header: Vec<Header>,
    /// Headers that are not there; their values do not matter.
    pub no_header: Vec<Header>,
    /// Matched against the lines `name: value`.
    pub headers: Vec<StringMatcher>,
    /// Matched against the body.
    pub body: Vec<StringMatcher>,
    /// A local response. `None`: the plugin lets the stream go on.
    pub immediate: Option<Immediate>,
    /// Matched against the messages that were logged.
    pub log: Vec<StringMatcher>,
}

/// A local response; what is not given may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Immediate {
    /// HTTP status.
    pub http_status: Option<u32>,
    /// gRPC status.
    pub grpc_status: Option<u32>,
    /// Details.
    pub details: Option<String>,
}

/// Something that one of several strings is, or that none of them is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMatcher {
    /// None may match.
    pub invert: bool,
    /// What matches. `None` is a mistake, which fails the test.
    pub pattern: Option<Pattern>,
}

/// What matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// These bytes.
    Exact(Vec<u8>),
    /// An expression in RE2's syntax, which all of the string matches.
    Regex(String),
    /// The bytes of a file.
    File(String),
}
