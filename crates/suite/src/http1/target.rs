//! The target of a request: its pseudo-headers.

use url::Url;

/// Pseudo-headers from the target and the `Host` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Option<Vec<u8>>,
    pub(super) path: Vec<u8>,
    pub(super) authority: Option<Vec<u8>>,
    /// Whether `Host` headers are removed.
    pub(super) takes_host: bool,
}

/// Splits a target: an absolute URL, or a path that equals its normalized form.
pub(super) fn resolve(target: &str, host: &[u8]) -> Result<Target, String> {
    let invalid = || format!("invalid target {target:?}: use a normalized path or an absolute URL");
    if let Ok(url) = Url::parse(target) {
        return Ok(absolute(&url));
    }
    let base = Url::parse("http://example.com").map_err(|_| invalid())?;
    let joined = base.join(target).map_err(|_| invalid())?;
    if path_for_request(&joined) != target {
        return Err(invalid());
    }
    let authority = Some(host.to_vec()).filter(|host| !host.is_empty());
    Ok(Target { scheme: None, path: target.as_bytes().to_vec(), takes_host: authority.is_some(), authority })
}

fn absolute(url: &Url) -> Target {
    let host = url.host_str().unwrap_or_default();
    let authority = match url.port().filter(|port| *port > 0) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    Target {
        scheme: Some(url.scheme().as_bytes().to_vec()),
        path: path_for_request(url).into_bytes(),
        authority: Some(authority.into_bytes()),
        takes_host: true,
    }
}

/// Path and query without the fragment.
fn path_for_request(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}
