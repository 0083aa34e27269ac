//! A client and an upstream on HTTP/1.1, over the loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request or a response, headers in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `GET /path HTTP/1.1`, or the status.
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn read(stream: &mut impl BufRead, answers: &str) -> std::io::Result<Option<Message>> {
        let mut start = String::new();
        if stream.read_line(&mut start)? == 0 {
            return Ok(None);
        }
        let headers = lines(stream)?;
        let mut message = Message { start: start.trim_end().to_owned(), headers, ..Message::default() };
        let bodiless = answers == "HEAD" || message.status() == 204 || message.status() == 304;
        if bodiless {
            return Ok(Some(message));
        }
        if message.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut size = String::new();
                if stream.read_line(&mut size)? == 0 {
                    // Given up by the proxy.
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
                if size == 0 {
                    message.trailers = lines(stream)?;
                    break;
                }
                let mut chunk = vec![0; size];
                stream.read_exact(&mut chunk)?;
                message.body.extend_from_slice(&chunk);
                stream.read_line(&mut String::new())?;
            }
        } else if let Some(length) = message.header("content-length").and_then(|length| length.parse().ok()) {
            message.body = vec![0; length];
            stream.read_exact(&mut message.body)?;
        }
        Ok(Some(message))
    }
}

fn lines(stream: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { return Ok(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A connection to a port of this machine.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[&str],
    ) -> std::io::Result<Message> {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text.push_str("host: example.com\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match body {
            [] => text.push_str("\r\n"),
            [body] => text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len())),
            pieces => {
                text.push_str("transfer-encoding: chunked\r\n\r\n");
                for piece in pieces {
                    text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
                }
                text.push_str("0\r\n\r\n");
            }
        }
        self.exchange(method, &text)
    }

    /// Sends a POST with trailers.
    pub fn send_with_trailers(
        &mut self,
        path: &str,
        body: &[&str],
        trailers: &[(&str, &str)],
    ) -> std::io::Result<Message> {
        let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let mut text = format!("POST {path} HTTP/1.1\r\nhost: example.com\r\ntrailer: {names}\r\n");
        text.push_str("transfer-encoding: chunked\r\n\r\n");
        body.iter().for_each(|piece| text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len())));
        text.push_str("0\r\n");
        trailers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        text.push_str("\r\n");
        self.exchange("POST", &text)
    }

    /// Sends a request as it is.
    pub fn exchange(&mut self, method: &str, request: &str) -> std::io::Result<Message> {
        self.0.get_mut().write_all(request.as_bytes())?;
        Message::read(&mut self.0, method)?.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Sends one request on a connection of its own.
pub fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[&str]) -> Message {
    let sent = Client::connect(port).and_then(|mut client| client.send(method, path, headers, body));
    sent.unwrap_or_else(|error| panic!("{method} {path} to port {port}: {error}"))
}

/// Sends a GET with headers.
pub fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Message {
    send(port, "GET", path, headers, &[])
}

/// The answer to a path: status, headers, body.
pub type Answer = (u16, Vec<(String, String)>, String);

/// Answers every request, and notes it.
pub struct Upstream {
    pub port: u16,
    requests: Arc<Mutex<Vec<Message>>>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

impl Upstream {
    pub fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream =
            Upstream { port: listener.local_addr().unwrap().port(), requests: Arc::default(), answers: Arc::default() };
        let (requests, answers) = (upstream.requests.clone(), upstream.answers.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (requests, answers) = (requests.clone(), answers.clone());
                std::thread::spawn(move || serve(&stream, &requests, &answers));
            }
        });
        upstream
    }

    /// Sets the answer to requests for a path; others get 200 and the path.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// The requests so far, which are forgotten.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn serve(stream: &TcpStream, requests: &Mutex<Vec<Message>>, answers: &Mutex<HashMap<String, Answer>>) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(request)) = Message::read(&mut reader, "") {
        let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let method = request.start.split(' ').next().unwrap_or_default().to_owned();
        requests.lock().unwrap().push(request);
        let known = answers.lock().unwrap().get(&path).cloned();
        let (status, headers, body) = known.unwrap_or_else(|| (200, Vec::new(), path));
        let mut text = format!("HTTP/1.1 {status} OK\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if status == 204 || status == 304 || method == "HEAD" {
            text.push_str("\r\n");
        } else {
            text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        }
        if (&*stream).write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
