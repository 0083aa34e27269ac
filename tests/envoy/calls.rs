//! HTTP and gRPC calls.

use std::path::Path;

use serde_json::json;

use crate::envoy::{By, Envoy, Setup, backends, filter, plugin, programs, ty};
use crate::plugins::probe;
use crate::traffic::{Upstream, get};

fn setup(program: &Path, upstream: &Upstream, configuration: &str) -> Setup {
    let mut setup = Setup::new().cluster("upstream", upstream.port).cluster("service", upstream.port);
    for by in backends(program) {
        let block = plugin(by.name(), &probe(by), configuration, &json!({}));
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    setup
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn calls_of_a_request() {
    let upstream = Upstream::start();
    upstream.answer("/call", (202, vec![], "twelve bytes".to_owned()));
    for program in programs() {
        let envoy = Envoy::start(&program, &setup(&program, &upstream, "").cluster("closed", 1));
        for by in envoy.backends.clone() {
            let port = envoy.port(by.name());
            upstream.take();
            assert_eq!(get(port, "/a", &[("x-do", "call=service")]).header("x-call"), Some("202 12 0"), "{by:?}");
            let requests = upstream.take();
            assert_eq!((requests[0].start.as_str(), requests[0].text().as_str()), ("POST /call HTTP/1.1", "question"));
            assert_eq!(requests[0].header("content-length"), Some("8"), "{by:?}");
            let answer = get(port, "/a", &[("x-do", "call=unknown")]);
            assert_eq!(answer.header("x-call-refused"), Some("BadArgument"), "{by:?}");
            let answer = get(port, "/a", &[("x-do", "call=service"), ("x-do", "call-reply")]);
            assert_eq!((answer.status(), answer.text().as_str()), (403, "the call says no"), "{by:?}");
            // Nobody listens: Envoy answers.
            let answer = get(port, "/a", &[("x-do", "call=closed")]);
            assert!(answer.header("x-call").is_some_and(|call| call.starts_with("503 ")), "{by:?}: {answer:?}");
            upstream.take();
            get(port, "/a", &[("x-do", "call=service"), ("x-do", "call-trailers")]);
            let sent = upstream.take();
            assert_eq!(sent[0].start, "POST /call HTTP/1.1", "{by:?}");
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn calls_at_the_end_of_a_stream() {
    let upstream = Upstream::start();
    let envoy = Envoy::start(&programs()[0], &setup(&programs()[0], &upstream, ""));
    for by in envoy.backends.clone() {
        upstream.take();
        assert_eq!(get(envoy.port(by.name()), "/a", &[("x-do", "log-call=service")]).status(), 200);
        let mut envoy_waits = 0;
        loop {
            let called = upstream.take().iter().any(|request| request.start.contains("/from-log"));
            if called {
                break;
            }
            envoy_waits += 1;
            assert!(envoy_waits < 500, "{by:?}:\n{}", envoy.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn calls_of_a_root_context_on_idle_workers() {
    let upstream = Upstream::start();
    let setup = setup(&programs()[0], &upstream, "tick=50 tick-call=service").worker_cluster().workers(2);
    let mut envoy = Envoy::start(&programs()[0], &setup);
    for by in envoy.backends.clone() {
        // One on the main thread, and one on each worker.
        envoy.wait("answers calls of three VMs", |envoy| {
            let answered = |message: &&String| message.starts_with("root call answered: 200");
            envoy.messages(by.name()).iter().filter(answered).count() == 3
        });
    }
}

/// Adds a service on HTTP/2, in this Envoy itself: these filters, then the upstream on HTTP/1.1.
fn grpc_service(setup: Setup, filters: Vec<serde_json::Value>) -> Setup {
    let http2 = json!({"@type": ty("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}}});
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut service = crate::envoy::http_listener("service", filters, json!({"codec_type": "HTTP2"}));
    service["address"] = crate::envoy::address(port);
    let mut cluster = crate::envoy::cluster("grpc", port);
    cluster["typed_extension_protocol_options"] =
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2});
    setup.raw_listener(service).raw_cluster(cluster)
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn grpc_calls_and_streams() {
    let upstream = Upstream::start();
    // A framed message, which the bridge below turns into gRPC.
    let bridge = json!({"name": "bridge", "typed_config": {
        "@type": ty("envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig"),
        "content_type": "application/x-protobuf", "withhold_grpc_frames": true}});
    for method in ["Call", "Stream"] {
        let headers = vec![("content-type".to_owned(), "application/x-protobuf".to_owned())];
        upstream.answer(&format!("/probe.Echo/{method}"), (200, headers, format!("answer to {method}")));
    }
    for (what, expected) in [
        ("tick-grpc", vec![r#"grpc call answered: 0 "answer to Call""#]),
        ("tick-stream", vec![r#"grpc stream message: "answer to Stream""#, "grpc stream closed: 0"]),
    ] {
        let setup = setup(&programs()[0], &upstream, &format!("tick=50 {what}=grpc")).worker_cluster();
        let setup = grpc_service(setup, vec![bridge.clone()]);
        let mut envoy = Envoy::start(&programs()[0], &setup);
        for by in By::MODULE {
            for part in &expected {
                envoy.wait(&format!("{part} by {by:?}"), |envoy| {
                    // On the main thread and on the worker.
                    envoy.messages(by.name()).iter().filter(|message| message == part).count() == 2
                });
            }
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn grpc_streams_are_sent_closed_and_cancelled() {
    let upstream = Upstream::start();
    let status = |status: &str| {
        vec![("content-type".to_owned(), "application/grpc".to_owned()), ("grpc-status".to_owned(), status.to_owned())]
    };
    upstream.answer("/probe.Echo/Stream", (200, status("7"), String::new()));
    upstream.answer("/probe.Echo/Last", (200, status("5"), String::new()));
    let setup = setup(&programs()[0], &upstream, "tick=50 tick-streams=grpc").worker_cluster();
    let mut envoy = Envoy::start(&programs()[0], &grpc_service(setup, vec![]));
    for by in By::MODULE {
        // The last stream is opened when the one before has ended. On the main thread and on the worker.
        envoy.wait(&format!("{by:?} ends the last stream"), |envoy| {
            envoy.messages(by.name()).iter().filter(|message| *message == "grpc stream closed: 5").count() == 2
        });
        let mut messages = envoy.messages(by.name());
        messages.retain(|message| message.starts_with("grpc"));
        messages.sort();
        let each = ["grpc send after the close: BadArgument", "grpc stream closed: 5", "grpc stream closed: 7"];
        // Nothing is heard of what was cancelled.
        assert_eq!(messages, each.into_iter().flat_map(|message| [message; 2]).collect::<Vec<_>>(), "{by:?}");
    }
    let requests = upstream.take();
    let streamed: Vec<_> = requests.iter().filter(|request| request.start.contains("/probe.Echo/Stream ")).collect();
    let frames = "\0\0\0\0\u{5}first\0\0\0\0\u{6}second";
    assert!(streamed.len() >= 4 && streamed.iter().all(|request| request.text() == frames), "{requests:?}");
    // The stream had not ended. The call had been made whole, and may have arrived.
    assert!(!requests.iter().any(|request| request.start.contains("/probe.Echo/Cancelled ")), "{requests:?}");
}
