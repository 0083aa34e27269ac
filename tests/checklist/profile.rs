//! Hosts with fewer features than Envoy, or with other results.

use dynvm::host::PropertyError;
use dynvm::{CapabilityRestriction, HostProfile, VmConfig};

use super::backend;
use harness::{Harness, TestStream, in_headers, parts, probe, script};

fn harness(host: HostProfile, script: &str) -> Harness {
    let mut config = VmConfig::default();
    config.host = host;
    Harness::of(&probe(backend(), &[]), config, script)
}

/// Checklist 62: a hostcall that the host lacks is `Unimplemented` and reaches no service.
#[super::compiler]
#[test]
fn hostcalls_that_the_host_lacks() {
    let calls = ["proxy_define_metric 0 m", "proxy_set_property a b", "proxy_get_header_map_size 0"];
    let host = HostProfile::default().without(["proxy_define_metric", "proxy_set_property"]);
    let mut harness = harness(host, &in_headers(&calls));
    let expected = ["proxy_define_metric = 12", "proxy_set_property = 12", "proxy_get_header_map_size = 0 1"];
    assert_eq!(harness.did(TestStream::with_headers([("k", "v")])), expected);
}

/// Checklist 63: absent maps are errors on a strict host.
#[super::compiler]
#[test]
fn strict_header_maps() {
    let calls = [
        "proxy_get_header_map_size 2",
        "proxy_get_header_map_pairs 6",
        "proxy_add_header_map_value 2 k v",
        "proxy_get_header_map_value 0 k",
    ];
    let text = in_headers(&calls) + &script("on_configure", &[calls[0], calls[2]]);
    let expected = |read, write| {
        [
            format!("proxy_get_header_map_size = {read}"),
            format!("proxy_get_header_map_pairs = {read}"),
            format!("proxy_add_header_map_value = {write}"),
            "proxy_get_header_map_value = 0 v".to_owned(),
        ]
    };
    let mut host = HostProfile::default();
    let mut lenient = harness(host.clone(), &text);
    assert_eq!(lenient.log()[5..], ["proxy_get_header_map_size = 0 0", "proxy_add_header_map_value = 2"]);
    assert_eq!(lenient.did(TestStream::with_headers([("k", "v")])), expected("0 0", "2").map(|line| line.replace("pairs = 0 0", "pairs = 0 null")));
    host.strict_header_maps = true;
    let mut strict = harness(host, &text);
    assert_eq!(strict.log()[5..], ["proxy_get_header_map_size = 12", "proxy_add_header_map_value = 12"]);
    assert_eq!(strict.did(TestStream::with_headers([("k", "v")])), expected("2", "2"));
}

/// Checklist 64: properties belong to one context.
#[super::compiler]
#[test]
fn separate_properties() {
    struct OfRoots;
    impl dynvm::host::Properties for OfRoots {
        fn property(
            &self,
            path: dynvm::host::PropertyPath<'_>,
        ) -> Result<std::borrow::Cow<'_, [u8]>, PropertyError> {
            if path.as_bytes() == b"here" { Ok(b"root".into()) } else { Err(PropertyError::Unimplemented) }
        }
    }
    let calls = ["proxy_get_property here", "proxy_get_property plugin_name"];
    let mut config = VmConfig::default();
    config.host.separate_properties = true;
    let mut parts = parts();
    parts.services.properties = std::rc::Rc::new(OfRoots);
    let text = in_headers(&calls) + &script("on_configure", &calls);
    let mut harness = Harness::with(parts, &probe(backend(), &[]), config, &text).map_err(|(error, _)| error).unwrap();
    assert_eq!(harness.log()[5..], ["proxy_get_property = 0 root", "proxy_get_property = 12"]);
    let mut stream = TestStream::default();
    stream.properties.insert(b"plugin_name".to_vec(), b"the stream's".to_vec());
    assert_eq!(harness.did(stream), ["proxy_get_property = 1", "proxy_get_property = 0 the%20stream's"]);
}

/// Checklist 65: a host without VM configuration.
#[super::compiler]
#[test]
fn no_vm_configuration() {
    let calls = ["proxy_get_buffer_bytes 6 0 9", "proxy_set_buffer_bytes 6 0 0 x"];
    let mut host = HostProfile::default();
    let expected = ["proxy_get_buffer_bytes = 0 null", "proxy_set_buffer_bytes = 2"];
    assert_eq!(harness(host.clone(), &in_headers(&calls)).did(TestStream::default()), expected);
    host.no_vm_configuration = true;
    let expected = ["proxy_get_buffer_bytes = 1", "proxy_set_buffer_bytes = 1"];
    assert_eq!(harness(host, &in_headers(&calls)).did(TestStream::default()), expected);
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
