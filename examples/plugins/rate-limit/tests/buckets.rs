//! Buckets fill as time passes, and all workers share them.

use std::time::Duration;

use dynvm_testing::{Request, this_crate};

const CONFIGURATION: &str = r#"{"per_second": 1, "burst": 2, "buckets": 1}"#;

#[needs::wasm_rust]
#[test]
fn a_bucket_empties_and_fills_again() {
    this_crate!().configuration(CONFIGURATION).on_each_backend(|host| {
        host.send(Request::get("/")).assert_forwarded();
        host.send(Request::get("/")).assert_forwarded();
        let refused = host.send(Request::get("/"));
        refused.assert_not_forwarded().assert_local_reply(429).assert_header("retry-after", "1");
        host.advance(Duration::from_secs(1));
        host.send(Request::get("/")).assert_forwarded();
    });
}

#[needs::wasm_rust]
#[test]
fn workers_share_their_buckets() {
    let plugin = this_crate!().configuration(CONFIGURATION);
    plugin.on_each_backend(|one| {
        let other = plugin.start_beside(one);
        one.send(Request::get("/")).assert_forwarded();
        other.send(Request::get("/")).assert_forwarded();
        one.send(Request::get("/")).assert_local_reply(429);
        other.send(Request::get("/")).assert_local_reply(429);
    });
}

#[needs::wasm_rust]
#[test]
fn what_is_stored_is_16_bytes_and_other_bytes_count_as_a_full_bucket() {
    this_crate!().configuration(CONFIGURATION).on_each_backend(|host| {
        host.set_shared_data("rate-limit/0", "not a bucket");
        host.send(Request::get("/")).assert_forwarded();
        let stored = host.shared_data("rate-limit/0").expect("it was written");
        assert_eq!(stored.first_chunk::<8>().map(|tokens| f64::from_le_bytes(*tokens)), Some(1.0));
        assert_eq!(stored.len(), 16);
    });
}
