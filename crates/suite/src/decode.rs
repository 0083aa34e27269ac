//! Converts messages to the model.

use dynvm::abi::types::LogLevel;
use prost_reflect::{DynamicMessage, Value};

use crate::model::*;

/// Converts a whole file; `path` stays empty.
pub(crate) fn suite(message: &DynamicMessage) -> Suite {
    let fields = Fields(message);
    Suite {
        path: Default::default(),
        env: fields.one("env", env).unwrap_or_default(),
        tests: fields.many("test", test),
    }
}

fn env(fields: Fields<'_>) -> Env {
    let path = |name| Some(fields.string(name)).filter(|path| !path.is_empty()).map(Into::into);
    Env {
        plugin: path("wasm_path"),
        config: path("config_path"),
        // Log levels in the file count from 1; 0 means unset. The text format accepts numbers without a name.
        log_level: fields.enum_number("log_level").checked_sub(1).and_then(LogLevel::from_u32),
        log_file: path("log_path"),
        time_secs: fields.u64("time_secs"),
        additional_streams: fields.u64("num_additional_streams"),
        advance_rate: fields.u64("additional_stream_advance_rate"),
    }
}

fn test(fields: Fields<'_>) -> Test {
    let count = fields.set("num_chunks").and_then(|value| value.as_i32()).map(Chunking::Count);
    let size = fields.set("chunk_size").and_then(|value| value.as_i64()).map(Chunking::Size);
    let expected = |name| fields.one(name, expectation).unwrap_or_default();
    Test {
        name: fields.string("name"),
        benchmark: fields.bool("benchmark"),
        chunking: count.or(size),
        properties: fields.many("properties", |f| Property { path: f.string("path"), value: f.bytes("value") }),
        request_headers: fields.one("request_headers", invocation),
        request_body: fields.many("request_body", invocation),
        response_headers: fields.one("response_headers", invocation),
        response_body: fields.many("response_body", invocation),
        plugin_init: expected("plugin_init"),
        stream_init: expected("stream_init"),
        stream_destroy: expected("stream_destroy"),
    }
}

fn invocation(fields: Fields<'_>) -> Invocation {
    Invocation {
        input: fields.one("input", input).unwrap_or_default(),
        expect: fields.one("result", expectation).unwrap_or_default(),
    }
}

fn input(fields: Fields<'_>) -> Input {
    Input { headers: fields.many("header", header), content: fields.bytes("content"), file: fields.string("file") }
}

fn header(fields: Fields<'_>) -> Header {
    Header { key: fields.string("key"), value: fields.bytes("value") }
}

fn expectation(fields: Fields<'_>) -> Expectation {
    Expectation {
        has_header: fields.many("has_header", header),
        no_header: fields.many("no_header", header),
        headers: fields.many("headers", matcher),
        body: fields.many("body", matcher),
        immediate: fields.one("immediate", immediate),
        log: fields.many("log", matcher),
    }
}

fn immediate(fields: Fields<'_>) -> Immediate {
    let status = |name| fields.set(name).and_then(|value| value.as_u32());
    Immediate {
        http_status: status("http_status"),
        grpc_status: status("grpc_status"),
        details: fields.set("details").map(|_| fields.string("details")),
    }
}

fn matcher(fields: Fields<'_>) -> StringMatcher {
    let pattern = if fields.set("exact").is_some() {
        Some(Pattern::Exact(fields.bytes("exact")))
    } else if fields.set("regex").is_some() {
        Some(Pattern::Regex(fields.string("regex")))
    } else if fields.set("file").is_some() {
        Some(Pattern::File(fields.string("file")))
    } else {
        None
    };
    StringMatcher { invert: fields.bool("invert"), pattern }
}

/// Access to a message's fields by name, as defined by the [schema](crate::schema).
#[derive(Clone, Copy)]
struct Fields<'a>(&'a DynamicMessage);

impl Fields<'_> {
    /// A field that is present: set explicitly, or, without field presence, different from the default.
    fn set(&self, name: &str) -> Option<Value> {
        self.0.has_field_by_name(name).then(|| self.0.get_field_by_name(name))?.map(|value| value.into_owned())
    }

    fn string(&self, name: &str) -> String {
        self.set(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.set(name).and_then(|value| value.as_bytes().map(|bytes| bytes.to_vec())).unwrap_or_default()
    }

    fn bool(&self, name: &str) -> bool {
        self.set(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    fn u64(&self, name: &str) -> u64 {
        self.set(name).and_then(|value| value.as_u64()).unwrap_or_default()
    }

    fn enum_number(&self, name: &str) -> u32 {
        let number = self.set(name).and_then(|value| value.as_enum_number());
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    }

    fn one<T>(&self, name: &str, decode: impl Fn(Fields<'_>) -> T) -> Option<T> {
        self.set(name)?.as_message().map(|message| decode(Fields(message)))
    }

    fn many<T>(&self, name: &str, decode: impl Fn(Fields<'_>) -> T) -> Vec<T> {
        let Some(value) = self.set(name) else { return Vec::new() };
        let messages = value.as_list().unwrap_or_default().iter().filter_map(Value::as_message);
        messages.map(|message| decode(Fields(message))).collect()
    }
}
