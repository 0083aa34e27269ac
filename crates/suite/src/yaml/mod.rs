//! YAML: a generic mapping to the same messages, with the rules of the wasm-tester's parser, yaml-cpp.

mod node;
mod scalar;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

use crate::read::ParseError;
use crate::schema;
use node::{Content, Node};

/// Maximum number of converted nodes. Aliases can expand a short text exponentially.
const MOST_NODES: usize = 1_000_000;

/// Parses the first document of a text. An empty document is an empty suite.
pub(crate) fn parse(text: &str) -> Result<DynamicMessage, ParseError> {
    let empty = DynamicMessage::new(schema::suite());
    match node::load(text)? {
        None => Ok(empty),
        Some(node) if matches!(node.content, Content::Null) => Ok(empty),
        Some(node) => Converter { left: MOST_NODES }.message(&node, schema::suite()),
    }
}

struct Converter {
    left: usize,
}

impl Converter {
    fn message(&mut self, node: &Node, descriptor: MessageDescriptor) -> Result<DynamicMessage, ParseError> {
        let mut message = DynamicMessage::new(descriptor);
        self.merge(node, &mut message)?;
        Ok(message)
    }

    /// Sets the fields named by a mapping. A repeated field overrides the first value, or is merged
    /// with it where possible.
    fn merge(&mut self, node: &Node, message: &mut DynamicMessage) -> Result<(), ParseError> {
        self.count(node)?;
        let descriptor = message.descriptor();
        let Content::Mapping(entries) = &node.content else {
            return Err(node.mistake(format!("{} is a mapping, not {}", descriptor.name(), node.kind())));
        };
        for (key, value) in entries {
            let Content::Scalar(name) = &key.content else {
                return Err(key.mistake(format!("the name of a field of {} is a scalar", descriptor.name())));
            };
            let field = descriptor
                .get_field_by_name(name)
                .ok_or_else(|| key.mistake(format!("{} has no field {name:?}", descriptor.name())))?;
            self.field(value, &field, message)?;
        }
        Ok(())
    }

    fn field(&mut self, node: &Node, field: &FieldDescriptor, message: &mut DynamicMessage) -> Result<(), ParseError> {
        if field.is_list() {
            self.count(node)?;
            let Content::Sequence(items) = &node.content else {
                return Err(node.mistake(format!("{} is a sequence, not {}", field.name(), node.kind())));
            };
            for item in items {
                let value = self.value(item, field)?;
                if let Some(list) = message.get_field_mut(field).as_list_mut() {
                    list.push(value);
                }
            }
            return Ok(());
        }
        if let Kind::Message(_) = field.kind() {
            if let Some(inner) = message.get_field_mut(field).as_message_mut() {
                self.merge(node, inner)?;
            }
            return Ok(());
        }
        let value = self.value(node, field)?;
        message.set_field(field, value);
        Ok(())
    }

    fn value(&mut self, node: &Node, field: &FieldDescriptor) -> Result<Value, ParseError> {
        if let Kind::Message(descriptor) = field.kind() {
            return self.message(node, descriptor).map(Value::Message);
        }
        self.count(node)?;
        let Content::Scalar(text) = &node.content else {
            return Err(node.mistake(format!("{} is a scalar, not {}", field.name(), node.kind())));
        };
        scalar::value(text, &field.kind())
            .ok_or_else(|| node.mistake(format!("{text:?} is not a valid value of {}", field.name())))
    }

    fn count(&mut self, node: &Node) -> Result<(), ParseError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| node.mistake("aliases make this too large"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::model::*;
    use crate::{Format, Suite};

    fn suite(text: &str) -> Suite {
        Suite::parse(text, Format::Yaml, "suite.yaml").unwrap()
    }

    fn mistake(text: &str) -> String {
        Suite::parse(text, Format::Yaml, "suite.yaml").unwrap_err().to_string()
    }

    #[test]
    fn the_same_suite_as_in_the_text_format() {
        let yaml = suite(
            "env:\n  log_level: DEBUG\n  time_secs: '12'\n\
             test:\n\
             - name: 7\n  benchmark: yes\n  num_chunks: 0x10\n\
             \x20 request_headers:\n    input:\n      header:\n      - {key: ':path', value: /a}\n\
             \x20   result:\n      no_header: [{key: x}]\n      log: [{regex: .*, invert: 'true'}]\n      immediate: {details: ''}\n\
             - request_body:\n  - input:\n      content: |\n        two\n        lines\n  - {}\n",
        );
        let text = Suite::parse(
            "env { log_level: DEBUG time_secs: 12 }\n\
             test { name: '7' benchmark: true num_chunks: 16 request_headers { input { header { key: ':path' value: '/a' } }\n\
             result { no_header { key: 'x' } log { regex: '.*' invert: true } immediate { details: '' } } } }\n\
             test { request_body { input { content: 'two\\nlines\\n' } } request_body {} }",
            Format::TextProto,
            "suite.yaml",
        );
        assert_eq!(yaml, text.unwrap());
    }

    #[test]
    fn nothing_is_an_empty_suite() {
        for text in ["", "# nothing\n", "~", "null", "---\n...\n"] {
            assert_eq!(suite(text).tests, []);
        }
    }

    #[test]
    fn enums_by_name_or_number_and_levels_by_name() {
        for (text, level) in [("INFO", 2), ("3", 2), ("'4'", 3), ("0x1", 0)] {
            let level = dynvm::abi::types::LogLevel::from_u32(level);
            assert_eq!(suite(&format!("env: {{log_level: {text}}}")).env.log_level, level, "{text}");
        }
        assert_eq!(suite("env: {log_level: UNDEFINED}").env.log_level, None);
    }

    #[test]
    fn a_later_member_of_a_oneof_wins_and_lists_add_up() {
        let test = &suite("test: [{num_chunks: 1, chunk_size: 2}]").tests[0];
        assert_eq!(test.chunking, Some(Chunking::Size(2)));
        let suite = suite("test: [{name: a}]\ntest: [{name: b, name: c}]");
        let names: Vec<_> = suite.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn aliases() {
        let suite =
            suite("test:\n- name: a\n  request_headers: &in\n    input: {content: x}\n- request_headers: *in\n");
        assert_eq!(suite.tests[0].request_headers, suite.tests[1].request_headers);
        let mut text = "test: []\nenv: &a0 {}\n".to_owned();
        text.push_str("a: &b0 [x, x, x, x, x, x, x, x, x, x]\n");
        assert!(mistake(&text).contains("TestSuite has no field \"a\""));
    }

    #[test]
    fn aliases_of_aliases_end() {
        let mut text = "test:\n- request_body: &b0 [{}]\n".to_owned();
        // Each test has a body of ten parts that all alias one list of headers, which doubles per level.
        text.push_str("- request_headers: {input: {header: &h0 [{key: a}, {key: a}, {key: a}, {key: a}]}}\n");
        text.push_str("- request_body: &p0 [");
        text.push_str(&"{input: {header: *h0}},".repeat(200));
        text.push_str("]\n");
        text.push_str(&"- request_body: *p0\n".repeat(2000));
        assert!(mistake(&text).contains("aliases make this too large"));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, expected) in [
            ("env:\n  logLevel: INFO", "suite.yaml:2: Env has no field \"logLevel\""),
            ("test: {name: x}", "suite.yaml:1: test is a sequence, not a mapping"),
            ("test:\n- name: ~", "suite.yaml:2: name is a scalar, not null"),
            ("test:\n- request_headers:\n", "suite.yaml:2: Invocation is a mapping, not null"),
            ("test:\n- name: [x]", "name is a scalar, not a sequence"),
            ("test:\n- benchmark: maybe", "\"maybe\" is not a valid value of benchmark"),
            ("env: {time_secs: -1}", "\"-1\" is not a valid value of time_secs"),
            ("env: {log_level: LOUD}", "\"LOUD\" is not a valid value of log_level"),
            ("env: {log_level: 9}", "\"9\" is not a valid value of log_level"),
            ("- x", "TestSuite is a mapping, not a sequence"),
            ("test: [", "did not find expected node content"),
            ("test: *nowhere", "suite.yaml:1: "),
        ] {
            let message = mistake(text);
            assert!(message.contains(expected), "{expected:?} is in {message:?}");
        }
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(mistake(&deep).contains("suite.yaml:1: "));
    }
}
