//! Fat plugins: one `.wasm` file that also carries native images of the plugin.
//!
//! A fat plugin is the unchanged wasm module followed by custom sections, which every other host
//! ignores. `docs/fat-plugins.md` describes the layout and its reasons.
//!
//! ```text
//!   format   names, offsets and limits; each header to bytes and back
//!   machine  names of machines, and the machine of an ELF file
//!   read     from bytes to a checked bundle, in one pass
//!   write    from a module and images to bytes
//! ```

mod error;
mod format;
mod machine;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::BundleError;
pub use format::{MANIFEST_SECTION, MAX_IMAGES, MAX_SIGNATURE_LEN, MAX_SIZE, NATIVE_SECTION, SIGNATURE_SECTION};
pub use machine::{MACHINES, this_machine};
pub use write::BundleWriter;

/// A parsed fat plugin whose structure and digests are correct. Borrows the bytes that it was read
/// from.
///
/// Correct digests show that the file is complete, not who made it. For that, verify
/// [`signature`](Bundle::signature) over [`signed_bytes`](Bundle::signed_bytes).
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    wasm: &'a [u8],
    images: Vec<Image<'a>>,
    manifest: &'a [u8],
    signature: Option<&'a str>,
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
    /// Parses a wasm module. `None` if it is a plain one, without native images.
    ///
    /// The module itself is parsed only as far as needed to find its end; the engine validates it.
    /// Never panics. For a fat plugin, takes the time of one SHA-256 over all bytes.
    ///
    /// # Errors
    ///
    /// [`BundleError`]: the bytes are not a wasm module, or are an incomplete or damaged fat
    /// plugin.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, BundleError> {
        read::read(bytes)
    }

    /// The wasm module, byte for byte as it was bundled.
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
