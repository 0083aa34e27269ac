//! A plugin that does what requests ask for, for the tests in Envoy.
//!
//! A request asks in headers `x-do: <what>=<argument>`; the configuration is words of the same form. What the plugin finds
//! it answers in headers of the response, or in the log.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { words: Vec::new(), calls: Vec::new() }));
}}

const METRICS: [(MetricType, &str); 3] = [
    (MetricType::Counter, "probe.counter"),
    (MetricType::Gauge, "probe.gauge"),
    (MetricType::Histogram, "probe.histogram"),
];

fn info(message: &str) {
    let _ = hostcalls::log(LogLevel::Info, message);
}

/// The argument of a word in a list of `word=argument`.
fn argument<'a>(words: &'a [String], word: &str) -> Option<&'a str> {
    words.iter().find_map(|asked| match asked.split_once('=') {
        Some((name, argument)) if name == word => Some(argument),
        None if asked == word => Some(""),
        _ => None,
    })
}

struct Root {
    words: Vec<String>,
    calls: Vec<u32>,
}

impl Root {
    fn call(&mut self, cluster: &str) {
        let headers = vec![(":method", "GET"), (":path", "/from-root"), (":authority", "probe")];
        match self.dispatch_http_call(cluster, headers, None, vec![], Duration::from_secs(5)) {
            Ok(token) => self.calls.push(token),
            Err(status) => info(&format!("root call refused: {status:?}")),
        }
    }
}

impl Root {
    /// A stream that is closed, and a call and a stream that are cancelled.
    fn streams(&self, cluster: &str) {
        let open = |method| hostcalls::open_grpc_stream(cluster, "probe.Echo", method, vec![]).unwrap_or_default();
        let closed = open("Stream");
        let _ = hostcalls::send_grpc_stream_message(closed, Some(b"first"), false);
        let _ = hostcalls::send_grpc_stream_message(closed, Some(b"second"), false);
        let _ = hostcalls::close_grpc_stream(closed);
        match hostcalls::send_grpc_stream_message(closed, Some(b"late"), false) {
            Ok(()) => info("grpc send after the close: Ok"),
            Err(status) => info(&format!("grpc send after the close: {status:?}")),
        }
        let cancelled = open("Cancelled");
        let _ = hostcalls::send_grpc_stream_message(cancelled, Some(b"hello"), false);
        let _ = hostcalls::cancel_grpc_stream(cancelled);
        let timeout = Duration::from_secs(5);
        if let Ok(call) =
            hostcalls::dispatch_grpc_call(cluster, "probe.Echo", "CancelledCall", vec![], Some(b"hello"), timeout)
        {
            let _ = hostcalls::cancel_grpc_call(call);
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        info(&format!("root call answered: {status}, {} headers, {body} bytes, {trailers} trailers", headers.min(1)));
    }

    fn on_grpc_call_response(&mut self, _: u32, status: u32, size: usize) {
        let body = self.get_grpc_call_response_body(0, size).unwrap_or_default();
        info(&format!("grpc call answered: {status} {:?}", String::from_utf8_lossy(&body)));
    }

    fn on_grpc_stream_message(&mut self, _: u32, size: usize) {
        let body = self.get_grpc_stream_message(0, size).unwrap_or_default();
        info(&format!("grpc stream message: {:?}", String::from_utf8_lossy(&body)));
    }

    fn on_grpc_stream_close(&mut self, _: u32, status: u32) {
        info(&format!("grpc stream closed: {status}"));
        // What follows shows that nothing is heard of the cancelled ones.
        if let (Some(cluster), 7) = (argument(&self.words, "tick-streams"), status)
            && let Ok(last) = hostcalls::open_grpc_stream(cluster, "probe.Echo", "Last", vec![])
        {
            let _ = hostcalls::close_grpc_stream(last);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap_or_default();
        self.words = text.split_whitespace().map(str::to_owned).collect();
        if argument(&self.words, "refuse").is_some() {
            return false;
        }
        for (kind, name) in METRICS {
            let _ = hostcalls::define_metric(kind, name);
        }
        if let Some(period) = argument(&self.words, "tick") {
            self.set_tick_period(Duration::from_millis(period.parse().unwrap_or(100)));
        }
        if argument(&self.words, "queue").is_some() {
            let _ = hostcalls::register_shared_queue("probe");
        }
        info(&format!("configured: {text}"));
        true
    }

    fn on_tick(&mut self) {
        info("tick");
        if let Some(cluster) = argument(&self.words, "tick-call").map(str::to_owned) {
            self.set_tick_period(Duration::ZERO);
            self.call(&cluster);
        }
        if let Some(cluster) = argument(&self.words, "tick-grpc").map(str::to_owned) {
            self.set_tick_period(Duration::ZERO);
            let timeout = Duration::from_secs(5);
            let called = self.dispatch_grpc_call(&cluster, "probe.Echo", "Call", vec![], Some(b"hello"), timeout);
            info(&format!("grpc call made: {}", called.is_ok()));
        }
        if let Some(cluster) = argument(&self.words, "tick-stream").map(str::to_owned) {
            self.set_tick_period(Duration::ZERO);
            match self.open_grpc_stream(&cluster, "probe.Echo", "Stream", vec![]) {
                Ok(token) => self.send_grpc_stream_message(token, Some(b"hello"), true),
                Err(status) => info(&format!("grpc stream refused: {status:?}")),
            }
        }
        if let Some(cluster) = argument(&self.words, "tick-streams").map(str::to_owned) {
            self.set_tick_period(Duration::ZERO);
            self.streams(&cluster);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(element)) = hostcalls::dequeue_shared_queue(queue) {
            info(&format!("queue: {}", String::from_utf8_lossy(&element)));
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let stream = Stream { configured: self.words.clone(), asked: Vec::new(), found: Vec::new(), call_in_log: None };
        Some(Box::new(stream))
    }
}

struct Stream {
    configured: Vec<String>,
    asked: Vec<String>,
    /// Headers to add to the response.
    found: Vec<(String, String)>,
    call_in_log: Option<String>,
}

impl Stream {
    fn asked(&self, word: &str) -> Option<String> {
        argument(&self.asked, word).or_else(|| argument(&self.configured, word)).map(str::to_owned)
    }

    fn found(&mut self, name: &str, value: impl ToString) {
        self.found.push((name.to_owned(), value.to_string()));
    }

    fn call(&mut self, cluster: &str, path: &str) -> bool {
        let headers = vec![(":method", "POST"), (":path", path), (":authority", "probe")];
        let trailers = if self.asked("call-trailers").is_some() { vec![("x-trailer", "1")] } else { vec![] };
        match self.dispatch_http_call(cluster, headers, Some(b"question"), trailers, Duration::from_secs(5)) {
            Ok(_) => true,
            Err(status) => {
                self.found("x-call-refused", format!("{status:?}"));
                false
            }
        }
    }

    /// What of a body is asked for, at its end.
    fn change_body(&mut self, word: &str, size: usize, set: fn(&Stream, usize, usize, &[u8])) {
        match self.asked(word).as_deref() {
            Some("replace") => set(self, 0, size, b"replaced"),
            Some("append") => set(self, size, 0, b"+end"),
            Some("prepend") => set(self, 0, 0, b"begin+"),
            Some("middle") => set(self, 1, 2, b"--"),
            Some("empty") => set(self, 0, size, b""),
            _ => {}
        }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, _: usize, body: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or("none".to_owned());
        self.found("x-call", format!("{status} {body} {trailers}"));
        if self.asked("call-reply").is_some() {
            self.send_http_response(403, vec![], Some(b"the call says no"));
        } else {
            self.resume_http_request();
        }
    }

    fn on_done(&mut self) -> bool {
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let headers = self.get_http_request_headers();
        self.asked = headers.into_iter().filter(|(name, _)| name == "x-do").map(|(_, value)| value).collect();
        self.found("x-request-end", end_of_stream);
        if self.asked("crash").is_some() {
            panic!("asked to crash");
        }
        if self.asked("loop").is_some() {
            loop {
                std::hint::black_box(());
            }
        }
        if self.asked("early").is_some() {
            let early = self.get_http_response_headers().len() + self.get_http_request_trailers().len();
            self.found("x-early", early);
        }
        if self.asked("empty").is_some() {
            self.set_http_request_header("x-empty", Some(""));
            self.add_http_request_header("x-empty-too", "");
            let back = self.get_http_request_header("x-empty");
            self.found("x-empty-back", format!("{back:?}"));
        }
        if let Some(path) = self.asked("path") {
            self.set_http_request_header(":path", Some(&path));
        }
        if self.asked("all-headers").is_some() {
            let mut headers = self.get_http_request_headers();
            headers.retain(|(name, _)| name != "x-do");
            headers.push(("x-all".to_owned(), "1".to_owned()));
            self.set_http_request_headers(headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect());
        }
        if self.asked("body").is_some() {
            self.set_http_request_header("content-length", None);
        }
        if let Some(path) = self.asked("property") {
            let value = self.get_property(path.split('.').collect());
            self.found(
                "x-property",
                value.map_or("none".to_owned(), |value| {
                    String::from_utf8(value.clone())
                        .ok()
                        .filter(|text| !text.chars().any(char::is_control))
                        .unwrap_or_else(|| format!("{value:?}"))
                }),
            );
        }
        if let Some(value) = self.asked("set-property") {
            self.set_property(vec!["probe_set"], Some(value.as_bytes()));
            let back = self.get_property(vec!["probe_set"]).unwrap_or_default();
            self.found("x-set-property", String::from_utf8_lossy(&back).into_owned());
        }
        if let Some(name) = self.asked("metric") {
            let id = hostcalls::define_metric(MetricType::Counter, &name).unwrap_or_default();
            let _ = hostcalls::increment_metric(id, 2);
            self.found("x-metric", hostcalls::get_metric(id).unwrap_or_default());
            let gauge = hostcalls::define_metric(MetricType::Gauge, "probe.gauge").unwrap_or_default();
            let _ = hostcalls::record_metric(gauge, 7);
            let _ = hostcalls::increment_metric(gauge, -3);
            let histogram = hostcalls::define_metric(MetricType::Histogram, "probe.histogram").unwrap_or_default();
            let _ = hostcalls::record_metric(histogram, 5);
        }
        if let Some(offset) = self.asked("increment").and_then(|offset| offset.parse().ok()) {
            let incremented = METRICS.map(|(kind, name)| {
                let id = hostcalls::define_metric(kind, name).unwrap_or_default();
                format!("{:?}", hostcalls::increment_metric(id, offset))
            });
            self.found("x-increment", incremented.join(" "));
        }
        if let Some(key) = self.asked("shared") {
            let (value, cas) = self.get_shared_data(&key);
            let count = value.and_then(|value| String::from_utf8(value).ok()?.parse::<u32>().ok()).unwrap_or(0) + 1;
            let _ = self.set_shared_data(&key, Some(count.to_string().as_bytes()), cas);
            self.found("x-shared", count);
        }
        if let Some(element) = self.asked("enqueue")
            && let Ok(Some(queue)) = hostcalls::resolve_shared_queue("", "probe")
        {
            let _ = hostcalls::enqueue_shared_queue(queue, Some(element.as_bytes()));
        }
        if let Some(name) = self.asked("foreign") {
            let called = self.call_foreign_function(&name, None);
            self.found("x-foreign", format!("{called:?}"));
        }
        if let Some(reply) = self.asked("reply") {
            let body = if reply == "empty" { None } else { Some(&b"own body"[..]) };
            self.send_http_response(418, vec![("x-own", "1"), ("x-own-empty", "")], body);
            return Action::Pause;
        }
        if let Some(cluster) = self.asked("fire") {
            self.call(&cluster, "/fire");
        }
        self.call_in_log = self.asked("log-call");
        if let Some(cluster) = self.asked("call")
            && self.call(&cluster, "/call")
        {
            return Action::Pause;
        }
        if self.asked("hold").is_some() {
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.asked("body").is_none() {
            return Action::Continue;
        }
        if !end_of_stream {
            return Action::Pause;
        }
        self.change_body("body", size, |stream, start, size, value| stream.set_http_request_body(start, size, value));
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        let trailers = self.get_http_request_trailers();
        self.found("x-request-trailers", format!("{count} {}", trailers.len()));
        self.set_http_request_trailer("x-trailer-set", Some("1"));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if self.asked("crash-response").is_some() {
            panic!("asked to crash in the response");
        }
        let status = self.get_http_response_header(":status").unwrap_or_default();
        self.found("x-response", format!("{status} {end_of_stream}"));
        if self.asked("response-body").is_some() {
            self.set_http_response_header("content-length", None);
        }
        if self.asked("reply-late").is_some() && status != "418" {
            self.send_http_response(418, vec![("x-own", "late")], Some(b"late body"));
            return Action::Pause;
        }
        if let Some(status) = self.asked("status") {
            self.set_http_response_header(":status", Some(&status));
        }
        for (name, value) in std::mem::take(&mut self.found) {
            self.add_http_response_header(&name, &value);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.asked("response-body").is_none() {
            return Action::Continue;
        }
        if !end_of_stream {
            return Action::Pause;
        }
        self.change_body("response-body", size, |stream, start, size, value| {
            stream.set_http_response_body(start, size, value)
        });
        Action::Continue
    }

    fn on_log(&mut self) {
        let status = self.get_http_response_header(":status").unwrap_or_default();
        let path = self.get_http_request_header(":path").unwrap_or_default();
        info(&format!("done: {path} {status}"));
        if let Some(cluster) = self.call_in_log.take() {
            self.call(&cluster, "/from-log");
        }
    }
}
