//! HTTP/1.1 messages on blocking connections: what a test's client and upstream need.

use std::io::{self, BufRead, Read, Write};

/// Maximum size of a message's head, and of its body.
const MOST_HEAD: usize = 256 << 10;
const MOST_BODY: u64 = 256 << 20;

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its first line: method and path, or status.
    pub start: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    fn has(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|value| String::from_utf8_lossy(value).to_ascii_lowercase().contains(token))
    }

    /// Whether the connection ends with this message.
    pub fn closes(&self) -> bool {
        self.has("connection", "close")
    }

    /// Whether the body is in chunks of its own framing, unless its length is in the headers.
    fn is_framed(&self) -> bool {
        self.header("content-length").is_some() || self.has("transfer-encoding", "chunked")
    }

    /// The bytes to send. `is_response`: a message without a body says so too.
    pub fn bytes(&self, is_response: bool) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        let line = |bytes: &mut Vec<u8>, name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        self.headers.iter().for_each(|(name, value)| line(&mut bytes, name, value));
        let in_chunks = !self.trailers.is_empty();
        if in_chunks {
            line(&mut bytes, "transfer-encoding", b"chunked");
        } else if !self.is_framed() && (is_response || !self.body.is_empty()) {
            line(&mut bytes, "content-length", self.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        if in_chunks {
            if !self.body.is_empty() {
                bytes.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
                bytes.extend_from_slice(&self.body);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n");
            self.trailers.iter().for_each(|(name, value)| line(&mut bytes, name, value));
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Reads a request. `None`: the connection ended before one began.
    pub fn read_request(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let Some(head) = head(from)? else { return Ok(None) };
        let mut headers = [httparse::EMPTY_HEADER; 256];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&head).map_err(io::Error::other)?;
        let start = format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let mut message = Message { start, headers: owned(request.headers), ..Message::default() };
        if message.is_framed() {
            message.read_body(from)?;
        }
        Ok(Some(message))
    }

    /// Reads a response. `to_head`: to a HEAD request, so without a body.
    pub fn read_response(from: &mut impl BufRead, to_head: bool) -> io::Result<Message> {
        let head = head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut headers = [httparse::EMPTY_HEADER; 256];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(&head).map_err(io::Error::other)?;
        let status = response.code.unwrap_or_default();
        let mut message = Message { start: status.to_string(), headers: owned(response.headers), ..Message::default() };
        if to_head || matches!(status, 100..=199 | 204 | 304) {
            return Ok(message);
        }
        if message.is_framed() {
            message.read_body(from)?;
        } else {
            from.take(MOST_BODY).read_to_end(&mut message.body)?;
        }
        Ok(message)
    }

    fn read_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        if self.has("transfer-encoding", "chunked") {
            loop {
                let size = u64::from_str_radix(line(from)?.split(';').next().unwrap_or_default().trim(), 16);
                let size = size.map_err(io::Error::other)?.min(MOST_BODY);
                if size == 0 {
                    break;
                }
                from.take(size).read_to_end(&mut self.body)?;
                line(from)?;
            }
            loop {
                let trailer = line(from)?;
                let Some((name, value)) = trailer.split_once(':') else { return Ok(()) };
                self.trailers.push((name.to_owned(), value.trim().into()));
            }
        }
        let length =
            self.header("content-length").and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
        from.take(length.unwrap_or(0).min(MOST_BODY)).read_to_end(&mut self.body)?;
        Ok(())
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect()
}

/// The bytes up to the empty line.
fn head(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if from.take((MOST_HEAD - before) as u64).read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if matches!(&head[before..], b"\r\n" | b"\n") {
            return Ok(Some(head));
        }
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(MOST_HEAD as u64).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Sends bytes in one piece, so that Envoy reads them in as few pieces as it can.
pub fn send(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read() {
        let headers = vec![("x".to_owned(), b"\xff".to_vec())];
        for (body, trailers) in [(&b""[..], false), (b"body", false), (b"body", true), (b"", true)] {
            let trailers = if trailers { vec![("t".to_owned(), b"1".to_vec())] } else { Vec::new() };
            let sent =
                Message { start: "POST /a HTTP/1.1".to_owned(), headers: headers.clone(), body: body.into(), trailers };
            let bytes = sent.bytes(false);
            let twice = [bytes.clone(), bytes].concat();
            let mut from = twice.as_slice();
            for _ in 0..2 {
                let read = Message::read_request(&mut from).unwrap().unwrap();
                assert_eq!((read.start.as_str(), &read.body, &read.trailers), ("POST /a", &sent.body, &sent.trailers));
                assert_eq!(read.headers[0], headers[0]);
            }
            assert_eq!(Message::read_request(&mut from).unwrap(), None);
            let sent = Message { start: "HTTP/1.1 200 OK".to_owned(), ..sent };
            let read = Message::read_response(&mut sent.bytes(true).as_slice(), false).unwrap();
            assert_eq!((read.start.as_str(), read.body, read.trailers), ("200", sent.body, sent.trailers));
        }
    }

    #[test]
    fn some_responses_have_no_body_and_some_end_with_the_connection() {
        let read = |text: &str, to_head| Message::read_response(&mut text.as_bytes(), to_head).unwrap().body;
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true), b"");
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\nrest", false), b"");
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nrest", false), b"rest");
        assert!(Message::read_response(&mut &b"HTTP/1.1 200"[..], false).is_err());
    }
}
