//! Streams step by step, their properties, and what is shared.

use dynvm_testing::{FilterDataStatus, FilterHeadersStatus, Headers, Outcome, Request, Response};

use crate::{panics, plugin};

fn headers(path: &str) -> Headers {
    Request::post(path, "").message.headers
}

#[needs::wasi_clang]
#[test]
fn a_body_that_the_plugin_buffers_goes_on_whole() {
    plugin().on_each_backend(|host| {
        let stream = host.open();
        assert_eq!(stream.request_headers(headers("/"), false), Some(FilterHeadersStatus::Continue));
        assert_eq!(stream.request_body("one ", false), Some(FilterDataStatus::StopIterationAndBuffer));
        assert!(stream.is_request_held());
        assert_eq!(stream.upstream().body(), b"");
        assert_eq!(stream.request_body("two", true), Some(FilterDataStatus::Continue));
        stream.upstream().assert_body("whole: one two");
        assert!(stream.view().upstream.complete);
        stream.response_headers(Headers::from([(":status", "200")]), false);
        stream.client().assert_header("x-seen", "yes");
        assert!(!stream.view().client.complete);
        stream.response_trailers(Headers::from([("checksum", "1")]));
        let view = stream.finish();
        assert!(view.client.complete && view.client.message.trailers == Headers::from([("checksum", "1")]));
    });
}

#[needs::wasi_clang]
#[test]
fn a_reset_ends_a_held_stream() {
    plugin().on_each_backend(|host| {
        let stream = host.open();
        stream.request_headers(headers("/hold"), false);
        let view = stream.reset();
        assert!(view.request_held && !view.upstream.headers);
        assert_eq!(host.hostcalls("proxy_get_header_map_value"), 1);
        let said = panics(std::panic::AssertUnwindSafe(|| _ = stream.view()));
        assert!(said.contains("the stream is gone"), "{said}");
    });
}

#[needs::wasi_clang]
#[test]
fn a_held_stream_is_told_from_one_that_ends() {
    plugin().on_each_backend(|host| {
        host.send(Request::get("/hold")).assert_stuck().assert_not_forwarded();
        let closed = host.send(Request::get("/close"));
        assert_eq!(closed.outcome, Outcome::Closed);
        closed.assert_not_forwarded();
    });
}

#[needs::wasi_clang]
#[test]
fn steps_that_no_proxy_takes_are_refused() {
    plugin().on_each_backend(|host| {
        for (step, expected) in
            [("body first", "no headers have arrived"), ("headers twice", "headers have arrived before")]
        {
            let said = panics(std::panic::AssertUnwindSafe(|| {
                let stream = host.open();
                if step == "body first" {
                    stream.request_body("early", true);
                }
                stream.request_headers(headers("/"), true);
                stream.request_headers(headers("/"), true);
            }));
            assert!(said.contains(expected), "{said}");
        }
        let stream = host.open();
        stream.request(Request::get("/"));
        let said = panics(std::panic::AssertUnwindSafe(|| _ = stream.request_body("late", true)));
        assert!(said.contains("its end has arrived before"), "{said}");
    });
}

#[needs::wasi_clang]
#[test]
fn properties_are_the_plugins_the_streams_or_the_requests() {
    plugin().property("source.address", "10.0.0.1:1").on_each_backend(|host| {
        let forwarded = |request: Request| host.send(request).assert_forwarded().header("x-source");
        assert_eq!(forwarded(Request::get("/property")).as_deref(), Some("10.0.0.1:1"));
        let request = Request::get("/property").property("source.address", "10.0.0.2:2");
        assert_eq!(forwarded(request).as_deref(), Some("10.0.0.2:2"));
        let stream = host.open_having([("source.address", "10.0.0.3:3")]);
        stream.request(Request::get("/property"));
        stream.upstream().assert_header("x-source", "10.0.0.3:3");
        assert_eq!(stream.property("request.path").as_deref(), Some(&b"/property"[..]));
    });
}

#[needs::wasi_clang]
#[test]
fn foreign_functions_and_metrics_are_the_tests() {
    let plugin = plugin().foreign_function("upper", |text| Ok(text.to_ascii_uppercase()));
    plugin.on_each_backend(|host| {
        host.send(Request::get("/foreign")).assert_forwarded().assert_header("x-foreign", "QUIET");
        host.send(Request::get("/count").upstream(Response::new(204))).assert_answered().assert_status(204);
        assert_eq!(host.counter("counted"), 3);
        let said = panics(std::panic::AssertUnwindSafe(|| _ = host.gauge("counted")));
        assert!(said.contains(r#"no gauge "counted""#) && said.contains(r#"["counted"]"#), "{said}");
    });
}
