//! Sends requests through the proxy to servers on loopback, with plugins of the repository.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use dynvm_build::{BuildOptions, Quiet, Source, build};

/// A message of HTTP/1.1: the lines of its head, in lower case up to the colon as hyper sends them, and its body.
struct Message {
    head: Vec<String>,
    body: String,
}

impl Message {
    /// Reads a message whose length is in a field; without one it has no body.
    fn read(connection: &TcpStream) -> Message {
        let mut reader = BufReader::new(connection);
        let mut lines = reader.by_ref().lines().map(Result::unwrap);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        Message { head, body: String::from_utf8(body).unwrap() }
    }

    fn has(&self, line: &str) -> bool {
        self.head.iter().any(|other| other == line)
    }
}

/// A server that answers every request with what `answer` makes of it, a response's first lines and its body.
fn server(answer: impl Fn(Message) -> (String, String) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (head, body) = answer(Message::read(&connection));
            write!(connection, "{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    address
}

/// An upstream that answers with the request's body, or else with its head.
fn echo() -> SocketAddr {
    server(|request| {
        let text = if request.body.is_empty() { request.head.join("\n") } else { request.body };
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-upstream: echo".to_owned(), text)
    })
}

/// An address that refuses connections.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The proxy, until this is dropped.
struct Proxy {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Proxy {
    fn start(upstream: SocketAddr, plugin: &Path, configuration: &str, clusters: &[(&str, SocketAddr)]) -> Proxy {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(plugin.display().to_string().replace('/', "-"));
        let (configured, log) = (file.with_added_extension("json"), file.with_added_extension("log"));
        std::fs::write(&configured, configuration).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-hyper"));
        command.args(["127.0.0.1:0", &upstream.to_string()]).arg(plugin).arg(configured);
        command.args(clusters.iter().map(|(name, address)| format!("{name}={address}")));
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Proxy { process, address, log }
    }

    fn request(&self, head: &str, body: &str) -> Message {
        let mut connection = TcpStream::connect(self.address).unwrap();
        write!(
            connection,
            "{head}\r\nhost: shop.example\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        Message::read(&connection)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The builds of a plugin that this proxy can run.
fn builds(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(dir);
    let options =
        BuildOptions { native: cfg!(feature = "native"), wasm: cfg!(feature = "wasm"), ..BuildOptions::default() };
    let built = build(&Source::find(&dir).unwrap(), &options, &Quiet);
    [built.native, built.wasm].into_iter().flatten().map(|part| part.unwrap().path).collect()
}

#[test]
fn bodies_are_rewritten_in_both_directions() {
    for plugin in builds("examples/plugins/body-transform") {
        let proxy = Proxy::start(echo(), &plugin, r#"{"redact": ["password"]}"#, &[]);
        let reply = proxy.request(
            "POST /login HTTP/1.1\r\ncontent-type: application/json",
            r#"{"password": "123456", "user": "a"}"#,
        );
        assert_eq!(reply.head[0], "HTTP/1.1 200 OK");
        assert!(reply.has("x-upstream: echo"), "{:?}", reply.head);
        assert_eq!(reply.body, r#"{"password":"[redacted]","user":"a"}"#);
        // The plugin answers, and the upstream sees nothing.
        let reply = proxy.request("POST /login HTTP/1.1\r\ncontent-type: application/json", "{");
        assert_eq!((&*reply.head[0], &*reply.body), ("HTTP/1.1 400 Bad Request", "The body is not valid JSON.\n"));
    }
}

#[test]
fn a_request_waits_for_the_plugins_call() {
    let authz = server(|request| {
        let status = if request.has("authorization: Bearer good") { "200 OK" } else { "403 Forbidden" };
        (format!("HTTP/1.1 {status}\r\nx-auth-subject: alice"), String::new())
    });
    for plugin in builds("examples/plugins/http-callout") {
        let configuration = r#"{"upstream": "authz", "timeout_ms": 60000}"#;
        let proxy = Proxy::start(echo(), &plugin, configuration, &[("authz", authz)]);
        let reply =
            proxy.request("GET /cart?a=b HTTP/1.1\r\nauthorization: Bearer good\r\nx-auth-subject: mallory", "");
        assert_eq!(reply.head[0], "HTTP/1.1 200 OK");
        let seen: Vec<&str> = reply.body.lines().collect();
        assert_eq!(seen[0], "GET /cart?a=b HTTP/1.1");
        assert!(seen.contains(&"host: shop.example") && seen.contains(&"x-auth-subject: alice"), "{seen:?}");
        assert!(!seen.contains(&"x-auth-subject: mallory"), "{seen:?}");
        let reply = proxy.request("PUT /cart HTTP/1.1\r\nauthorization: Bearer bad", "data");
        assert_eq!((&*reply.head[0], &*reply.body), ("HTTP/1.1 403 Forbidden", "Forbidden\n"));

        let proxy = Proxy::start(echo(), &plugin, configuration, &[("authz", nobody())]);
        let reply = proxy.request("GET / HTTP/1.1", "");
        assert_eq!(reply.head[0], "HTTP/1.1 503 Service Unavailable");
        assert_eq!(reply.body, "The authorization service does not answer.\n");
    }
}

#[test]
fn a_crash_of_the_plugin_fails_its_requests_alone() {
    for plugin in builds("tests/plugins/sdk-crash") {
        let proxy = Proxy::start(echo(), &plugin, "panic", &[]);
        for _ in 0..3 {
            let reply = proxy.request("GET / HTTP/1.1", "");
            assert_eq!(reply.head[0], "HTTP/1.1 503 Service Unavailable");
        }
    }
}
