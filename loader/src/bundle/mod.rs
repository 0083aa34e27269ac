//! Fat plugins: one `.wasm` file that also carries native images of the plugin.
//!
//! A fat plugin is the unchanged wasm module followed by custom sections, which every other host
//! ignores. `docs/fat-plugins.md` describes the layout and its reasons.
//!
//! ```text
//!   names    names of sections and machines, and limits
//!   parts    a parsed bundle and its images
//!   format   each header to bytes and back
//!   machine  the machine of an ELF file
//!   module_signature  what signs a module, and so the whole file
//!   read     from bytes to a checked bundle, in one pass
//!   write    from a module and images to bytes
//! ```

mod error;
mod format;
mod machine;
mod module_signature;
mod names;
mod parts;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use error::BundleError;
pub use names::{
    MACHINES, MANIFEST_SECTION, MAX_IMAGES, MAX_SIGNATURE_LEN, MAX_SIZE, NATIVE_SECTION, SIGNATURE_SECTION,
    this_machine,
};
pub use parts::{Bundle, Image, hex};
pub use write::BundleWriter;
