//! Properties of the table as a whole.

use std::collections::HashSet;

use dynvm_abi::table::{
    self, CALLBACKS, Callback, CallbackId, ENTRY_POINTS, HOSTCALLS, HostcallId, Param, Type,
    WITHOUT_END_OF_STREAM_IN_0_1_0,
};
use dynvm_abi::types::Status;
use dynvm_abi::version::{AbiVersion, Versions};

#[test]
fn names_are_unique() {
    let mut seen = HashSet::new();
    let names = HOSTCALLS
        .iter()
        .map(|h| h.name)
        .chain(CALLBACKS.iter().chain(ENTRY_POINTS).map(|c| c.name))
        .chain(AbiVersion::ALL.map(AbiVersion::marker));
    for name in names {
        assert!(seen.insert(name), "{name} is there twice");
    }
}

#[test]
fn names_tell_hostcalls_from_callbacks() {
    for hostcall in HOSTCALLS {
        assert!(hostcall.name.starts_with("proxy_") && !hostcall.name.starts_with("proxy_on_"), "{}", hostcall.name);
    }
    for callback in CALLBACKS {
        assert!(
            callback.name.starts_with("proxy_on_") || callback.name == "proxy_validate_configuration",
            "{}",
            callback.name
        );
    }
}

#[test]
fn ids_are_rows() {
    assert_eq!(HostcallId::proxy_log.describe().name, "proxy_log");
    let last = HostcallId::proxy_call_foreign_function;
    assert_eq!(last as usize, HOSTCALLS.len() - 1);
    assert_eq!(last.describe().name, "proxy_call_foreign_function");
    let last = CallbackId::proxy_on_foreign_function;
    assert_eq!(last as usize, CALLBACKS.len() - 1);
    assert_eq!(last.describe().name, "proxy_on_foreign_function");
    assert_eq!(table::hostcall("proxy_done").unwrap().params, &[]);
    assert_eq!(table::callback("proxy_on_tick").unwrap().params, &[Param { name: "context_id", ty: Type::U32 }]);
    assert!(table::hostcall("proxy_on_tick").is_none());
    assert!(table::callback("proxy_log").is_none());
}

#[test]
fn data_and_size_come_in_pairs() {
    let all = HOSTCALLS.iter().map(|h| (h.name, h.params)).chain(CALLBACKS.iter().map(|c| (c.name, c.params)));
    for (name, params) in all {
        let mut names = HashSet::new();
        for (i, param) in params.iter().enumerate() {
            assert!(names.insert(param.name), "{name}: {} twice", param.name);
            let size = match param.ty {
                Type::Ptr => Type::Size,
                Type::OutPtr => Type::OutSize,
                _ => continue,
            };
            let stem = param.name.strip_suffix("_data").unwrap_or_else(|| {
                panic!("{name}: {} does not end in _data", param.name);
            });
            let next = params.get(i + 1).unwrap_or_else(|| panic!("{name}: no size"));
            assert_eq!((next.ty, next.name), (size, &*format!("{stem}_size")), "{name}");
        }
    }
}

#[test]
fn callbacks_begin_with_the_context() {
    for Callback { name, params, .. } in CALLBACKS {
        assert_eq!(params.first(), Some(&Param { name: "context_id", ty: Type::U32 }), "{name}");
    }
}

#[test]
fn statuses_are_failures_that_the_rust_sdk_has() {
    // The Rust SDK's enum lacks these, and an unknown value of it is undefined behavior there.
    let unknown = [
        Status::BadExpression,
        Status::InvalidMemoryAccess,
        Status::ResultMismatch,
        Status::BrokenConnection,
        Status::Unimplemented,
    ];
    for hostcall in HOSTCALLS {
        for status in hostcall.statuses {
            assert_ne!(*status, Status::Ok, "{}", hostcall.name);
            assert!(!unknown.contains(status), "{}: {status:?}", hostcall.name);
        }
        let unique: HashSet<_> = hostcall.statuses.iter().collect();
        assert_eq!(unique.len(), hostcall.statuses.len(), "{}", hostcall.name);
    }
}

#[test]
fn versions_differ_where_the_specification_says() {
    let only = |versions: Versions| -> Vec<&str> {
        HOSTCALLS.iter().filter(|h| h.versions == versions).map(|h| h.name).collect()
    };
    assert_eq!(
        only(Versions::ONLY_0_1_0),
        ["proxy_get_configuration", "proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"]
    );
    assert_eq!(only(Versions::SINCE_0_2_0), ["proxy_continue_stream", "proxy_close_stream"]);
    assert_eq!(only(Versions::SINCE_0_2_1), ["proxy_get_log_level"]);
    for name in WITHOUT_END_OF_STREAM_IN_0_1_0 {
        let last = table::callback(name).unwrap().params.last().unwrap();
        assert_eq!((last.name, last.ty), ("end_of_stream", Type::Bool));
    }
    assert!(HOSTCALLS[0].in_version(AbiVersion::V0_1_0));
    for version in AbiVersion::ALL {
        assert_eq!(AbiVersion::from_marker(version.marker()), Some(version));
    }
    assert_eq!(AbiVersion::from_marker("proxy_abi_version_9_9_9"), None);
}
