//! The messages of a suite, described by `suite.proto`.
//!
//! Both formats are parsed into these messages; [`decode`](crate::decode) converts them to the [model](crate::model).

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The message of a whole file.
pub(crate) fn suite() -> MessageDescriptor {
    static SUITE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        // The text is a constant, and every test of this crate parses with it.
        let file = protox_parse::parse("suite.proto", include_str!("suite.proto")).expect("suite.proto is well-formed");
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_proto(file).expect("suite.proto is consistent");
        pool.get_message_by_name("service_extensions_samples.pb.TestSuite").expect("suite.proto has the message")
    });
    SUITE.clone()
}
