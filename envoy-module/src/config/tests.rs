use super::*;

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse("filter", text.as_bytes()).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    parse(text).map(|settings| format!("{settings:?}")).expect_err("refused")
}

#[test]
fn the_block_of_envoys_wasm_filter_is_taken_as_it_is() {
    let settings = parse(
        r#"{"config": {
            "name": "auth", "root_id": "auth_root", "fail_open": true,
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{\"realm\": 1}"},
            "allow_on_headers_stop_iteration": true,
            "capability_restriction_config": {"allowed_capabilities": {"proxy_log": {}, "proxy_on_log": {}}},
            "vm_config": {
                "vm_id": "edge", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": "/p.wasm"}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [1]}},
                "environment_variables": {"key_values": {"REGION": "eu"}}, "allow_precompiled": true
            }}}"#,
    )
    .unwrap();
    assert_eq!((settings.plugin.name.as_str(), settings.plugin.root_id.as_str()), ("auth", "auth_root"));
    assert_eq!(settings.plugin.configuration, br#"{"realm": 1}"#);
    assert_eq!(settings.plugin.failure_policy, FailurePolicy::Open);
    assert_eq!(settings.vm.vm_id, "edge");
    assert_eq!(settings.vm.configuration.as_deref(), Some(&br#"{"a":[1]}"#[..]));
    assert_eq!(settings.vm.environment["REGION"], "eu");
    assert!(settings.vm.allow_on_headers_stop_iteration);
    assert!(settings.vm.capabilities.allows("proxy_log") && !settings.vm.capabilities.allows("proxy_http_call"));
    assert_eq!(settings.code, Code::File("/p.wasm".into()));
}

#[test]
fn own_fields_and_envoys_other_spelling() {
    let settings = parse(
        r#"{"vmConfig": {"code": {"local": {"inlineBytes": "AGFzbQ=="}}}, "failurePolicy": "FAIL_RELOAD",
            "reloadConfig": {"backoff": {"baseInterval": "0.5s"}},
            "dynvm": {"native": {"heap": false}, "memory_limit": 67108864.0,
                "callback_budget": {"limit": "50ms", "action": "fail"}, "watch": true, "prefer": "wasm",
                "properties": {"node.id": "edge-1"}}}"#,
    )
    .unwrap();
    assert_eq!(settings.plugin.name, "filter");
    assert_eq!(settings.code, Code::Inline(b"\0asm".to_vec()));
    assert_eq!(settings.plugin.failure_policy, FailurePolicy::Reload);
    assert_eq!((settings.backoff.base, settings.backoff.max), (Duration::from_millis(500), Duration::from_secs(5)));
    assert_eq!(settings.vm.memory_limit, Some(64 << 20));
    assert_eq!(settings.vm.callback_budget, Some(CallbackBudget::fail(Duration::from_millis(50))));
    assert!(settings.watch && settings.loader.native.is_some_and(|native| !native.heap));
    assert_eq!(settings.properties, [("node.id".to_owned(), b"edge-1".to_vec())]);
}

#[test]
fn errors_have_the_path_and_the_nearest_name() {
    let vm = r#""vm_config": {"code": {"local": {"filename": "/p.so"}}}"#;
    for (text, expected) in [
        ("[".to_owned(), "the filter's configuration is not JSON"),
        ("{}".to_owned(), "the field vm_config is missing"),
        (format!(r#"{{{vm}, "root_idd": ""}}"#), r#"unknown field "root_idd"; did you mean "root_id"?"#),
        (format!(r#"{{{vm}, "zzz": 1}}"#), r#"unknown field "zzz"; the fields are config, name"#),
        (
            r#"{"vm_config": {"code": {"local": {"file_name": "/p"}}}}"#.to_owned(),
            "vm_config.code.local: one of filename",
        ),
        (r#"{"vm_config": {"code": {"remote": {}}}}"#.to_owned(), "vm_config.code: remote code is not supported"),
        (r#"{"vm_config": {"vm_id": 1}}"#.to_owned(), "vm_config.vm_id: expected a string, found 1"),
        (format!(r#"{{{vm}, "failure_policy": "FAIL"}}"#), "failure_policy: unknown failure policy"),
        (
            format!(r#"{{{vm}, "dynvm": {{"memory_limt": 1}}}}"#),
            r#"dynvm: unknown field "memory_limt"; did you mean "memory_limit"?"#,
        ),
        (format!(r#"{{{vm}, "dynvm": {{"memory_limit": -1}}}}"#), "dynvm.memory_limit: expected a number of bytes"),
        (
            format!(r#"{{{vm}, "dynvm": {{"callback_budget": {{"limit": "soon"}}}}}}"#),
            "dynvm.callback_budget.limit: expected a duration",
        ),
        (
            format!(r#"{{{vm}, "configuration": {{"@type": "x/a.B", "value": 1}}}}"#),
            "configuration: type a.B is not supported",
        ),
        (format!(r#"{{{vm}, "dynvm": {{"trust_policy": "/nowhere.toml"}}}}"#), "dynvm.trust_policy: "),
    ] {
        let error = refused(&text);
        assert!(error.starts_with(expected), "{text}\n  gives {error}\n  expected {expected}");
    }
}

#[test]
fn a_route_may_disable_the_filter_or_have_its_own_plugin() {
    assert!(matches!(RouteSettings::parse("f", br#"{"disabled": true}"#), Ok(RouteSettings::Disabled)));
    let plugin = br#"{"name": "a", "vm_config": {"code": {"local": {"filename": "/p"}}}}"#;
    assert!(matches!(RouteSettings::parse("f", plugin), Ok(RouteSettings::Plugin(_))));
    assert!(RouteSettings::parse("f", br#"{"disabled": true, "name": "a"}"#).is_err());
}
