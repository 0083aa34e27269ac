//! Traces that tools leave in an artifact.

/// The version that follows a word, as in `proxy-wasm-0.2.5/`: digits and dots up to the end mark.
fn version_after(bytes: &[u8], word: &[u8], end: &[u8]) -> Option<String> {
    bytes.windows(word.len()).enumerate().filter(|(_, window)| *window == word).find_map(|(at, _)| {
        let rest = &bytes[at + word.len()..];
        let len = rest.iter().take(24).position(|byte| !(byte.is_ascii_alphanumeric() || b".-+".contains(byte)))?;
        let version = std::str::from_utf8(&rest[..len]).ok()?;
        (version.starts_with(|first: char| first.is_ascii_digit()) && rest[len..].starts_with(end))
            .then(|| version.to_owned())
    })
}

/// The SDK that left traces in an artifact.
#[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "only files are inspected"))]
pub(super) fn find_sdk(bytes: &[u8]) -> Option<String> {
    let rust = version_after(bytes, b"/proxy-wasm-", b"/src/");
    rust.map(|version| format!("proxy-wasm {version} (Rust)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_paths() {
        let bytes = b"xx/proxy-wasm-sdk/ /r/proxy-wasm-0.2.5/src/dispatcher.rs\0";
        assert_eq!(find_sdk(bytes).as_deref(), Some("proxy-wasm 0.2.5 (Rust)"));
        assert_eq!(find_sdk(b"/proxy-wasm-"), None);
        assert_eq!(find_sdk(b"/proxy-wasm-9"), None);
    }
}
