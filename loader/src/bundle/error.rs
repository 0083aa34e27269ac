//! Errors of fat plugins.

/// Error of reading or writing a fat plugin. Offsets are in bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes are not a wasm module.
    #[error("this is not a WebAssembly module in binary form: {0}")]
    NotWasm(String),
    /// The sections cannot be walked.
    #[error(
        "the section at offset {offset:#x} cannot be read: {what}; the file is truncated or damaged: copy or build it again"
    )]
    Section {
        /// The offset of the section.
        offset: usize,
        /// The parser's error.
        what: String,
    },
    /// An item that may not follow the images.
    #[error(
        "{found} at offset {offset:#x}, where only {expected} may stand: the file was changed after it was bundled; bundle it again"
    )]
    Order {
        /// The offset of the item.
        offset: usize,
        /// The item.
        found: String,
        /// The items allowed there.
        expected: &'static str,
    },
    /// A length is not in its shortest encoding.
    #[error(
        "the section at offset {offset:#x} has a length that takes more bytes than it needs; bundle the plugin again"
    )]
    OverlongLength {
        /// The offset of the section.
        offset: usize,
    },
    /// The header of a section is truncated or has inconsistent values.
    #[error("section {section}: {what}; the file is damaged: copy it or bundle the plugin again")]
    Header {
        /// The section's name.
        section: &'static str,
        /// The defect.
        what: String,
    },
    /// The layout has an unknown, later version.
    #[error("section {section} has version {version}, but this build of DynVM reads version {known}: use a newer one")]
    Version {
        /// The section's name.
        section: &'static str,
        /// The version in the file.
        version: u8,
        /// The version that this build reads.
        known: u8,
    },
    /// There are images, but no manifest after them.
    #[error("the file ends without a manifest ({}): it is truncated; copy or bundle it again", super::MANIFEST_SECTION)]
    NoManifest,
    /// The fat plugin would have no image.
    #[error("there is no native image: name at least one, or use the plain .wasm")]
    NoImages,
    /// There are more images than [`MAX_IMAGES`](super::MAX_IMAGES).
    #[error("there are more than {} native images", super::MAX_IMAGES)]
    TooManyImages,
    /// Two images are for the same machine.
    #[error("there are two native images for {machine}: keep one")]
    DuplicateMachine {
        /// The machine's name.
        machine: String,
    },
    /// The name is not one of [`MACHINES`](super::MACHINES).
    #[error("{machine:?} is not the name of a machine: one of {}", super::names::machines())]
    UnknownMachine {
        /// The name.
        machine: String,
    },
    /// The image is not for the machine that it was added for.
    #[error(
        "the native image for {machine} is {found}: name the machine that it was built for, or build it for {machine}"
    )]
    WrongMachine {
        /// The name that the image was added under.
        machine: String,
        /// The format and machine of the file.
        found: String,
    },
    /// The bytes are not those that were bundled.
    #[error(
        "the {what} has another SHA-256 than the {section} section says: the file is damaged or was changed; bundle it again"
    )]
    Digest {
        /// `wasm module` or `native image for x86_64`.
        what: String,
        /// The section that has the expected digest.
        section: &'static str,
    },
    /// Manifest and images disagree.
    #[error("the manifest does not fit the file: {what}; bundle the plugin again")]
    Manifest {
        /// The disagreement.
        what: String,
    },
    /// The signature is not in the form that minisign prints.
    #[error("the signature is not one of minisign: {what}")]
    Signature {
        /// The defect.
        what: String,
    },
    /// The file would exceed the size limit of WebAssembly hosts.
    #[error(
        "the fat plugin would have {size} bytes; WebAssembly hosts take at most {}: strip the images (strip --strip-all)",
        super::MAX_SIZE
    )]
    TooLarge {
        /// The size in bytes.
        size: u64,
    },
}
