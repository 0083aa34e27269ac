//! Configurations that Envoy refuses, and why.

use serde_json::{Value, json};

use crate::envoy::{By, Envoy, Setup, module_filter, plugin, programs, ty, validate};
use crate::plugins::probe;
use crate::traffic::{Upstream, get};

fn refusal(program: &std::path::Path, filter: Value) -> (bool, String) {
    let output = validate(program, &Setup::new().cluster("upstream", 1).listener("main", vec![filter]).config());
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn validation_names_the_field() {
    let good = plugin("probe", &probe(By::Native), "", &json!({}));
    let with = |more: Value| plugin("probe", &probe(By::Native), "", &more);
    for program in programs() {
        let (valid, log) = refusal(&program, module_filter("probe", &good));
        assert!(valid, "{log}");
        for (block, expected) in [
            (with(json!({"vm_config": {"vmid": "x"}})), r#"vm_config: unknown field "vmid"; did you mean "vm_id"?"#),
            (with(json!({"failure_policy": "CLOSE_DOWN"})), "failure_policy: unknown failure policy"),
            (with(json!({"dynvm": {"memory_limit": "64"}})), "dynvm.memory_limit: expected a number of bytes"),
            (with(json!({"vm_config": {"code": {"local": {"filename": "/no/such.so"}}}})), "/no/such.so"),
            (with(json!({"dynvm": {"native": false}})), "native"),
            (plugin("probe", &probe(By::Native), "refuse", &json!({})), "proxy_on_configure"),
        ] {
            let mut filter = module_filter("probe", &block);
            // `module_filter` allows native code.
            if block["dynvm"]["native"] == json!(false) {
                filter["typed_config"]["filter_config"]["value"]["dynvm"]["native"] = json!(false);
            }
            let (valid, log) = refusal(&program, filter);
            assert!(!valid && log.contains(expected), "{expected} is in:\n{log}");
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn the_configuration_may_be_json_text() {
    let upstream = Upstream::start();
    let block = plugin("probe", &probe(By::Native), "", &json!({"dynvm": {"native": true}}));
    let mut filter = module_filter("probe", &block);
    filter["typed_config"]["filter_config"] =
        json!({"@type": ty("google.protobuf.StringValue"), "value": block.to_string()});
    let setup = Setup::new().cluster("upstream", upstream.port).listener("main", vec![filter]);
    let envoy = Envoy::start(&programs()[0], &setup);
    assert!(get(envoy.port("main"), "/a", &[]).header("x-response").is_some());
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_route_may_have_its_own_plugin_or_none() {
    let upstream = Upstream::start();
    let per_route = |block: Value| {
        json!({"probe": {
            "@type": ty("envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute"),
            "dynamic_module_config": {"name": "dynvm_envoy", "do_not_close": true},
            "per_route_config_name": "probe",
            "filter_config": {"@type": ty("google.protobuf.StringValue"), "value": block.to_string()},
        }})
    };
    let other = plugin("other", &probe(By::Wasm), "status=201", &json!({}));
    let routes = json!({"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/none"}, "route": {"cluster": "upstream"},
            "typed_per_filter_config": per_route(json!({"disabled": true}))},
        {"match": {"prefix": "/other"}, "route": {"cluster": "upstream"}, "typed_per_filter_config": per_route(other)},
        {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}},
    ]}]}});
    let block = plugin("probe", &probe(By::Native), "", &json!({}));
    let listener = crate::envoy::http_listener("main", vec![module_filter("probe", &block)], routes);
    for program in programs() {
        let setup = Setup::new().cluster("upstream", upstream.port).raw_listener(listener.clone());
        let envoy = Envoy::start(&program, &setup);
        let seen = |path| {
            let answer = get(envoy.port("main"), path, &[]);
            (answer.status(), answer.header("x-response").is_some())
        };
        assert_eq!((seen("/a"), seen("/none"), seen("/other")), ((200, true), (200, false), (201, true)));
    }
}
