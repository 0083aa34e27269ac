//! Hosts with fewer features than Envoy, or with other answers.

use std::borrow::Cow;
use std::rc::Rc;

use dynvm::host::{AbsentMap, Properties, PropertyContext, PropertyError, PropertyPath, Services};
use dynvm::{CapabilityRestriction, VmConfig};

use super::backend;
use harness::{Harness, TestStream, in_headers, parts, probe, script};

/// A harness whose services are changed first.
fn harness(config: VmConfig, script: &str, change: impl FnOnce(&mut Services)) -> Harness {
    let mut parts = parts();
    change(&mut parts.services);
    Harness::with(parts, &probe(backend(), &[]), config, script).unwrap_or_else(|(error, _)| panic!("{error}"))
}

/// Checklist 62: a hostcall that the host lacks is `Unimplemented` and reaches no service.
#[super::compiler]
#[test]
fn hostcalls_that_the_host_lacks() {
    let calls = ["proxy_define_metric 0 m", "proxy_set_property a b", "proxy_get_header_map_size 0"];
    let mut harness = harness(VmConfig::default(), &in_headers(&calls), |services| {
        services.unimplemented = &["proxy_define_metric", "proxy_set_property"];
    });
    let expected = ["proxy_define_metric = 12", "proxy_set_property = 12", "proxy_get_header_map_size = 0 1"];
    assert_eq!(harness.did(TestStream::with_headers([("k", "v")])), expected);
}

/// Checklist 63: the host chooses the answer to access to an absent map.
#[super::compiler]
#[test]
fn absent_header_maps() {
    let calls = [
        "proxy_get_header_map_size 2",
        "proxy_get_header_map_pairs 6",
        "proxy_add_header_map_value 2 k v",
        "proxy_get_header_map_value 0 k",
    ];
    let text = in_headers(&calls) + &script("on_configure", &[calls[0], calls[2]]);
    for (absent, size, pairs, status) in [
        (AbsentMap::Empty, "0 0", "0 null", "2"),
        (AbsentMap::BadArgument, "2", "2", "2"),
        (AbsentMap::Unimplemented, "12", "12", "12"),
    ] {
        let mut harness = harness(VmConfig::default(), &text, |services| services.absent_maps = absent);
        let size = format!("proxy_get_header_map_size = {size}");
        let add = format!("proxy_add_header_map_value = {status}");
        assert_eq!(harness.log()[5..], [size.clone(), add.clone()], "{absent:?} outside of streams");
        let mut stream = TestStream::with_headers([("k", "v")]);
        stream.absent_maps = absent;
        let pairs = format!("proxy_get_header_map_pairs = {pairs}");
        assert_eq!(harness.did(stream), [size, pairs, add, "proxy_get_header_map_value = 0 v".to_owned()], "{absent:?}");
    }
}

/// Checklist 64: the host chooses where a property comes from.
#[super::compiler]
#[test]
fn sources_of_properties() {
    struct OfOneContext;
    impl Properties for OfOneContext {
        fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
            if path.as_bytes() == b"here" { Ok(b"root".into()) } else { Err(PropertyError::Unimplemented) }
        }

        fn find<'a>(
            &'a self,
            path: PropertyPath<'_>,
            context: &PropertyContext<'a>,
        ) -> Result<Cow<'a, [u8]>, PropertyError> {
            context.stream.map_or_else(|| self.property(path), |stream| stream.property(path))
        }
    }
    let calls = ["proxy_get_property here", "proxy_get_property plugin_name"];
    let text = in_headers(&calls) + &script("on_configure", &calls);
    let mut harness = harness(VmConfig::default(), &text, |services| services.properties = Rc::new(OfOneContext));
    assert_eq!(harness.log()[5..], ["proxy_get_property = 0 root", "proxy_get_property = 12"]);
    let mut stream = TestStream::default();
    stream.properties.insert(b"plugin_name".to_vec(), b"the stream's".to_vec());
    assert_eq!(harness.did(stream), ["proxy_get_property = 1", "proxy_get_property = 0 the%20stream's"]);
}

/// Checklist 65: a host without VM configurations.
#[super::compiler]
#[test]
fn no_vm_configuration() {
    let calls = ["proxy_get_buffer_bytes 6 0 9", "proxy_set_buffer_bytes 6 0 0 x"];
    for (configuration, read, written) in [(Some(Vec::new()), "0 null", "2"), (None, "1", "1")] {
        let mut config = VmConfig::default();
        config.configuration = configuration;
        let expected = [format!("proxy_get_buffer_bytes = {read}"), format!("proxy_set_buffer_bytes = {written}")];
        assert_eq!(harness(config, &in_headers(&calls), |_| ()).did(TestStream::default()), expected);
    }
}

/// Checklist 66: an excluded hostcall is INTERNAL_FAILURE, an excluded callback is not called, all others work.
#[super::compiler]
#[test]
fn all_but_some_functions() {
    let mut config = VmConfig::default();
    config.capabilities = CapabilityRestriction::except(["proxy_on_log", "proxy_set_property"]);
    let mut harness = Harness::of(&probe(backend(), &[]), config, &in_headers(&["proxy_set_property a b"]));
    let id = harness.stream(TestStream::default());
    harness.log();
    harness.vm.on_request_headers(id, 0, true);
    harness.vm.delete_stream(id);
    let lines = harness.log();
    assert!(lines[1].contains("does not allow"), "{lines:?}");
    assert_eq!(lines[2..], ["proxy_set_property = 10", "on_done(2)", "on_delete(2)"]);
}
