//! The messages of a suite: names, numbers and types of fields, as the wasm-tester's protocol buffers have them.
//!
//! Both formats are read into these messages; [`decode`](crate::decode) makes the [model](crate::model) of them.

use std::sync::LazyLock;

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, MessageDescriptor};

const PACKAGE: &str = "service_extensions_samples.pb";

/// Log levels by number.
const LOG_LEVELS: [&str; 7] = ["UNDEFINED", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"];

/// Type of a field, and how often it may occur.
enum Kind {
    /// A scalar of proto3 without presence: its default value is the same as none.
    Plain(Type),
    /// `optional`: whether it is set can be seen. The synthetic oneof has this name.
    Optional(Type, &'static str),
    /// One of the fields of the message's oneof.
    OneOf(Type),
    One(&'static str),
    Many(&'static str),
    LogLevel,
}

struct Message {
    name: &'static str,
    fields: &'static [(&'static str, i32, Kind)],
    /// Name of the oneof that the fields of kind `OneOf` are in.
    oneof: Option<&'static str>,
}

use Kind::{LogLevel, Many, One, OneOf, Optional, Plain};

const MESSAGES: &[Message] = &[
    Message {
        name: "StringMatcher",
        fields: &[
            ("invert", 1, Plain(Type::Bool)),
            ("exact", 2, OneOf(Type::Bytes)),
            ("regex", 3, OneOf(Type::String)),
            ("file", 4, OneOf(Type::String)),
        ],
        oneof: Some("matcher"),
    },
    Message {
        name: "Header",
        fields: &[("key", 1, Plain(Type::String)), ("value", 2, Plain(Type::Bytes))],
        oneof: None,
    },
    Message {
        name: "Input",
        fields: &[("header", 1, Many("Header")), ("content", 2, Plain(Type::Bytes)), ("file", 3, Plain(Type::String))],
        oneof: None,
    },
    Message {
        name: "Immediate",
        fields: &[
            ("http_status", 1, Optional(Type::Uint32, "_http_status")),
            ("grpc_status", 2, Optional(Type::Uint32, "_grpc_status")),
            ("details", 3, Optional(Type::String, "_details")),
        ],
        oneof: None,
    },
    Message {
        name: "Expectation",
        fields: &[
            ("has_header", 1, Many("Header")),
            ("no_header", 2, Many("Header")),
            ("headers", 3, Many("StringMatcher")),
            ("body", 4, Many("StringMatcher")),
            ("immediate", 5, One("Immediate")),
            ("log", 6, Many("StringMatcher")),
        ],
        oneof: None,
    },
    Message {
        name: "Invocation",
        fields: &[("input", 1, One("Input")), ("result", 2, One("Expectation"))],
        oneof: None,
    },
    Message {
        name: "Property",
        fields: &[("path", 1, Plain(Type::String)), ("value", 2, Plain(Type::Bytes))],
        oneof: None,
    },
    Message {
        name: "Test",
        fields: &[
            ("name", 1, Plain(Type::String)),
            ("benchmark", 2, Plain(Type::Bool)),
            ("request_headers", 3, One("Invocation")),
            ("request_body", 4, Many("Invocation")),
            ("response_headers", 5, One("Invocation")),
            ("response_body", 6, Many("Invocation")),
            ("plugin_init", 7, One("Expectation")),
            ("stream_init", 8, One("Expectation")),
            ("stream_destroy", 9, One("Expectation")),
            ("num_chunks", 10, OneOf(Type::Int32)),
            ("chunk_size", 11, OneOf(Type::Int64)),
            ("properties", 12, Many("Property")),
        ],
        oneof: Some("body_chunking_plan"),
    },
    Message {
        name: "Env",
        fields: &[
            ("test_path", 1, Plain(Type::String)),
            ("wasm_path", 2, Plain(Type::String)),
            ("config_path", 3, Plain(Type::String)),
            ("log_level", 4, LogLevel),
            ("log_path", 5, Plain(Type::String)),
            ("time_secs", 6, Optional(Type::Uint64, "_time_secs")),
            ("num_additional_streams", 7, Optional(Type::Uint64, "_num_additional_streams")),
            ("additional_stream_advance_rate", 8, Optional(Type::Uint64, "_additional_stream_advance_rate")),
        ],
        oneof: None,
    },
    Message { name: "TestSuite", fields: &[("env", 1, One("Env")), ("test", 2, Many("Test"))], oneof: None },
];

/// The message that a whole file is.
pub(crate) fn suite() -> MessageDescriptor {
    static SUITE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        // The table above is all that goes in, and every test reads through it.
        let pool = DescriptorPool::from_file_descriptor_set(prost_reflect::prost_types::FileDescriptorSet {
            file: vec![file()],
        });
        let pool = pool.expect("the table of messages is consistent");
        pool.get_message_by_name(&full_name("TestSuite")).expect("the table has it")
    });
    SUITE.clone()
}

fn full_name(name: &str) -> String {
    format!("{PACKAGE}.{name}")
}

fn file() -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some("suite.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        message_type: MESSAGES.iter().map(message).collect(),
        enum_type: vec![EnumDescriptorProto {
            name: Some("LogLevel".to_owned()),
            value: LOG_LEVELS.iter().zip(0..).map(|(name, number)| enum_value(name, number)).collect(),
            ..Default::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

fn enum_value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), ..Default::default() }
}

fn message(message: &Message) -> DescriptorProto {
    let oneof = |name: &str| OneofDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
    // Synthetic oneofs come last.
    let mut oneof_decl: Vec<_> = message.oneof.iter().map(|name| oneof(name)).collect();
    let mut field = Vec::new();
    for (name, number, kind) in message.fields {
        let mut proto = FieldDescriptorProto {
            name: Some((*name).to_owned()),
            json_name: Some((*name).to_owned()),
            number: Some(*number),
            ..Default::default()
        };
        proto.set_label(if matches!(kind, Many(_)) { Label::Repeated } else { Label::Optional });
        match kind {
            Plain(ty) => proto.set_type(*ty),
            OneOf(ty) => {
                proto.set_type(*ty);
                proto.oneof_index = Some(0);
            }
            Optional(ty, synthetic) => {
                proto.set_type(*ty);
                proto.proto3_optional = Some(true);
                proto.oneof_index = i32::try_from(oneof_decl.len()).ok();
                oneof_decl.push(oneof(synthetic));
            }
            One(of) | Many(of) => {
                proto.set_type(Type::Message);
                proto.type_name = Some(format!(".{}", full_name(of)));
            }
            LogLevel => {
                proto.set_type(Type::Enum);
                proto.type_name = Some(format!(".{}", full_name("LogLevel")));
            }
        }
        field.push(proto);
    }
    DescriptorProto { name: Some(message.name.to_owned()), field, oneof_decl, ..Default::default() }
}
