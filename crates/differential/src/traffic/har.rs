//! HAR archives (HTTP Archive 1.2): recorded requests and responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::scenario::{Body, Bytes, Lines, RequestStep, ResponseStep, Step};

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: HarRequest,
    response: Option<HarResponse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    post_data: Option<Content>,
}

#[derive(Deserialize)]
struct HarResponse {
    status: i64,
    #[serde(default)]
    headers: Vec<Pair>,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Content {
    text: Option<String>,
    encoding: Option<String>,
}

/// Parses an archive.
///
/// # Errors
///
/// The text is not an archive, or has no entries; the message has line and column, or the entry.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    // Some tools write a byte order mark.
    let archive: Archive =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    if archive.log.entries.is_empty() {
        return Err("it has no entries".to_owned());
    }
    let steps = archive.log.entries.into_iter().enumerate();
    steps.map(|(index, entry)| step(entry).map_err(|error| format!("entry {}: {error}", index + 1))).collect()
}

fn step(entry: Entry) -> Result<Step, String> {
    let Entry { request, response } = entry;
    let (authority, path) = split(&request.url)?;
    let body = body(request.post_data)?;
    let host = request.headers.iter().find(|pair| pair.name.eq_ignore_ascii_case("host"));
    let authority = host.map_or(authority, |host| host.value.clone());
    let (headers, body) = (headers(request.headers, &body), Body::Whole(body));
    // A status of 0 or less means that the request was blocked or failed.
    let response = match response.map(|response| (u32::try_from(response.status), response)) {
        Some((Ok(status), response)) if status > 0 => Some(self::response(status, response)?),
        _ => None,
    };
    Ok(Step::Request(Box::new(RequestStep {
        method: Some(request.method.into()),
        path: Some(path.into()),
        authority: Some(authority.into()),
        headers,
        body,
        trailers: Lines::default(),
        response,
    })))
}

fn response(status: u32, response: HarResponse) -> Result<ResponseStep, String> {
    let body = body(response.content)?;
    let headers = headers(response.headers, &body);
    Ok(ResponseStep { status: Some(status), headers, body: Body::Whole(body), trailers: Lines::default() })
}

/// Authority and path of a URL.
fn split(url: &str) -> Result<(String, String), String> {
    let (_, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} is not a URL with a scheme and a host"))?;
    let rest = rest.split('#').next().unwrap_or_default();
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((authority.to_owned(), path))
}

fn body(content: Option<Content>) -> Result<Bytes, String> {
    let Some(Content { text: Some(text), encoding }) = content else { return Ok(Bytes::default()) };
    match encoding.as_deref() {
        None | Some("") => Ok(text.into()),
        Some("base64") => {
            let bytes = STANDARD.decode(text.trim());
            bytes.map(Bytes).map_err(|error| format!("a body is not base64, which its encoding declares: {error}"))
        }
        Some(other) => Err(format!("unknown encoding {other:?} of a body: HAR has only base64")),
    }
}

/// Headers as a plugin receives them: names in lower case, no pseudo-headers, no connection
/// headers. Bodies in archives are decoded and whole, so headers that say otherwise are removed,
/// and the length is the body's.
fn headers(pairs: Vec<Pair>, body: &Bytes) -> Lines {
    const LEFT_OUT: [&str; 7] =
        ["host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-encoding"];
    let mut lines = Lines::default();
    for Pair { name, value } in pairs {
        let name = name.to_ascii_lowercase();
        if name.starts_with(':') || LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let value = if name == "content-length" { body.len().to_string() } else { value };
        lines.push(name, value);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read() {
        let text = r#"{"log": {"version": "1.2", "creator": {"name": "x"}, "entries": [
            {"time": 5, "request": {"method": "POST", "url": "https://u:p@example.com:8443/a?b=c#d", "httpVersion": "h2",
                "headers": [{"name": ":method", "value": "POST"}, {"name": "X-A", "value": "1"}, {"name": "Host", "value": "h"}],
                "postData": {"mimeType": "text/plain", "text": "body"}},
             "response": {"status": 200, "headers": [{"name": "Content-Encoding", "value": "gzip"},
                {"name": "Content-Length", "value": "99"}], "content": {"text": "/wA=", "encoding": "base64"}}},
            {"request": {"method": "GET", "url": "http://example.com?q"}, "response": {"status": 0}}
        ]}}"#;
        let steps = parse(text).unwrap();
        let [Step::Request(first), Step::Request(second)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((first.authority.clone(), first.path.clone()), (Some("h".into()), Some("/a?b=c".into())));
        assert_eq!(first.headers.0, [("x-a".into(), "1".into())]);
        assert_eq!(first.body, Body::Whole("body".into()));
        let response = first.response.as_ref().unwrap();
        assert_eq!(response.headers.0, [("content-length".into(), "2".into())]);
        assert_eq!(response.body, Body::Whole(vec![0xff, 0].into()));
        assert_eq!((second.authority.clone(), second.path.clone()), (Some("example.com".into()), Some("/?q".into())));
        assert!(second.response.is_none());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let entry = |entry: &str| format!(r#"{{"log": {{"entries": [{entry}]}}}}"#);
        for (text, part) in [
            ("{\"log\":\n{}}".to_owned(), "missing field `entries` at line 2"),
            (entry(""), "it has no entries"),
            (entry(r#"{"request": {"method": "GET", "url": "nowhere"}}"#), "entry 1: \"nowhere\" is not a URL"),
            (
                entry(
                    r#"{"request": {"method": "GET", "url": "a://b", "postData": {"text": "?", "encoding": "base64"}}}"#,
                ),
                "entry 1: a body is not base64",
            ),
            (
                entry(
                    r#"{"request": {"method": "GET", "url": "a://b", "postData": {"text": "?", "encoding": "zip"}}}"#,
                ),
                "encoding \"zip\"",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{part:?} is in {error:?}");
        }
    }
}
