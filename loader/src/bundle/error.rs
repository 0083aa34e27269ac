//! What can be wrong with a fat plugin.

/// Why bytes are not a fat plugin, or why none can be made. Offsets are in bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No wasm module at all.
    #[error("this is not a WebAssembly module in binary form: {0}")]
    NotWasm(String),
    /// The sections cannot be walked.
    #[error(
        "the section at offset {offset:#x} cannot be read: {what}; the file is truncated or damaged: copy or build it again"
    )]
    Section {
        /// Where the section begins.
        offset: usize,
        /// What wasmparser said.
        what: String,
    },
    /// Something follows that does not belong behind the images.
    #[error(
        "{found} at offset {offset:#x}, where only {expected} may stand: the file was changed after it was bundled; bundle it again"
    )]
    Order {
        /// Where it begins.
        offset: usize,
        /// What stands there.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A length takes more bytes than it needs.
    #[error(
        "the section at offset {offset:#x} has a length that takes more bytes than it needs; bundle the plugin again"
    )]
    OverlongLength {
        /// Where the section begins.
        offset: usize,
    },
    /// The header of a section is cut short or has values that do not fit.
    #[error("section {section}: {what}; the file is damaged: copy it or bundle the plugin again")]
    Header {
        /// The section's name.
        section: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The layout is of a later version.
    #[error("section {section} has version {version}, but this build of DynVM reads version {known}: use a newer one")]
    Version {
        /// The section's name.
        section: &'static str,
        /// Its version.
        version: u8,
        /// The version that is known.
        known: u8,
    },
    /// There are images, but no manifest behind them.
    #[error("the file ends without a manifest ({}): it is truncated; copy or bundle it again", super::MANIFEST_SECTION)]
    NoManifest,
    /// A fat plugin without an image.
    #[error("there is no native image: name at least one, or use the plain .wasm")]
    NoImages,
    /// More images than fit.
    #[error("there are more than {} native images", super::MAX_IMAGES)]
    TooManyImages,
    /// Two images for one machine.
    #[error("there are two native images for {machine}: keep one")]
    DuplicateMachine {
        /// The machine.
        machine: String,
    },
    /// A name that no ELF machine has here.
    #[error("{machine:?} is not the name of a machine: one of {}", super::machine::names())]
    UnknownMachine {
        /// The name.
        machine: String,
    },
    /// An image that is for another machine than its name says.
    #[error(
        "the native image for {machine} is {found}: name the machine that it was built for, or build it for {machine}"
    )]
    WrongMachine {
        /// The machine by name.
        machine: String,
        /// What the file is.
        found: String,
    },
    /// The bytes are not those that were bundled.
    #[error(
        "the {what} has another SHA-256 than the {section} section says: the file is damaged or was changed; bundle it again"
    )]
    Digest {
        /// `wasm module` or `native image for x86_64`.
        what: String,
        /// The section that has the digest.
        section: &'static str,
    },
    /// Manifest and images do not agree.
    #[error("the manifest does not fit the file: {what}; bundle the plugin again")]
    Manifest {
        /// What differs.
        what: String,
    },
    /// The signature is not text as minisign prints it.
    #[error("the signature is not one of minisign: {what}")]
    Signature {
        /// What is wrong with it.
        what: String,
    },
    /// The file would be larger than WebAssembly hosts take.
    #[error(
        "the fat plugin would have {size} bytes; WebAssembly hosts take at most {}: strip the images (strip --strip-all)",
        super::MAX_SIZE
    )]
    TooLarge {
        /// Its size.
        size: u64,
    },
}
