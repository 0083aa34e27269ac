//! Reads bytes as a checked bundle, in one pass over the sections.

use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use super::format::{self, Manifest};
use super::module_signature::without_signature;
use super::{Bundle, BundleError, Image, MANIFEST_SECTION, MAX_IMAGES, NATIVE_SECTION, SIGNATURE_SECTION, machine};

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
        let mut parts = Parts { bytes, wasm: None, images: Vec::new(), manifest: None, signature: None };
        // Offset of the next section.
        let mut offset = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| parts.unreadable(offset, &error))? {
                Payload::Version { encoding: Encoding::Module, range, .. } => offset = range.end,
                Payload::Version { .. } => return Err(BundleError::NotWasm("it is a component".to_owned())),
                Payload::CustomSection(section) => {
                    let end = section.range().end;
                    match section.name() {
                        NATIVE_SECTION | MANIFEST_SECTION | SIGNATURE_SECTION => {
                            check_lengths(offset, &section)?;
                            parts.wasm.get_or_insert(&bytes[..offset]);
                            match section.name() {
                                NATIVE_SECTION => parts.image(offset, section.data())?,
                                MANIFEST_SECTION => parts.manifest(offset, section.data())?,
                                _ => parts.signature(offset, section.data())?,
                            }
                        }
                        name => parts.other(offset, &format!("a custom section {name:?}"))?,
                    }
                    offset = end;
                }
                payload => {
                    // Payloads that are not sections are parts of one.
                    if let Some((id, range)) = payload.as_section() {
                        parts.other(offset, &format!("a section with number {id}"))?;
                        offset = range.end;
                    }
                }
            }
        }
        parts.finish()
    }
}

/// Checks that lengths are in their shortest encoding. No manifest covers them, and equal content
/// must have equal bytes.
fn check_lengths(offset: usize, section: &wasmparser::CustomSectionReader<'_>) -> Result<(), BundleError> {
    let (range, name) = (section.range(), section.name());
    // One byte is the id of a custom section.
    let contents = offset + 1 + format::leb128_len(range.len());
    let data = contents + format::leb128_len(name.len()) + name.len();
    if (contents, data) == (range.start, section.data_offset()) {
        Ok(())
    } else {
        Err(BundleError::OverlongLength { offset })
    }
}

/// The parts read so far.
struct Parts<'a> {
    bytes: &'a [u8],
    /// The wasm module; set when its end is found, at the first of our sections.
    wasm: Option<&'a [u8]>,
    images: Vec<Image<'a>>,
    manifest: Option<&'a [u8]>,
    signature: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn image(&mut self, offset: usize, payload: &'a [u8]) -> Result<(), BundleError> {
        if self.manifest.is_some() {
            return Err(self.out_of_order(offset, NATIVE_SECTION));
        }
        if self.images.len() == MAX_IMAGES {
            return Err(BundleError::TooManyImages);
        }
        let image = format::read_image(payload)?;
        if self.images.iter().any(|other| other.machine == image.machine) {
            return Err(BundleError::DuplicateMachine { machine: image.machine.to_owned() });
        }
        machine::check(image.machine, image.bytes)?;
        if sha256(&[image.bytes]) != image.digest {
            let what = format!("native image for {}", image.machine);
            return Err(BundleError::Digest { what, section: NATIVE_SECTION });
        }
        self.images.push(image);
        Ok(())
    }

    fn manifest(&mut self, offset: usize, payload: &'a [u8]) -> Result<(), BundleError> {
        if self.manifest.is_some() {
            return Err(self.out_of_order(offset, MANIFEST_SECTION));
        }
        let manifest = Manifest::read(payload)?;
        if self.images.is_empty() {
            return Err(BundleError::NoImages);
        }
        let wasm = without_signature(self.wasm.unwrap_or_default());
        let len = wasm.iter().map(|part| part.len()).sum::<usize>();
        if manifest.wasm_len != len as u64 {
            let what = format!("it says {} bytes of wasm, there are {len}", manifest.wasm_len);
            return Err(BundleError::Manifest { what });
        }
        if sha256(&wasm) != manifest.wasm_digest {
            return Err(BundleError::Digest { what: "wasm module".to_owned(), section: MANIFEST_SECTION });
        }
        if manifest.images.len() != self.images.len() {
            let what = format!("it lists {} images, there are {}", manifest.images.len(), self.images.len());
            return Err(BundleError::Manifest { what });
        }
        for (listed, image) in manifest.images.iter().zip(&self.images) {
            if listed.machine != image.machine {
                let what = format!("it lists an image for {} where there is one for {}", listed.machine, image.machine);
                return Err(BundleError::Manifest { what });
            }
            if listed.len != image.bytes.len() as u64 {
                let (machine, is) = (image.machine, image.bytes.len());
                let what = format!("it says {} bytes for the image for {machine}, which has {is}", listed.len);
                return Err(BundleError::Manifest { what });
            }
            if listed.digest != image.digest {
                let what = format!("native image for {}", image.machine);
                return Err(BundleError::Digest { what, section: MANIFEST_SECTION });
            }
        }
        self.manifest = Some(payload);
        Ok(())
    }

    fn signature(&mut self, offset: usize, payload: &'a [u8]) -> Result<(), BundleError> {
        if self.manifest.is_none() || self.signature.is_some() {
            return Err(self.out_of_order(offset, SIGNATURE_SECTION));
        }
        self.signature = Some(format::read_signature(payload)?);
        Ok(())
    }

    /// Handles a section that is not ours: part of the module before the first of ours, out of
    /// place after it.
    fn other(&self, offset: usize, found: &str) -> Result<(), BundleError> {
        if self.wasm.is_none() { Ok(()) } else { Err(self.out_of_order(offset, found)) }
    }

    fn out_of_order(&self, offset: usize, found: &str) -> BundleError {
        BundleError::Order { offset, found: found.to_owned(), expected: self.expected() }
    }

    /// The items allowed next.
    fn expected(&self) -> &'static str {
        match (self.manifest, self.signature) {
            (None, _) if self.images.is_empty() => "a native image (dynvm.native)",
            (None, _) => "another native image (dynvm.native) or the manifest (dynvm.manifest)",
            (Some(_), None) => "a signature (dynvm.signature) or the end of the file",
            (Some(_), Some(_)) => "the end of the file",
        }
    }

    fn unreadable(&self, offset: usize, error: &wasmparser::Error) -> BundleError {
        let rest = self.bytes.len().saturating_sub(offset);
        if offset == 0 {
            BundleError::NotWasm(error.message().to_owned())
        } else if self.manifest.is_some() && rest > 0 {
            // After the manifest nothing can be missing, so the rest is superfluous.
            self.out_of_order(offset, &format!("{rest} bytes that are no section"))
        } else {
            BundleError::Section { offset, what: error.message().to_owned() }
        }
    }

    fn finish(self) -> Result<Option<Bundle<'a>>, BundleError> {
        match (self.wasm, self.manifest) {
            (None, _) => Ok(None),
            (Some(_), None) => Err(BundleError::NoManifest),
            (Some(wasm), Some(manifest)) => {
                Ok(Some(Bundle { wasm, images: self.images, manifest, signature: self.signature }))
            }
        }
    }
}

/// The digest of parts that follow each other.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}
