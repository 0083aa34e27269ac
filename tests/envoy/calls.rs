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

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn grpc_calls_and_streams() {
    let upstream = Upstream::start();
    // A framed message, which the bridge below turns into gRPC.
    let http2 = json!({"@type": ty("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}}});
    let bridge = json!({"name": "bridge", "typed_config": {
        "@type": ty("envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig"),
        "content_type": "application/x-protobuf", "withhold_grpc_frames": true}});
    for method in ["Call", "Stream"] {
        let headers = vec![("content-type".to_owned(), "application/x-protobuf".to_owned())];
        upstream.answer(&format!("/probe.Echo/{method}"), (200, headers, format!("answer to {method}")));
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut service = crate::envoy::http_listener("service", vec![bridge], json!({"codec_type": "HTTP2"}));
    service["address"] = crate::envoy::address(port);
    let mut cluster = crate::envoy::cluster("grpc", port);
    cluster["typed_extension_protocol_options"] =
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2});
    for (what, expected) in [
        ("tick-grpc", vec![r#"grpc call answered: 0 "answer to Call""#]),
        ("tick-stream", vec![r#"grpc stream message: "answer to Stream""#, "grpc stream closed: 0"]),
    ] {
        let setup = setup(&programs()[0], &upstream, &format!("tick=50 {what}=grpc")).worker_cluster();
        let setup = setup.raw_listener(service.clone()).raw_cluster(cluster.clone());
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
