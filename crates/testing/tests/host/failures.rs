//! What a test is told when something is wrong.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use dynvm_testing::{Backend, FailurePolicy, Outcome, Plugin, Request};

use crate::{panics, plugin};

/// The plugin on the Rust SDK that panics as its configuration says.
fn rust_plugin() -> Plugin {
    Plugin::in_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/sdk-crash"))
}

#[needs::wasi_clang]
#[test]
fn a_crash_fails_the_test_that_did_not_expect_it() {
    plugin().on_each_backend(|host| {
        let said = panics(AssertUnwindSafe(|| _ = host.send(Request::get("/crash"))));
        assert!(said.starts_with(&format!("steps failed on {}: ", host.backend())), "{said}");
        assert!(said.contains("proxy_on_request_headers"), "the backtrace names the function: {said}");
    });
}

#[needs::wasm_rust]
#[test]
fn a_panic_is_shown_with_its_message() {
    rust_plugin().configuration("panic").on_each_backend(|host| {
        let said = panics(AssertUnwindSafe(|| _ = host.send(Request::get("/"))));
        assert!(said.contains("panicked at") && said.contains("src/lib.rs"), "{said}");
    });
}

#[needs::wasi_clang]
#[test]
fn a_crash_that_is_expected_can_be_looked_at() {
    let plugin = plugin().may_fail().failure_policy(FailurePolicy::Reload);
    plugin.on_each_backend(|host| {
        let stream = host.open();
        let exchange = host.send(Request::get("/crash"));
        assert_eq!((exchange.outcome, exchange.response.status()), (Outcome::Failed, Some(503)));
        assert!(host.failure().is_some());
        host.send(Request::get("/")).assert_forwarded();
        assert!(host.failure().is_none(), "another VM serves");
        let said = panics(AssertUnwindSafe(|| _ = stream.view()));
        assert!(said.contains("gone"), "{said}");
        assert!(host.transcript().contains("the failed VM has been replaced"));
        host.send(Request::get("/count"));
        assert!(host.hostcalls("proxy_increment_metric") == 1, "the VM that replaced it is watched too");
    });
}

#[needs::wasi_clang]
#[test]
fn an_assertion_shows_the_message() {
    plugin().on_each_backend(|host| {
        let exchange = host.send(Request::get("/a").body("text"));
        let said = panics(|| _ = exchange.assert_forwarded().assert_header("x-missing", "1"));
        assert!(said.contains("the request to the upstream: no `x-missing: 1`"), "{said}");
        assert!(said.contains(":path: /a") && said.contains("body in 1 chunks: \"whole: text\""), "{said}");
        let said = panics(|| _ = exchange.assert_local_reply(403));
        assert!(said.contains("the plugin sent no local response: Upstream"), "{said}");
        let said = panics(|| _ = exchange.assert_not_forwarded());
        assert!(said.contains("reached the upstream"), "{said}");
    });
}

#[needs::wasi_clang]
#[test]
fn the_transcript_has_arrivals_callbacks_and_hostcalls() {
    plugin().on_each_backend(|host| {
        host.send(Request::get("/foreign"));
        let text = host.transcript();
        let lines = [
            format!("transcript of steps on {}:", host.backend()),
            "  the client sends GET /foreign with 0 bytes of body".to_owned(),
            "-> proxy_on_request_headers(".to_owned(),
            r#"proxy_call_foreign_function(function_name: "upper", arguments: "quiet") = NotFound"#.to_owned(),
        ];
        let mut rest = text.as_str();
        for line in lines {
            let at = rest.find(&line).unwrap_or_else(|| panic!("{line:?} comes later in:\n{text}"));
            rest = &rest[at..];
        }
    });
}

#[needs::wasi_clang]
#[test]
fn a_plugin_that_cannot_be_built_says_why() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("broken.c"), "int broken(void) { return nothing; }").unwrap();
    let plugin = Plugin::in_dir(dir.path().join("broken.c"));
    for backend in [Backend::Native, Backend::Wasm] {
        let said = panics(AssertUnwindSafe(|| _ = plugin.start(backend)));
        assert!(said.contains(&format!("there is no {backend} build of broken")) && said.contains("nothing"), "{said}");
    }
}

#[test]
fn a_file_runs_on_its_own_backend() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noop.wat");
    std::fs::write(&path, r#"(module (func (export "proxy_abi_version_0_2_1")))"#).unwrap();
    let plugin = Plugin::file(&path);
    assert!(plugin.backends().iter().all(|backend| *backend == Backend::Wasm));
    plugin.start(Backend::Wasm).send(Request::get("/")).assert_answered();
    let said = panics(AssertUnwindSafe(|| _ = plugin.start(Backend::Native)));
    assert!(said.contains("is for wasm"), "{said}");
}
