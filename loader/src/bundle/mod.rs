//! Fat plugins: one `.wasm` file that also carries the plugin's native images.
//!
//! A fat plugin is the wasm module, byte for byte, and behind it custom sections that every other host passes over. `docs/fat-plugins.md`
//! has the layout with its reasons.
//!
//! ```text
//!   format   names, offsets and limits; each header to bytes and back
//!   machine  names of machines, and what an ELF file says of its own
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

/// A fat plugin, its structure and its digests checked. Refers to the bytes that it was read from.
///
/// That the digests are right says that the file is whole, not who made it: for that, check [`signature`](Bundle::signature) over
/// [`signed_bytes`](Bundle::signed_bytes).
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
    /// The machine that it is for, as Rust and `uname -m` name it: `x86_64`, `aarch64`.
    pub machine: &'a str,
    /// SHA-256 of [`bytes`](Image::bytes).
    pub digest: [u8; 32],
    /// The shared object.
    pub bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// Reads a wasm module. `None`: a plain one, without native images. What is before the images is checked only as far as to find
    /// where it ends; whether it is a valid module is the engine's to say.
    ///
    /// Never panics, whatever the bytes are. Takes the time of one SHA-256 over all of them if they are a fat plugin.
    ///
    /// # Errors
    ///
    /// The bytes are no wasm module, or one that begins to be a fat plugin and is not whole; see [`BundleError`].
    pub fn read(bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, BundleError> {
        read::read(bytes)
    }

    /// The wasm module, byte for byte what was bundled.
    pub fn wasm(&self) -> &'a [u8] {
        self.wasm
    }

    /// The native images, in the order of the file. At least one, no two for the same machine.
    pub fn images(&self) -> impl ExactSizeIterator<Item = Image<'a>> {
        self.images.iter().copied()
    }

    /// The image for a machine.
    pub fn image_for(&self, machine: &str) -> Option<Image<'a>> {
        self.images().find(|image| image.machine == machine)
    }

    /// What a signature is over: the manifest, which has the digests of the wasm module and of each image.
    pub fn signed_bytes(&self) -> &'a [u8] {
        self.manifest
    }

    /// The signature as minisign prints it, four lines of text. It has not been verified.
    pub fn signature(&self) -> Option<&'a str> {
        self.signature
    }
}

/// A digest in hexadecimal digits, as `sha256sum` prints it.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
