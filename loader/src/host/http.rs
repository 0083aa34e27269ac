//! Implements [`HeaderMap`] for types of the crate [`http`](::http). Feature `http`.
//!
//! The `Parts` of a request or response are one header map with the pseudo-headers in front, as
//! Proxy-Wasm hosts present them for every protocol version: `:method`, `:scheme`, `:authority`,
//! `:path`; `:status`. A bare [`http::HeaderMap`](::http::HeaderMap) is a map without
//! pseudo-headers, for trailers.
//!
//! - `host` is another name for `:authority`, as in Envoy: a request line of HTTP/1.1 has no
//!   authority, so the `Host` field stands in, and it is not listed a second time.
//! - Names are listed in lower case and lines of one name together, because that is how
//!   [`http::HeaderMap`](::http::HeaderMap) stores them.
//! - A line that the crate cannot represent is dropped: a name that is not a token, a value with a
//!   control character, a pseudo-header whose value does not parse. The plugin gets no error,
//!   because the ABI has no status for it.
//!
//! ```
//! use dynvm::host::HeaderMap;
//!
//! let request = http::Request::get("/pay?id=1").header("host", "shop.example").body(())?;
//! let (mut parts, ()) = request.into_parts();
//! assert_eq!(parts.get(b":path"), Some(&b"/pay?id=1"[..]));
//! assert_eq!(parts.get(b":authority"), Some(&b"shop.example"[..]));
//! parts.replace(b":path", b"/refused");
//! assert_eq!(parts.uri.path(), "/refused");
//! # Ok::<(), http::Error>(())
//! ```

use ::http::header::{HOST, HeaderName, HeaderValue};
use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{Method, StatusCode, Uri, request, response};

use super::HeaderMap;

impl HeaderMap for ::http::HeaderMap {
    fn len(&self) -> usize {
        ::http::HeaderMap::len(self)
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let name = HeaderName::from_bytes(name).ok()?;
        ::http::HeaderMap::get(self, name).map(HeaderValue::as_bytes)
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self {
            visit(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if let Some((name, value)) = line(name, value) {
            self.append(name, value);
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        if let Some((name, value)) = line(name, value) {
            self.insert(name, value);
        }
    }

    fn remove(&mut self, name: &[u8]) {
        if let Ok(name) = HeaderName::from_bytes(name) {
            http::HeaderMap::remove(self, name);
        }
    }

    fn clear(&mut self) {
        ::http::HeaderMap::clear(self);
    }
}

impl HeaderMap for request::Parts {
    fn len(&self) -> usize {
        let mut count = 0;
        self.for_each(&mut |_, _| count += 1);
        count
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        match Field::of(name) {
            Field::Method => Some(self.method.as_str().as_bytes()),
            Field::Scheme => self.uri.scheme_str().map(str::as_bytes),
            Field::Authority => authority(self),
            Field::Path => Some(path(&self.uri)),
            Field::Status => None,
            Field::Other => HeaderMap::get(&self.headers, name),
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for name in [&b":method"[..], b":scheme", b":authority", b":path"] {
            if let Some(value) = self.get(name) {
                visit(name, value);
            }
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| **name != HOST) {
            visit(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        match Field::of(name) {
            Field::Other => HeaderMap::add(&mut self.headers, name, value),
            // A pseudo-header occurs at most once.
            _ => self.replace(name, value),
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        match Field::of(name) {
            Field::Method => {
                if let Ok(method) = Method::from_bytes(value) {
                    self.method = method;
                }
            }
            Field::Scheme => set_scheme(self, value),
            Field::Authority => set_authority(self, value),
            Field::Path => set_path(self, value),
            Field::Status => {}
            Field::Other => HeaderMap::replace(&mut self.headers, name, value),
        }
    }

    /// Removes a field, but not method and path, without which there is no request.
    fn remove(&mut self, name: &[u8]) {
        match Field::of(name) {
            Field::Authority => {
                self.headers.remove(HOST);
                without_authority(&mut self.uri);
            }
            Field::Scheme => without_authority(&mut self.uri),
            Field::Method | Field::Path | Field::Status => {}
            Field::Other => HeaderMap::remove(&mut self.headers, name),
        }
    }

    /// Removes every field but method, scheme, authority and path, without which there is no
    /// request.
    fn clear(&mut self) {
        let host = self.headers.remove(HOST);
        self.headers.clear();
        if let Some(host) = host {
            self.headers.insert(HOST, host);
        }
    }
}

impl HeaderMap for response::Parts {
    fn len(&self) -> usize {
        self.headers.len() + 1
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        match name {
            b":status" => Some(self.status.as_str().as_bytes()),
            _ => HeaderMap::get(&self.headers, name),
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        visit(b":status", self.status.as_str().as_bytes());
        self.headers.for_each(visit);
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" => self.replace(name, value),
            _ => HeaderMap::add(&mut self.headers, name, value),
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" => {
                if let Ok(status) = StatusCode::from_bytes(value) {
                    self.status = status;
                }
            }
            _ => HeaderMap::replace(&mut self.headers, name, value),
        }
    }

    fn remove(&mut self, name: &[u8]) {
        HeaderMap::remove(&mut self.headers, name);
    }

    /// Removes every field but the status, without which there is no response.
    fn clear(&mut self) {
        self.headers.clear();
    }
}

/// The part of a request that a name selects.
enum Field {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Other,
}

impl Field {
    fn of(name: &[u8]) -> Field {
        match name {
            b":method" => Field::Method,
            b":scheme" => Field::Scheme,
            b":authority" => Field::Authority,
            b":path" => Field::Path,
            b":status" => Field::Status,
            _ if name.eq_ignore_ascii_case(b"host") => Field::Authority,
            _ => Field::Other,
        }
    }
}

fn line(name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

fn authority(parts: &request::Parts) -> Option<&[u8]> {
    let of_uri = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    of_uri.or_else(|| parts.headers.get(HOST).map(HeaderValue::as_bytes))
}

/// The path with its query. `OPTIONS *` has the path `*`; the authority form of `CONNECT` has none.
fn path(uri: &Uri) -> &[u8] {
    uri.path_and_query().map_or(b"", |path| path.as_str().as_bytes())
}

fn set_path(parts: &mut request::Parts, value: &[u8]) {
    let Ok(path) = PathAndQuery::try_from(value) else { return };
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query = Some(path);
    set_uri(parts, uri);
}

/// Sets the scheme. A `Uri` can have a scheme only together with an authority, so the authority
/// moves into it from the `Host` field.
fn set_scheme(parts: &mut request::Parts, value: &[u8]) {
    let Ok(scheme) = Scheme::try_from(value) else { return };
    let Some(authority) = authority(parts).and_then(|authority| Authority::try_from(authority).ok()) else { return };
    let mut uri = parts.uri.clone().into_parts();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    set_uri(parts, uri);
}

/// Sets the authority wherever the request has it: in the URI, in the `Host` field, or in both.
fn set_authority(parts: &mut request::Parts, value: &[u8]) {
    let Ok(authority) = Authority::try_from(value) else { return };
    let in_uri = parts.uri.authority().is_some();
    if !in_uri || parts.headers.contains_key(HOST) {
        let Ok(host) = HeaderValue::from_bytes(value) else { return };
        parts.headers.insert(HOST, host);
    }
    if in_uri {
        let mut uri = parts.uri.clone().into_parts();
        uri.authority = Some(authority);
        set_uri(parts, uri);
    }
}

fn set_uri(parts: &mut request::Parts, uri: ::http::uri::Parts) {
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
}

/// Reduces a URI to its path and query, the form of a request line in HTTP/1.1.
fn without_authority(uri: &mut Uri) {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *uri = Uri::from(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = ::http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn lines(map: &dyn HeaderMap) -> Vec<String> {
        let mut lines = Vec::new();
        map.for_each(&mut |name, value| {
            lines.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        });
        assert_eq!(lines.len(), map.len());
        lines
    }

    #[test]
    fn a_request_of_http_1_has_its_host_as_authority() {
        let mut parts = parts("/a?b", &[("Host", "x.example"), ("Accept", "*/*")]);
        assert_eq!(lines(&parts), [":method: GET", ":authority: x.example", ":path: /a?b", "accept: */*"]);
        assert_eq!(parts.get(b"HOST"), Some(&b"x.example"[..]));
        parts.replace(b":authority", b"y.example:8080");
        assert_eq!(parts.headers[HOST], "y.example:8080");
        assert_eq!(parts.uri, "/a?b");
        parts.replace(b":scheme", b"https");
        assert_eq!(parts.uri, "https://y.example:8080/a?b");
    }

    #[test]
    fn a_request_of_http_2_keeps_its_uri_whole() {
        let mut parts = parts("https://x.example/a", &[]);
        assert_eq!(lines(&parts), [":method: GET", ":scheme: https", ":authority: x.example", ":path: /a"]);
        parts.replace(b"host", b"y.example");
        parts.replace(b":path", b"/c?d=e");
        parts.replace(b":method", b"POST");
        assert_eq!(parts.uri, "https://y.example/c?d=e");
        assert!(!parts.headers.contains_key(HOST));
        assert_eq!(parts.method, Method::POST);
        parts.remove(b":authority");
        assert_eq!(lines(&parts), [":method: POST", ":path: /c?d=e"]);
    }

    #[test]
    fn what_is_no_header_is_not_stored() {
        let mut parts = parts("/", &[("host", "x.example")]);
        for (name, value) in
            [("x", "a\r\nb: c"), ("a b", "c"), (":path", "not a path"), (":method", "G T"), (":other", "x")]
        {
            parts.add(name.as_bytes(), value.as_bytes());
            parts.replace(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(lines(&parts), [":method: GET", ":authority: x.example", ":path: /"]);
        parts.replace(b"x", b"1");
        parts.add(b"X", b"2");
        assert_eq!(lines(&parts)[3..], ["x: 1", "x: 2"]);
        parts.clear();
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn a_response_has_its_status() {
        let mut parts = ::http::Response::builder().status(404).header("a", "b").body(()).unwrap().into_parts().0;
        assert_eq!(lines(&parts), [":status: 404", "a: b"]);
        parts.replace(b":status", b"200");
        parts.replace(b":status", b"20x");
        assert_eq!(parts.status, StatusCode::OK);
        parts.clear();
        assert_eq!(lines(&parts), [":status: 200"]);
    }
}
