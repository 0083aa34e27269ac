//! TCP connections, and access loggers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::envoy::{By, Envoy, Setup, address, backends, http_listener, plugin, programs, ty};
use crate::plugins::artifact;
use crate::traffic::{Upstream, get};

/// Answers what it reads with the same in capitals.
fn shouting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count].to_ascii_uppercase()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// What comes back for some pieces of data.
fn talk(port: u16, pieces: &[&str]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        if stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // A connection that is reset ends the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn tcp_listener(by: By) -> Value {
    let block = plugin(by.name(), &artifact("tcp-guard", by), r#"{"reject": ["SSH-", "GET "]}"#, &json!({}));
    let guard = match by {
        By::V8 => json!({"@type": ty("envoy.extensions.filters.network.wasm.v3.Wasm"), "config": block}),
        _ => {
            let mut block = block;
            block["dynvm"] = json!({"native": true});
            json!({
                "@type": ty("envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter"),
                "dynamic_module_config": {"name": "dynvm_envoy", "do_not_close": true},
                "filter_name": by.name(),
                "filter_config": {"@type": ty("google.protobuf.Struct"), "value": block},
            })
        }
    };
    let proxy = json!({"@type": ty("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": by.name(), "cluster": "upstream"});
    json!({"name": by.name(), "address": address(0), "filter_chains": [{"filters": [
        {"name": "guard", "typed_config": guard}, {"name": "proxy", "typed_config": proxy},
    ]}]})
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn the_example_for_tcp_does_the_same_by_v8_natively_and_as_wasm() {
    let port = shouting();
    for program in programs() {
        let setup = backends(&program)
            .into_iter()
            .fold(Setup::new().cluster("upstream", port), |setup, by| setup.raw_listener(tcp_listener(by)));
        let mut envoy = Envoy::start(&program, &setup);
        for (pieces, expected) in
            [(&["hello"][..], "HELLO"), (&["SSH-2.0-OpenSSH_9.6\r\n"], ""), (&["good", "bye"], "GOODBYE")]
        {
            for by in envoy.backends.clone() {
                assert_eq!(talk(envoy.port(by.name()), pieces), expected, "{pieces:?} by {by:?}");
            }
        }
        let mut first = None;
        for by in envoy.backends.clone() {
            envoy.wait("has logged the connections", |envoy| envoy.messages(by.name()).len() >= 7);
            let without_port = |message: &String| {
                message.split_once("127.0.0.1:").map_or(message.clone(), |(before, after)| {
                    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
                })
            };
            let messages: Vec<String> = envoy.messages(by.name()).iter().map(without_port).collect();
            let expected = first.get_or_insert_with(|| messages.clone());
            assert_eq!(&messages, expected, "{by:?} in {}", program.display());
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn an_access_logger_logs_streams() {
    let upstream = Upstream::start();
    let block = |by: By| {
        let mut block = plugin(by.name(), &artifact("envoy-probe", by), "", &json!({}));
        block["dynvm"] = json!({"native": true});
        json!({"name": by.name(), "typed_config": {
            "@type": ty("envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog"),
            "dynamic_module_config": {"name": "dynvm_envoy", "do_not_close": true},
            "logger_name": by.name(),
            "logger_config": {"@type": ty("google.protobuf.Struct"), "value": block},
        }})
    };
    for program in programs() {
        let loggers = json!({"access_log": By::MODULE.map(block)});
        let listener = http_listener("main", vec![], loggers);
        let setup = Setup::new().cluster("upstream", upstream.port).raw_listener(listener);
        let mut envoy = Envoy::start(&program, &setup);
        get(envoy.port("main"), "/logged", &[]);
        for by in By::MODULE {
            envoy.wait("logs the stream", |envoy| envoy.messages(by.name()).iter().any(|m| m == "done: /logged 200"));
        }
    }
}
