//! Writes a fat plugin from a module and images.

use super::format::{self, Entry, Manifest};
use super::module_signature::without_signature;
use super::read::sha256;
use super::{Bundle, BundleError, Image, MANIFEST_SECTION, MAX_IMAGES, MAX_SIZE, NATIVE_SECTION, SIGNATURE_SECTION};
use super::{machine, names};

/// Builds a fat plugin. The result does not depend on the order in which the images are added.
///
/// ```
/// use dynvm::bundle::{Bundle, BundleWriter};
///
/// # fn image() -> Vec<u8> { let mut elf = b"\x7fELF\x02\x01".to_vec(); elf.resize(18, 0); elf.extend([183, 0]); elf }
/// let wasm = b"\0asm\x01\0\0\0";
/// let image = image(); // a shared object for aarch64
/// let fat = BundleWriter::new(wasm)?.image("aarch64", &image)?.write()?;
///
/// let bundle = Bundle::read(&fat)?.expect("a fat plugin");
/// assert_eq!(bundle.wasm(), wasm);
/// assert_eq!(bundle.image_for("aarch64").unwrap().bytes, image);
/// # Ok::<(), dynvm::bundle::BundleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BundleWriter<'a> {
    wasm: &'a [u8],
    images: Vec<Image<'a>>,
}

impl<'a> BundleWriter<'a> {
    /// Starts with a wasm module. From a fat plugin only its module is used; images and signature
    /// are dropped.
    ///
    /// # Errors
    ///
    /// The bytes are not a wasm module, or are a damaged fat plugin.
    pub fn new(wasm: &'a [u8]) -> Result<BundleWriter<'a>, BundleError> {
        let wasm = Bundle::read(wasm)?.map_or(wasm, |bundle| bundle.wasm());
        Ok(BundleWriter { wasm, images: Vec::new() })
    }

    /// Adds a native image for one of [`MACHINES`](super::MACHINES).
    ///
    /// # Errors
    ///
    /// The machine is unknown, the image is not for it, or it has an image already.
    pub fn image(mut self, machine: &'a str, bytes: &'a [u8]) -> Result<BundleWriter<'a>, BundleError> {
        if !names::is_known(machine) {
            return Err(BundleError::UnknownMachine { machine: machine.to_owned() });
        }
        machine::check(machine, bytes)?;
        match self.images.binary_search_by_key(&machine, |image| image.machine) {
            Ok(_) => Err(BundleError::DuplicateMachine { machine: machine.to_owned() }),
            Err(_) if self.images.len() == MAX_IMAGES => Err(BundleError::TooManyImages),
            Err(at) => {
                self.images.insert(at, Image { machine, digest: sha256(&[bytes]), bytes });
                Ok(self)
            }
        }
    }

    /// Writes the fat plugin without a signature.
    ///
    /// # Errors
    ///
    /// There is no image, or the result would exceed [`MAX_SIZE`](super::MAX_SIZE).
    pub fn write(&self) -> Result<Vec<u8>, BundleError> {
        self.unsigned().map(|(bytes, _)| bytes)
    }

    /// Writes the fat plugin with a signature. `sign` receives the bytes to sign and returns the
    /// text that minisign prints.
    ///
    /// # Errors
    ///
    /// As [`write`](BundleWriter::write), the error of `sign`, or that its result is not a minisign
    /// signature.
    pub fn write_signed<E: From<BundleError>>(
        &self,
        sign: impl FnOnce(&[u8]) -> Result<String, E>,
    ) -> Result<Vec<u8>, E> {
        let (mut out, manifest) = self.unsigned()?;
        let signature = sign(&manifest)?;
        format::read_signature(signature.as_bytes())?;
        format::push_section(&mut out, SIGNATURE_SECTION, &[signature.as_bytes()]);
        Ok(out)
    }

    /// Returns the unsigned file, and its manifest.
    fn unsigned(&self) -> Result<(Vec<u8>, Vec<u8>), BundleError> {
        if self.images.is_empty() {
            return Err(BundleError::NoImages);
        }
        let entry =
            |image: &Image<'a>| Entry { machine: image.machine, len: image.bytes.len() as u64, digest: image.digest };
        // A signature of the module is none of the fat plugin.
        let wasm = without_signature(self.wasm);
        let manifest = Manifest {
            wasm_len: wasm.iter().map(|part| part.len() as u64).sum(),
            wasm_digest: sha256(&wasm),
            images: self.images.iter().map(entry).collect(),
        };
        let manifest = manifest.to_bytes();
        let parts = self.images.iter().map(|image| image.bytes.len() as u64).sum::<u64>() + self.wasm.len() as u64;
        check_size(parts)?;
        let mut out = Vec::with_capacity(parts as usize + 1024 * (self.images.len() + 1));
        wasm.iter().for_each(|part| out.extend_from_slice(part));
        for image in &self.images {
            format::push_section(&mut out, NATIVE_SECTION, &[&format::image_header(image), image.bytes]);
        }
        format::push_section(&mut out, MANIFEST_SECTION, &[&manifest]);
        Ok((out, manifest))
    }
}

/// Checks the size, with room for headers, manifest and signature, which take a few kilobytes.
pub(super) fn check_size(parts: u64) -> Result<(), BundleError> {
    const HEADERS: u64 = 16 << 10;
    if parts > MAX_SIZE - HEADERS {
        return Err(BundleError::TooLarge { size: parts + HEADERS });
    }
    Ok(())
}
