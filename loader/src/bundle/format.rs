//! The layout of the sections, which `docs/fat-plugins.md` describes. Numbers are little endian.

use super::names::{MANIFEST_SECTION, MAX_SIGNATURE_LEN, NATIVE_SECTION};
use super::{BundleError, Image};

/// The version of the image header and of the manifest.
const VERSION: u8 = 1;

/// First bytes of a manifest, so that a signature of a manifest is never valid for anything else
/// signed with the same key.
const MAGIC: &[u8; 15] = b"dynvm.manifest\0";

/// One part in the manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) machine: &'a str,
    pub(super) len: u64,
    pub(super) digest: [u8; 32],
}

/// The list of all parts with their digests, which the signature covers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest<'a> {
    pub(super) wasm_len: u64,
    pub(super) wasm_digest: [u8; 32],
    pub(super) images: Vec<Entry<'a>>,
}

/// The header of an image: version, length of the machine's name, the name, digest. The image
/// follows.
pub(super) fn image_header(image: &Image<'_>) -> Vec<u8> {
    let mut out = vec![VERSION];
    push_name(&mut out, image.machine);
    out.extend_from_slice(&image.digest);
    out
}

/// Parses the payload of an image section. The digest is the header's, not yet compared.
pub(super) fn read_image(payload: &[u8]) -> Result<Image<'_>, BundleError> {
    let mut fields = Fields { section: NATIVE_SECTION, rest: payload };
    fields.version()?;
    let machine = fields.name()?;
    let digest = fields.array("digest")?;
    Ok(Image { machine, digest, bytes: fields.rest })
}

impl<'a> Manifest<'a> {
    /// Serializes the manifest: magic, version, length and digest of the wasm module, number of
    /// images; for each the name of its machine, its length, its digest.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.wasm_len.to_le_bytes());
        out.extend_from_slice(&self.wasm_digest);
        out.push(self.images.len() as u8);
        for image in &self.images {
            push_name(&mut out, image.machine);
            out.extend_from_slice(&image.len.to_le_bytes());
            out.extend_from_slice(&image.digest);
        }
        out
    }

    pub(super) fn read(payload: &'a [u8]) -> Result<Manifest<'a>, BundleError> {
        let mut fields = Fields { section: MANIFEST_SECTION, rest: payload };
        if fields.array("first bytes")? != *MAGIC {
            return Err(fields.wrong("it does not begin as a manifest"));
        }
        fields.version()?;
        let wasm_len = u64::from_le_bytes(fields.array("length of the wasm module")?);
        let wasm_digest = fields.array("digest of the wasm module")?;
        let [count] = fields.array("number of images")?;
        // Not preallocated, because the count comes from the file.
        let mut images = Vec::new();
        for _ in 0..count {
            let machine = fields.name()?;
            let len = u64::from_le_bytes(fields.array("length of an image")?);
            images.push(Entry { machine, len, digest: fields.array("digest of an image")? });
        }
        if !fields.rest.is_empty() {
            return Err(fields.wrong(&format!("{} bytes follow its last field", fields.rest.len())));
        }
        Ok(Manifest { wasm_len, wasm_digest, images })
    }
}

/// Checks that the payload looks like a signature as minisign prints it, without parsing it fully.
pub(super) fn read_signature(payload: &[u8]) -> Result<&str, BundleError> {
    let wrong = |what: String| BundleError::Signature { what };
    if payload.len() > MAX_SIGNATURE_LEN {
        return Err(wrong(format!("it has {} bytes, more than {MAX_SIGNATURE_LEN}", payload.len())));
    }
    let text = std::str::from_utf8(payload).map_err(|_| wrong("it is not text".to_owned()))?;
    let lines: Vec<&str> = text.lines().collect();
    match lines[..] {
        [untrusted, _, trusted, _] => {
            for (line, start) in [(untrusted, "untrusted comment: "), (trusted, "trusted comment: ")] {
                if !line.starts_with(start) {
                    return Err(wrong(format!("a line begins with {:?}, not with {start:?}", clip(line))));
                }
            }
            Ok(text)
        }
        _ => Err(wrong(format!("it has {} lines, not 4", lines.len()))),
    }
}

fn clip(line: &str) -> String {
    line.chars().take(20).collect()
}

/// Appends a custom section. Its size fits, because of [`MAX_SIZE`].
pub(super) fn push_section(out: &mut Vec<u8>, name: &str, parts: &[&[u8]]) {
    let payload: usize = parts.iter().map(|part| part.len()).sum();
    out.push(0);
    push_leb128(out, leb128_len(name.len()) + name.len() + payload);
    push_leb128(out, name.len());
    out.extend_from_slice(name.as_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Number of bytes of a length in its shortest encoding.
pub(super) fn leb128_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends a machine's name. It is short: one of [`MACHINES`](super::MACHINES), or read by
/// [`Fields::name`].
fn push_name(out: &mut Vec<u8>, name: &str) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

/// Parser of a payload, which reads fields from the front.
struct Fields<'a> {
    section: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn wrong(&self, what: &str) -> BundleError {
        BundleError::Header { section: self.section, what: what.to_owned() }
    }

    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8], BundleError> {
        let taken = self.rest.split_at_checked(len);
        let (taken, rest) = taken.ok_or_else(|| self.wrong(&format!("it ends within the {what}")))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], BundleError> {
        Ok(self.take(N, what)?.try_into().expect("as long as was asked for"))
    }

    fn version(&mut self) -> Result<(), BundleError> {
        match self.array("version")? {
            [VERSION] => Ok(()),
            [version] => Err(BundleError::Version { section: self.section, version, known: VERSION }),
        }
    }

    /// A machine's name. It may be unknown to this build, but must have the form of one.
    fn name(&mut self) -> Result<&'a str, BundleError> {
        let [len] = self.array("name of a machine")?;
        let name = self.take(usize::from(len), "name of a machine")?;
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        match std::str::from_utf8(name) {
            Ok(text) if (1..=32).contains(&name.len()) && name.iter().all(plain) => Ok(text),
            _ => Err(self.wrong(&format!("\"{}\" is not the name of a machine", name.escape_ascii()))),
        }
    }
}
