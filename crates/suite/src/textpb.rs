//! The text format of protocol buffers.

use miette::Diagnostic as _;
use prost_reflect::DynamicMessage;

use crate::read::{ParseError, line_at};
use crate::schema;

/// Parses a text. An unknown or repeated field rejects the whole file.
pub(crate) fn parse(text: &str) -> Result<DynamicMessage, ParseError> {
    DynamicMessage::parse_text_format(schema::suite(), text).map_err(|error| {
        let label = error.labels().and_then(|mut labels| labels.next());
        ParseError { line: label.map(|label| line_at(text.as_bytes(), label.offset())), message: reason(&error) }
    })
}

/// The error message without package names in message names.
fn reason(error: &prost_reflect::text_format::ParseError) -> String {
    error.to_string().replace("service_extensions_samples.pb.", "")
}

#[cfg(test)]
mod tests {
    use crate::model::*;
    use crate::{Format, Suite};

    fn suite(text: &str) -> Suite {
        Suite::parse(text, Format::TextProto, "suite.textpb").unwrap()
    }

    fn mistake(text: &str) -> String {
        Suite::parse(text, Format::TextProto, "suite.textpb").unwrap_err().to_string()
    }

    #[test]
    fn comments_adjacent_literals_and_both_ways_to_write_a_message() {
        let suite = suite(
            "# a comment\n\
             env: { log_level: DEBUG  time_secs: 7 }  # another\n\
             test { name: 'a' \"b\"\n 'c' request_headers: < input { header { key: \":path\" value: \"/\\377\" } } > }\n\
             test: { name: \"d\", num_chunks: 2; }",
        );
        assert_eq!((suite.env.log_level, suite.env.time_secs), (Some(dynvm::abi::types::LogLevel::Debug), 7));
        assert_eq!(suite.tests[0].name, "abc");
        let input = &suite.tests[0].request_headers.as_ref().unwrap().input;
        assert_eq!(input.headers, [Header { key: ":path".into(), value: b"/\xff".into() }]);
        assert_eq!((suite.tests[1].name.as_str(), suite.tests[1].chunking), ("d", Some(Chunking::Count(2))));
        assert!(suite.tests[1].request_headers.is_none());
    }

    #[test]
    fn every_field_arrives() {
        let suite = suite(
            "env { test_path: 't' wasm_path: 'w' config_path: 'c' log_level: 6 log_path: 'l' time_secs: 1\n\
             num_additional_streams: 2 additional_stream_advance_rate: 4 }\n\
             test { name: 'n' benchmark: true chunk_size: 5\n\
             properties { path: 'p.q' value: 'v' }\n\
             request_headers { input { content: 'GET /' } result { has_header { key: 'k' value: 'v' } } }\n\
             request_body { input { file: 'f' } result { body { exact: 'e' invert: true } } }\n\
             response_headers { result { no_header { key: 'k' } headers { regex: 'r' }\n\
             immediate { http_status: 1 grpc_status: 2 details: '' } } }\n\
             response_body { result { body { file: 'f' } } }\n\
             plugin_init { log { exact: '1' } } stream_init { log { exact: '2' } } stream_destroy { log { exact: '3' } } }",
        );
        let exact = |text: &str| StringMatcher { invert: false, pattern: Some(Pattern::Exact(text.into())) };
        assert_eq!(
            suite.env,
            Env {
                plugin: Some("w".into()),
                config: Some("c".into()),
                log_level: Some(dynvm::abi::types::LogLevel::Critical),
                log_file: Some("l".into()),
                time_secs: 1,
                additional_streams: 2,
                advance_rate: 4,
            }
        );
        let test = &suite.tests[0];
        assert!(test.benchmark && test.chunking == Some(Chunking::Size(5)));
        assert_eq!(test.properties, [Property { path: "p.q".into(), value: b"v".into() }]);
        let request = test.request_headers.as_ref().unwrap();
        assert_eq!(request.input.content, b"GET /");
        assert_eq!(request.expect.has_header, [Header { key: "k".into(), value: b"v".into() }]);
        assert_eq!(test.request_body[0].input.file, "f");
        assert_eq!(test.request_body[0].expect.body, [StringMatcher { invert: true, ..exact("e") }]);
        let response = &test.response_headers.as_ref().unwrap().expect;
        assert_eq!(response.no_header[0].key, "k");
        assert_eq!(response.headers[0].pattern, Some(Pattern::Regex("r".into())));
        let immediate = Immediate { http_status: Some(1), grpc_status: Some(2), details: Some(String::new()) };
        assert_eq!(response.immediate, Some(immediate), "an empty text is set");
        assert_eq!(test.response_body[0].expect.body[0].pattern, Some(Pattern::File("f".into())));
        for (expected, text) in [(&test.plugin_init, "1"), (&test.stream_init, "2"), (&test.stream_destroy, "3")] {
            assert_eq!(expected.log, [exact(text)]);
        }
    }

    #[test]
    fn mistakes_name_the_line_and_reject_the_whole_file() {
        for (text, expected) in [
            ("env {}\n\nruntime {}", "suite.textpb:3: field 'runtime' not found for message 'TestSuite'"),
            ("test {\n  nam: 'x'\n}", "suite.textpb:2: field 'nam' not found for message 'Test'"),
            ("test { name: 'x' name: 'y' }", "suite.textpb:1: 'name' is already set"),
            ("test { num_chunks: 1\nchunk_size: 1 }", "suite.textpb:2: a value is already set for oneof"),
            ("test { num_chunks: 99999999999 }", "out of range"),
            ("test { name: 'x }", "expected string terminator"),
            ("env { log_level: LOUD }", "LOUD"),
            ("test {", "reached end of input"),
        ] {
            let message = mistake(text);
            assert!(message.contains(expected), "{expected:?} is in {message:?}");
        }
        assert_eq!(suite(""), Suite { path: "suite.textpb".into(), ..Suite::default() });
    }
}
