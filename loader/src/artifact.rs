//! Kinds of artifacts, detected by content, and the description of a loaded one.

mod digest;

use std::fmt;

use dynvm_abi::version::AbiVersion;

pub(crate) use digest::{Digest, sha256};

use crate::limitation::Limitation;
use crate::pin::PinReason;

/// The format of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// An ELF shared object.
    Native,
    /// A WebAssembly module in binary form.
    Wasm,
    /// A WebAssembly module in text form.
    WasmText,
    /// A part of this program.
    Linked,
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArtifactKind::Native => "native",
            ArtifactKind::Wasm => "wasm",
            ArtifactKind::WasmText => "wasm text",
            ArtifactKind::Linked => "linked",
        })
    }
}

/// The backend that runs a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Native code, in an image opened by the system's loader.
    Native,
    /// WebAssembly, run by wasmtime.
    Wasm,
    /// Native code that is part of this program.
    Null,
}

impl BackendKind {
    /// The name used in metrics and logs: `native`, `wasm` or `null`.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Native => "native",
            BackendKind::Wasm => "wasm",
            BackendKind::Null => "null",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ArtifactKind {
    /// The backend for artifacts of this kind.
    pub const fn backend(self) -> BackendKind {
        match self {
            ArtifactKind::Native => BackendKind::Native,
            ArtifactKind::Wasm | ArtifactKind::WasmText => BackendKind::Wasm,
            ArtifactKind::Linked => BackendKind::Null,
        }
    }

    /// Detects the kind from the first bytes.
    ///
    /// # Errors
    ///
    /// The text says what the bytes are instead, and how to get a plugin from them.
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

/// True if the text begins with `(module`, after comments and white space.
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

/// Description of a loaded module.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// The path of the file, or the name passed to
    /// [`Loader::load_bytes`](crate::Loader::load_bytes).
    pub name: String,
    /// Format of the code that runs: for a fat plugin, of the chosen part.
    pub kind: ArtifactKind,
    /// Size of the artifact in bytes: for a fat plugin, of the whole file.
    pub size: usize,
    /// The ABI version that the plugin was built for.
    pub abi_version: AbiVersion,
    /// The part of a fat plugin that runs, with the reason. `None` for other artifacts.
    pub chosen: Option<Choice>,
    /// Why its VMs have to stay on the thread that created them; empty if they may move between threads
    /// ([`Vm::into_movable`](crate::Vm::into_movable)).
    pub pinned: Vec<PinReason>,
    /// The protections that its VMs lack, each with the reason; empty for wasm modules.
    pub limitations: Vec<Limitation>,
    pub(crate) digest: Digest,
}

impl ModuleInfo {
    /// The backend that runs the module.
    pub const fn backend(&self) -> BackendKind {
        self.kind.backend()
    }

    /// SHA-256 of the artifact, in lower-case hexadecimal.
    ///
    /// Of a native plugin's file, computed when it is first asked for. `None`: the file was overwritten before that.
    pub fn sha256(&self) -> Option<&str> {
        self.digest.get()
    }

    /// True if `artifact` has the digest of the artifact that this module was loaded from.
    pub fn is_of(&self, artifact: &[u8]) -> bool {
        self.size == artifact.len() && self.sha256().is_some_and(|digest| digest == sha256(artifact))
    }
}

/// Preferred part of a fat plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendPreference {
    /// The native image for this machine if there is one, it is allowed and it loads; otherwise the
    /// wasm module.
    #[default]
    Native,
    /// Always the wasm module. Plain shared objects are not affected.
    Wasm,
}

/// The chosen part of a fat plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// [`ArtifactKind::Native`] or [`ArtifactKind::Wasm`].
    pub part: ArtifactKind,
    /// Human-readable reason: `native image for x86_64`, or why the wasm module runs instead:
    /// `native plugins are not allowed`.
    pub reason: String,
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
