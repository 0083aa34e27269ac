//! What the module makes good for the plugin to see what it sees in Envoy's wasm filter.

use std::path::PathBuf;

use serde_json::json;

use crate::envoy::{By, Envoy, Setup, address, backends, filter, http_listener, plugin, programs, ty};
use crate::plugins::probe;
use crate::traffic::{Client, Message, Upstream, get, send};

/// Each Envoy with the probe, by V8 and both ways in the module, on listeners of these names.
fn start(upstream: &Upstream) -> Vec<Envoy> {
    let start = |program: &PathBuf| {
        let mut setup = Setup::new().cluster("upstream", upstream.port).cluster("service", upstream.port);
        for by in backends(program) {
            let block = plugin(by.name(), &probe(by), "", &json!({}));
            setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
        }
        Envoy::start(program, &setup)
    };
    programs().iter().map(start).collect()
}

/// Headers that the probe or the test set, and the rest of the answer.
fn own(message: &Message) -> (u16, Vec<(String, String)>, String) {
    let mut headers = message.headers.clone();
    headers.retain(|(name, _)| name.starts_with("x-") && !name.starts_with("x-envoy"));
    headers.sort();
    (message.status(), headers, message.text())
}

/// Sends the request to all three, compares the answers and what reaches the upstream, and returns the answer.
#[track_caller]
fn same(
    envoy: &Envoy,
    upstream: &Upstream,
    path: &str,
    headers: &[(&str, &str)],
    body: &[&str],
) -> (Message, Vec<Message>) {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut seen: Vec<_> = envoy
        .backends
        .iter()
        .map(|by| {
            upstream.take();
            let answer = send(envoy.port(by.name()), method, path, headers, body);
            (answer, upstream.take())
        })
        .collect();
    let first = seen[0].clone();
    for (by, (answer, requests)) in envoy.backends.iter().zip(&seen) {
        assert_eq!(own(&first.0), own(answer), "{path} {headers:?} by {by:?}");
        let text = |requests: &[Message]| {
            let request = |request: &Message| {
                let mut headers = request.headers.clone();
                headers.retain(|(name, _)| {
                    !["x-request-id", "x-forwarded-for", "x-envoy-internal"].contains(&name.as_str())
                });
                headers.sort();
                (request.start.clone(), headers, request.text())
            };
            requests.iter().map(request).collect::<Vec<_>>()
        };
        assert_eq!(text(&first.1), text(requests), "{path} {headers:?} by {by:?}");
    }
    std::mem::take(&mut seen[1])
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_plugin_sees_its_own_response() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        let (answer, requests) = same(&envoy, &upstream, "/a", &[("x-do", "reply")], &[]);
        assert_eq!((answer.status(), answer.text().as_str(), requests.len()), (418, "own body", 0));
        assert_eq!(answer.header("x-response"), Some("418 false"));
        assert_eq!(answer.header("x-own-empty"), Some(""));
        let (answer, _) = same(&envoy, &upstream, "/a", &[("x-do", "reply=empty")], &[]);
        assert_eq!(answer.header("x-response"), Some("418 true"));
        // Changed on its way out.
        let (answer, _) = same(&envoy, &upstream, "/a", &[("x-do", "reply"), ("x-do", "status=429")], &[]);
        assert_eq!(answer.status(), 429);
        let replaced = [("x-do", "reply"), ("x-do", "response-body=replace")];
        assert_eq!(same(&envoy, &upstream, "/a", &replaced, &[]).0.text(), "replaced");
        // In place of the upstream's response, which the callbacks have seen.
        let (answer, _) = same(&envoy, &upstream, "/a", &[("x-do", "reply-late")], &[]);
        assert_eq!((answer.status(), answer.text().as_str()), (418, "late body"));
        assert_eq!(same(&envoy, &upstream, "/direct", &[("x-do", "reply-late")], &[]).0.status(), 418);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_response_to_grpc_has_grpcs_status() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        let headers = [("x-do", "reply"), ("content-type", "application/grpc")];
        let (answer, _) = same(&envoy, &upstream, "/a", &headers, &[]);
        assert_eq!(answer.status(), 200);
        for by in envoy.backends.clone() {
            let answer = get(envoy.port(by.name()), "/a", &headers);
            assert_eq!(answer.header("grpc-status"), Some("2"), "{by:?}: {answer:?}");
            assert_eq!(answer.header("grpc-message"), Some("own body"), "{by:?}");
            assert_eq!(answer.header("x-response"), Some("200 true"), "{by:?}");
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn changed_request_headers_choose_the_route_anew() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        let (answer, requests) = same(&envoy, &upstream, "/a", &[("x-do", "path=/direct")], &[]);
        assert_eq!((answer.text().as_str(), requests.len()), ("direct", 0));
        let (_, requests) = same(&envoy, &upstream, "/a", &[("x-do", "all-headers"), ("x-other", "1")], &[]);
        assert_eq!((requests[0].header("x-all"), requests[0].header("x-other")), (Some("1"), Some("1")));
        assert_eq!(requests[0].header("x-do"), None);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn an_empty_value_is_a_value() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        let (answer, requests) = same(&envoy, &upstream, "/a", &[("x-do", "empty")], &[]);
        assert_eq!(answer.header("x-empty-back"), Some(r#"Some("")"#));
        assert_eq!((requests[0].header("x-empty"), requests[0].header("x-empty-too")), (Some(""), Some("")));
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn maps_that_have_not_arrived_are_empty() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        let (answer, _) = same(&envoy, &upstream, "/a", &[("x-do", "early")], &[]);
        assert_eq!(answer.header("x-early"), Some("0"));
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn bodies_are_changed_at_any_place() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        for (how, request, response) in [
            ("replace", "replaced", "replaced"),
            ("append", "abcdef+end", "direct+end"),
            ("prepend", "begin+abcdef", "begin+direct"),
            ("empty", "", ""),
        ] {
            let what = format!("body={how}");
            for body in [&["abcdef"][..], &["ab", "cd", "ef"]] {
                let (_, requests) = same(&envoy, &upstream, "/a", &[("x-do", &what)], body);
                assert_eq!(requests[0].text(), request, "{how}");
            }
            let what = format!("response-{what}");
            assert_eq!(same(&envoy, &upstream, "/direct", &[("x-do", &what)], &[]).0.text(), response, "{how}");
        }
        // Envoy's wasm filter refuses this one, which the ABI allows.
        for by in By::MODULE {
            send(envoy.port(by.name()), "POST", "/a", &[("x-do", "body=middle")], &["abcdef"]);
            assert_eq!(upstream.take().pop().unwrap().text(), "a--def", "{by:?}");
        }
        // Bigger than one piece of Envoy's buffers.
        let (big, half) = ("x".repeat(300_000), "y".repeat(150_000));
        let (_, requests) = same(&envoy, &upstream, "/a", &[("x-do", "body=append")], &[&big, &half]);
        assert_eq!(requests[0].text(), format!("{big}{half}+end"));
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn properties_are_those_of_envoys_wasm_filter() {
    let upstream = Upstream::start();
    for envoy in start(&upstream) {
        for (path, expected) in [
            ("request.path", Some("/direct?q=1")),
            ("request.url_path", Some("/direct")),
            ("request.query", Some("q=1")),
            ("request.host", Some("example.com")),
            ("request.method", Some("GET")),
            ("request.protocol", Some("HTTP/1.1")),
            ("request.scheme", Some("http")),
            ("request.headers.x-some", Some("thing")),
            ("request.headers.x-none", Some("none")),
            ("connection.mtls", Some("[0]")),
            ("no.such.property", Some("none")),
            ("metadata.filter_metadata.none.key", Some("none")),
            ("upstream.address", Some("none")),
            ("destination.address", None),
        ] {
            for by in envoy.backends.clone() {
                let headers = [("x-do", &*format!("property={path}")), ("x-some", "thing")];
                let answer = get(envoy.port(by.name()), "/direct?q=1", &headers);
                let found = answer.header("x-property");
                match expected {
                    Some(expected) => assert_eq!(found, Some(expected), "{path} by {by:?}"),
                    None => assert!(found.is_some_and(|found| found.starts_with("127.0.0.1:")), "{path} by {by:?}"),
                }
            }
        }
        for path in ["plugin_vm_id", "plugin_name"] {
            let what = format!("property={path}");
            for by in envoy.backends.clone() {
                let found = get(envoy.port(by.name()), "/direct", &[("x-do", &what)]);
                assert_eq!(found.header("x-property"), Some(by.name()), "{path}");
            }
        }
        let (answer, _) = same(&envoy, &upstream, "/a", &[("x-do", "set-property=value")], &[]);
        assert_eq!(answer.header("x-set-property"), Some("value"));
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn requests_by_http2_with_trailers() {
    let upstream = Upstream::start();
    for program in programs() {
        let version = json!({"@type": ty("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": {"http2_protocol_options": {}}});
        let mut http1 = crate::envoy::cluster("upstream", upstream.port);
        http1["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": ty("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
        }});
        let mut setup = Setup::new().raw_cluster(http1);
        // Fixed ports, as one listener is the upstream of the other: free a moment ago.
        for by in backends(&program) {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let block = plugin(by.name(), &probe(by), "", &json!({}));
            let mut listener =
                http_listener(by.name(), vec![filter(by, by.name(), &block)], json!({"codec_type": "HTTP2"}));
            listener["address"] = address(port);
            let mut cluster = crate::envoy::cluster(by.name(), port);
            cluster["typed_extension_protocol_options"] =
                json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": version});
            let route = json!({"route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": by.name()}}]}]}});
            let front = http_listener(&format!("h2-{}", by.name()), vec![], route);
            setup = setup.raw_listener(listener).raw_cluster(cluster).raw_listener(front);
        }
        let envoy = Envoy::start(&program, &setup);
        for by in envoy.backends.clone() {
            upstream.take();
            let port = envoy.port(&format!("h2-{}", by.name()));
            let mut client = crate::traffic::Client::connect(port).unwrap();
            let answer =
                client.send("POST", "/a", &[("x-do", "body=replace"), ("te", "trailers")], &["ab", "cd"]).unwrap();
            assert_eq!((answer.status(), upstream.take()[0].text().as_str()), (200, "replaced"), "{by:?}");
            let answer = client.send_with_trailers("/a", &["abc"], &[("x-sent", "1")]).unwrap();
            assert_eq!(answer.status(), 200, "{by:?}: {answer:?}");
            let request = upstream.take().pop().unwrap();
            assert_eq!(request.text(), "abc", "{by:?}");
            let trailers: Vec<&str> = request.trailers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(trailers, ["x-sent", "x-trailer-set"], "{by:?}");
            assert_eq!(answer.header("x-request-trailers"), Some("1 1"), "{by:?}");
            assert_eq!(get(port, "/a", &[("x-do", "reply")]).status(), 418, "{by:?}");
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn requests_that_do_not_reach_the_plugin_are_logged() {
    let upstream = Upstream::start();
    for program in programs() {
        let mut setup = Setup::new().cluster("upstream", upstream.port);
        for by in backends(&program) {
            let filter = |name: &str| filter(by, name, &plugin(name, &probe(by), "", &json!({})));
            let (first, second) = (format!("{}-first", by.name()), format!("{}-second", by.name()));
            setup = setup.listener(by.name(), vec![filter(&first), filter(&second)]);
        }
        let mut envoy = Envoy::start(&program, &setup);
        for by in envoy.backends.clone() {
            let port = envoy.port(by.name());
            // The first plugin answers.
            assert_eq!(get(port, "/answered", &[("x-do", "reply")]).status(), 418);
            // Envoy refuses a request without a host.
            let answer = Client::connect(port).unwrap().exchange("GET", "GET /refused HTTP/1.1\r\n\r\n").unwrap();
            assert_eq!(answer.status(), 400);
            for (plugin, expected) in [
                ("first", ["done: /answered 418", "done: /refused 400"]),
                ("second", ["done: /answered 418", "done: /refused 400"]),
            ] {
                let plugin = format!("{}-{plugin}", by.name());
                envoy.wait(&format!("{plugin} logs both"), |envoy| {
                    let messages = envoy.messages(&plugin);
                    expected.iter().all(|part| messages.iter().any(|message| message == part))
                });
            }
        }
    }
}
