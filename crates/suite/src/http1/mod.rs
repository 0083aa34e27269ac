//! Parses headers from HTTP/1 text into the pseudo-headers of HTTP/2.
//!
//! The crate `httparse` parses the lines. The rules for messages (target, body length) are those of
//! quiche's Balsa, which the wasm-tester uses.

mod target;

use dynvm::host::HeaderMap as _;
use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Request, Response, Status};

use crate::header_map::SortedHeaders;

/// Maximum size of a message's headers, including the first line and the blank line.
const MAX_BYTES: usize = 16 * 1024;

/// Maximum number of header lines.
const MAX_LINES: usize = 1024;

/// Request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// Parses the headers of a message. Text after the blank line is ignored.
pub(crate) fn parse(text: &[u8], kind: Kind) -> Result<SortedHeaders, String> {
    // A suite may leave out the blank line.
    let message = [text, b"\r\n\r\n"].concat();
    let mut lines = [EMPTY_HEADER; MAX_LINES];
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    match kind {
        Kind::Request => {
            let mut request = Request::new(&mut lines);
            check(config.parse_request(&mut request, &message), "METHOD TARGET HTTP/1.1")?;
            from_request(request.method.unwrap_or_default(), request.path.unwrap_or_default(), request.headers)
        }
        Kind::Response => {
            let mut response = Response::new(&mut lines);
            check(config.parse_response(&mut response, &message), "HTTP/1.1 STATUS")?;
            from_response(response.code.unwrap_or_default(), response.headers)
        }
    }
}

/// The error of a failed parse.
fn check(parsed: httparse::Result<usize>, first_line: &str) -> Result<(), String> {
    match parsed {
        Ok(Status::Complete(bytes)) if bytes > MAX_BYTES => {
            Err(format!("the headers are longer than {MAX_BYTES} bytes"))
        }
        Ok(Status::Complete(_)) => Ok(()),
        // The blank line is present, so whatever is missing comes before it.
        Ok(Status::Partial) => Err(format!("missing first line; write {first_line}")),
        Err(Error::Token | Error::Version | Error::Status) => Err(format!("the first line is not {first_line}")),
        Err(Error::TooManyHeaders) => Err(format!("more than {MAX_LINES} headers")),
        Err(error) => Err(error.to_string()),
    }
}

fn from_request(method: &str, target: &str, lines: &[Header<'_>]) -> Result<SortedHeaders, String> {
    Framing::of(lines)?.check(matches!(method, "POST" | "PUT"))?;
    let is_host = |line: &Header<'_>| line.name.eq_ignore_ascii_case("host");
    let host = lines.iter().find(|line| is_host(line)).map_or(&b""[..], |line| line.value);
    let target = target::resolve(target, host)?;
    let mut headers = SortedHeaders::default();
    headers.add(b":method", method.as_bytes());
    for (name, value) in [(":scheme", &target.scheme), (":path", &Some(target.path)), (":authority", &target.authority)]
    {
        if let Some(value) = value {
            headers.add(name.as_bytes(), value);
        }
    }
    add(&mut headers, lines.iter().filter(|line| !(target.takes_host && is_host(line))));
    Ok(headers)
}

fn from_response(status: u16, lines: &[Header<'_>]) -> Result<SortedHeaders, String> {
    let framing = Framing::of(lines)?;
    let has_body = !matches!(status, 100..200 | 204 | 304);
    if has_body {
        framing.check(false)?;
    }
    let mut headers = SortedHeaders::default();
    headers.add(b":status", format!("{status:03}").as_bytes());
    add(&mut headers, lines.iter());
    Ok(headers)
}

fn add<'a>(headers: &mut SortedHeaders, lines: impl Iterator<Item = &'a Header<'a>>) {
    for line in lines {
        headers.add(line.name.to_ascii_lowercase().as_bytes(), line.value);
    }
}

/// Headers that determine the length of a body.
#[derive(Default)]
struct Framing {
    chunked: bool,
    length: Option<Result<u64, String>>,
}

impl Framing {
    fn of(lines: &[Header<'_>]) -> Result<Framing, String> {
        let mut framing = Framing::default();
        let mut encoding: Option<&[u8]> = None;
        for line in lines {
            if line.name.eq_ignore_ascii_case("content-length") {
                let length = length(line.value);
                if framing.length.as_ref().is_some_and(|before| *before != length) {
                    return Err("several Content-Length headers with different values".to_owned());
                }
                framing.length = Some(length);
            } else if line.name.eq_ignore_ascii_case("transfer-encoding") && encoding.replace(line.value).is_some() {
                return Err("several Transfer-Encoding headers".to_owned());
            }
        }
        match encoding {
            Some(value) if value.eq_ignore_ascii_case(b"chunked") => framing.chunked = true,
            Some(value) if !value.eq_ignore_ascii_case(b"identity") => {
                return Err(format!("unknown Transfer-Encoding {:?}", String::from_utf8_lossy(value)));
            }
            _ => {}
        }
        Ok(framing)
    }

    fn check(self, needs_length: bool) -> Result<(), String> {
        match self.length {
            _ if self.chunked => Ok(()),
            Some(length) => length.map(|_| ()),
            None if needs_length => Err("POST and PUT need a Content-Length or Transfer-Encoding header".to_owned()),
            None => Ok(()),
        }
    }
}

fn length(value: &[u8]) -> Result<u64, String> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // All unreadable values compare equal.
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| "the Content-Length is not a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: Kind) -> Result<Vec<String>, String> {
        let headers = parse(text.as_bytes(), kind)?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect())
    }

    #[track_caller]
    fn request(text: &str, expected: &[&str]) {
        assert_eq!(read(text, Kind::Request).unwrap(), expected, "{text:?}");
    }

    #[track_caller]
    fn refused(text: &str, kind: Kind, expected: &str) {
        let message = read(text, kind).unwrap_err();
        assert!(message.contains(expected), "{expected:?} is in {message:?}");
    }

    #[test]
    fn origin_form() {
        request("GET /a?b=c HTTP/1.1", &[":method: GET", ":path: /a?b=c"]);
        request(
            "\r\n\nGET / HTTP/1.1\nHost: h:80\r\nX-A:  1 \nx-a:2\nHOST: other\n\nbody: no",
            &[":authority: h:80", ":method: GET", ":path: /", "x-a: 1, 2"],
        );
        request("GET  /  HTTP/1.0\nHost:\n", &[":method: GET", ":path: /", "host: "]);
        for target in ["*", "a", "//h/a", "/a/../b", "/ä", "/a#b", "/a\\b"] {
            refused(&format!("GET {target} HTTP/1.1"), Kind::Request, "target");
        }
    }

    #[test]
    fn absolute_form() {
        request(
            "GET HTTP://Example.com:8080/a/../b?c#d HTTP/1.1\nHost: dropped\nhost: too",
            &[":authority: example.com:8080", ":method: GET", ":path: /b?c", ":scheme: http"],
        );
        request("GET https://h:443 HTTP/1.1", &[":authority: h", ":method: GET", ":path: /", ":scheme: https"]);
    }

    #[test]
    fn header_lines() {
        request(
            "GET / HTTP/1.1\nempty:\ntoken!#$: \ta\t\nbytes: \u{e9}",
            &[":method: GET", ":path: /", "bytes: \u{e9}", "empty: ", "token!#$: a"],
        );
        for line in [": x", "a b: x", "a,b: x", "(a): x", "quote\": x", "spaced : x", "no colon", "no-colon", " folded"]
        {
            refused(&format!("GET / HTTP/1.1\na: b\n{line}\n"), Kind::Request, "invalid header name");
        }
        refused("GET / HTTP/1.1\na: b\0c", Kind::Request, "invalid header value");
        refused(&format!("GET / HTTP/1.1\n{}", "a:\n".repeat(MAX_LINES + 1)), Kind::Request, "more than 1024 headers");
    }

    #[test]
    fn responses() {
        let response = |text: &str| read(text, Kind::Response);
        assert_eq!(response("HTTP/1.1 200 OK\nA: b").unwrap(), [":status: 200", "a: b"]);
        assert_eq!(response("HTTP/1.1 204").unwrap(), [":status: 204"]);
        assert_eq!(response("HTTP/1.1 204\ncontent-length: x").unwrap(), [":status: 204", "content-length: x"]);
        assert_eq!(response("HTTP/1.1  304  Not Modified").unwrap(), [":status: 304"]);
        for text in ["HTTP/1.1", "HTTP/1.1 two", "HTTP/1.1 2x OK", "HTTP/1.1 20", "HTTP/2 200", "GET / HTTP/1.1"] {
            refused(text, Kind::Response, "the first line is not HTTP/1.1 STATUS");
        }
    }

    #[test]
    fn lengths_of_bodies() {
        for (headers, mistake) in [
            ("", "POST and PUT need"),
            ("content-length: 1x", "not a number"),
            ("content-length: -1", "not a number"),
            ("content-length:", "not a number"),
            ("content-length: 99999999999999999999", "not a number"),
            ("content-length: 1\nContent-Length: 2", "with different values"),
            ("transfer-encoding: gzip", "unknown Transfer-Encoding"),
            ("transfer-encoding: chunked\ntransfer-encoding: chunked", "several Transfer-Encoding"),
        ] {
            refused(&format!("POST / HTTP/1.1\n{headers}"), Kind::Request, mistake);
        }
        for headers in [
            "content-length: 007",
            "content-length: 1\ncontent-length: 1",
            "transfer-encoding: Chunked",
            "transfer-encoding: chunked\ncontent-length: x",
        ] {
            assert!(read(&format!("PUT / HTTP/1.1\n{headers}"), Kind::Request).is_ok(), "{headers}");
        }
        assert!(read("PATCH / HTTP/1.1", Kind::Request).is_ok(), "only POST and PUT have to have one");
        refused("HTTP/1.1 200 OK\ncontent-length: x", Kind::Response, "not a number");
    }

    #[test]
    fn what_is_no_message() {
        for text in ["", "\r\n\n"] {
            refused(text, Kind::Request, "missing first line");
        }
        for text in
            [" GET /", "GET", "GET /", "GET  HTTP/1.1", "GET / b HTTP/1.1", "GET / HTTP/1.1 and more", "GET / HTTP/2"]
        {
            let mistake = if text.ends_with("more") {
                "invalid new line"
            } else {
                "the first line is not METHOD TARGET HTTP/1.1"
            };
            refused(text, Kind::Request, mistake);
        }
        let long = |size: usize| format!("GET / HTTP/1.1\na: {}", "x".repeat(size));
        refused(&long(MAX_BYTES), Kind::Request, "longer than");
        assert!(read(&long(MAX_BYTES - 30), Kind::Request).is_ok());
    }
}
