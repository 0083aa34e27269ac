//! Kinds of artifacts, told by their content.

use std::fmt;

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// An ELF file.
    Native,
    /// A WebAssembly module in binary form.
    Wasm,
    /// A WebAssembly module in text form.
    WasmText,
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArtifactKind::Native => "native",
            ArtifactKind::Wasm => "wasm",
            ArtifactKind::WasmText => "wasm text",
        })
    }
}

/// What runs a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// The processor, in an image that the system's loader opened.
    Native,
    /// wasmtime.
    Wasm,
}

impl BackendKind {
    /// Its name in metrics and logs: `native` or `wasm`.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Native => "native",
            BackendKind::Wasm => "wasm",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ArtifactKind {
    /// Tells the kind from the first bytes.
    ///
    /// # Errors
    ///
    /// What it is instead, and what to do.
    pub fn of(bytes: &[u8]) -> Result<ArtifactKind, String> {
        const EXPECTED: &str = "a plugin is an ELF shared object (.so) or a WebAssembly module (.wasm)";
        let others: [(&[u8], &str); 6] = [
            (
                b"\0asm\x0d\0\x01\0",
                "a WebAssembly component, not a core module: Proxy-Wasm plugins are core modules (build for wasm32-wasip1, not wasip2)",
            ),
            (b"MZ", "a Windows program"),
            (b"\xcf\xfa\xed\xfe", "a Mach-O file (macOS)"),
            (b"!<arch>\n", "a static library or archive: link it into a shared object (crate-type = [\"cdylib\"])"),
            (b"\x1f\x8b", "compressed with gzip: unpack it first"),
            (b"PK\x03\x04", "a zip archive: unpack it first"),
        ];
        if bytes.is_empty() {
            return Err(format!("the file is empty; {EXPECTED}"));
        }
        if let Some((_, what)) = others.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return Err(format!("this is {what}; {EXPECTED}"));
        }
        if bytes.starts_with(b"\x7fELF") {
            return Ok(ArtifactKind::Native);
        }
        if bytes.starts_with(b"\0asm") {
            return Ok(ArtifactKind::Wasm);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if is_wasm_text(text) => Ok(ArtifactKind::WasmText),
            Ok(_) => Err(format!("this is a text file; {EXPECTED}, or a WebAssembly text that begins with (module")),
            Err(_) => Err(format!(
                "this is neither ELF nor WebAssembly (first bytes {:02x?}); {EXPECTED}",
                &bytes[..bytes.len().min(4)]
            )),
        }
    }
}

/// Whether a text begins, after comments, with `(module`.
fn is_wasm_text(mut text: &str) -> bool {
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix(";;") {
            text = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(rest) = text.strip_prefix("(;") {
            text = rest.split_once(";)").map_or("", |(_, rest)| rest);
        } else {
            return text.starts_with("(module");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_tells() {
        assert_eq!(ArtifactKind::of(b"\x7fELF\x02\x01"), Ok(ArtifactKind::Native));
        assert_eq!(ArtifactKind::of(b"\0asm\x01\0\0\0"), Ok(ArtifactKind::Wasm));
        assert_eq!(ArtifactKind::of(b"\n;; c\n(; x ;) (module)"), Ok(ArtifactKind::WasmText));
        for (bytes, what) in [
            (&b""[..], "empty"),
            (b"hello", "text file"),
            (b"\x00\xff\xfe\xfd", "neither"),
            (b"\0asm\x0d\0\x01\0", "component"),
            (b"!<arch>\nx", "archive"),
        ] {
            let message = ArtifactKind::of(bytes).unwrap_err();
            assert!(message.contains(what), "{message}");
        }
    }
}
