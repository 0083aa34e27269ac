//! A fat plugin and its native images, as parsed.

/// A parsed fat plugin whose structure and digests are correct. Borrows the bytes that it was read
/// from.
///
/// Correct digests show that the file is complete, not who made it. For that, verify
/// [`signature`](Bundle::signature) over [`signed_bytes`](Bundle::signed_bytes).
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    pub(super) wasm: &'a [u8],
    pub(super) images: Vec<Image<'a>>,
    pub(super) manifest: &'a [u8],
    pub(super) signature: Option<&'a str>,
}

/// One native image in a fat plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image<'a> {
    /// The image's machine, as Rust and `uname -m` name it: `x86_64`, `aarch64`.
    pub machine: &'a str,
    /// SHA-256 of [`bytes`](Image::bytes).
    pub digest: [u8; 32],
    /// The shared object.
    pub bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// The wasm module, byte for byte as it was bundled, and the signature of the whole file that `wasmsign2` added behind its header.
    pub fn wasm(&self) -> &'a [u8] {
        self.wasm
    }

    /// The native images, in the order of the file: at least one, and at most one per machine.
    pub fn images(&self) -> impl ExactSizeIterator<Item = Image<'a>> {
        self.images.iter().copied()
    }

    /// The image for a machine, if there is one.
    pub fn image_for(&self, machine: &str) -> Option<Image<'a>> {
        self.images().find(|image| image.machine == machine)
    }

    /// The bytes covered by a signature: the manifest, which has the digests of the wasm module and
    /// of each image.
    pub fn signed_bytes(&self) -> &'a [u8] {
        self.manifest
    }

    /// The signature as minisign prints it, four lines of text. Not verified.
    pub fn signature(&self) -> Option<&'a str> {
        self.signature
    }
}

/// Formats a digest in hexadecimal, as `sha256sum` prints it.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
