//! Headers from HTTP/1 text, as quiche's Balsa reads it by default, with the pseudo-headers of HTTP/2.
//!
//! A parser of our own: those of servers refuse much that this one lets through (folded lines, lines without a colon, any version), and a
//! suite that another tester runs should run here.

mod lines;
mod target;

use dynvm::host::HeaderMap as _;

use crate::header_map::SortedHeaders;
use lines::Line;

/// Most bytes of a message's headers, its first line and the blank one included.
const MAX_HEADERS: usize = 16 * 1024;

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// Reads the headers of a message. What follows the blank line is of no interest.
pub(crate) fn parse(text: &[u8], kind: Kind) -> Result<SortedHeaders, String> {
    let mut message = text.to_vec();
    message.extend_from_slice(b"\r\n\r\n");
    let start = message.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or("there is no first line")?;
    if message[start] <= b' ' {
        return Err("the first line begins with white space".to_owned());
    }
    let (first, head) = lines::split(&message[start..]);
    if first.len() + head.len() + 2 > MAX_HEADERS {
        return Err(format!("the headers are longer than {MAX_HEADERS} bytes"));
    }
    let first = FirstLine::parse(first);
    match kind {
        Kind::Request => request(&first, head),
        Kind::Response => response(&first, head),
    }
}

fn request(first: &FirstLine<'_>, head: &[u8]) -> Result<SortedHeaders, String> {
    // Without a version it is of HTTP/0.9, which has no headers.
    let has_headers = !first.rest.is_empty();
    let lines = if has_headers { lines::headers(head)? } else { Vec::new() };
    if has_headers {
        Framing::of(&lines)?.check(matches!(first.first, b"POST" | b"PUT"))?;
    }
    let host = lines.iter().find(|line| line.is(b"host")).map_or(&b""[..], |line| line.value);
    let target = target::resolve(first.second, host)?;
    let mut headers = SortedHeaders::default();
    headers.add(b":method", first.first);
    for (name, value) in [(":scheme", &target.scheme), (":path", &Some(target.path)), (":authority", &target.authority)]
    {
        if let Some(value) = value {
            headers.add(name.as_bytes(), value);
        }
    }
    add(&mut headers, lines.iter().filter(|line| !(target.takes_host && line.is(b"host"))));
    Ok(headers)
}

fn response(first: &FirstLine<'_>, head: &[u8]) -> Result<SortedHeaders, String> {
    let status = std::str::from_utf8(first.second).ok().and_then(|code| code.parse::<i32>().ok());
    let Some(status) = status else {
        return Err(format!("{:?} is no status", String::from_utf8_lossy(first.second)));
    };
    let lines = lines::headers(head)?;
    let framing = Framing::of(&lines)?;
    let has_body = !matches!(status, 100..200 | 204 | 304);
    if has_body {
        framing.check(false)?;
    }
    let mut headers = SortedHeaders::default();
    headers.add(b":status", first.second);
    add(&mut headers, lines.iter());
    Ok(headers)
}

fn add<'a>(headers: &mut SortedHeaders, lines: impl Iterator<Item = &'a Line<'a>>) {
    for line in lines {
        headers.add(&line.name.to_ascii_lowercase(), line.value);
    }
}

/// The three parts of a first line; the third is all of the rest.
struct FirstLine<'a> {
    first: &'a [u8],
    second: &'a [u8],
    rest: &'a [u8],
}

impl<'a> FirstLine<'a> {
    fn parse(line: &'a [u8]) -> FirstLine<'a> {
        let (first, after) = island(line);
        let (second, after) = island(after);
        FirstLine { first, second, rest: lines::trim(after) }
    }
}

/// What is not white space at the beginning, after white space, and what follows it.
fn island(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().position(|byte| *byte > b' ').unwrap_or(text.len());
    let text = &text[start..];
    text.split_at(text.iter().position(|byte| *byte <= b' ').unwrap_or(text.len()))
}

/// What headers say of a body's length.
#[derive(Default)]
struct Framing {
    chunked: bool,
    length: Option<Result<u64, String>>,
}

impl Framing {
    fn of(lines: &[Line<'_>]) -> Result<Framing, String> {
        let mut framing = Framing::default();
        let mut encoding: Option<&[u8]> = None;
        for line in lines {
            if line.is(b"content-length") {
                let length = length(line.value);
                if framing.length.as_ref().is_some_and(|before| *before != length) {
                    return Err("there are several Content-Length headers, and they differ".to_owned());
                }
                framing.length = Some(length);
            } else if line.is(b"transfer-encoding") && encoding.replace(line.value).is_some() {
                return Err("there are several Transfer-Encoding headers".to_owned());
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
    // All that cannot be read is the same to the comparison of two headers.
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
        request("GET  /  b HTTP/1.1 and more\nHost:\n", &[":method: GET", ":path: /", "host: "]);
        // HTTP/0.9
        request("GET /\nx: y", &[":method: GET", ":path: /"]);
        for target in ["*", "a", "//h/a", "/a/../b", "/ä", "/a#b", "", "/a\\b"] {
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
    fn header_lines_that_servers_refuse() {
        request(
            "GET / HTTP/1.1\nfolded: a\n b\nno-colon\nquote\": 1\nempty:\n",
            &[":method: GET", ":path: /", "empty: ", "folded: a\n b", "no-colon: ", "quote\": 1"],
        );
        for line in [": x", "a b: x", "a,b: x", "(a): x", "spaced : x", "no colon"] {
            refused(&format!("GET / HTTP/1.1\n{line}\n"), Kind::Request, "name of a header");
        }
    }

    #[test]
    fn responses() {
        let response = |text: &str| read(text, Kind::Response);
        assert_eq!(response("HTTP/1.1 200 OK\nA: b").unwrap(), [":status: 200", "a: b"]);
        assert_eq!(response("HTTP/1.1 204").unwrap(), [":status: 204"]);
        assert_eq!(response("HTTP/1.1 204\ncontent-length: x").unwrap(), [":status: 204", "content-length: x"]);
        for text in ["HTTP/1.1", "HTTP/1.1 two", "HTTP/1.1 2x OK"] {
            refused(text, Kind::Response, "is no status");
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
            ("content-length: 1\nContent-Length: 2", "they differ"),
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
        for (text, mistake) in
            [("", "no first line"), ("\r\n\n", "no first line"), (" GET /", "begins with white space")]
        {
            refused(text, Kind::Request, mistake);
        }
        let long = |size: usize| format!("GET / HTTP/1.1\na: {}", "x".repeat(size));
        refused(&long(MAX_HEADERS), Kind::Request, "longer than");
        assert!(read(&long(MAX_HEADERS - 30), Kind::Request).is_ok());
    }
}
