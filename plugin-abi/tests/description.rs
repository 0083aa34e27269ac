//! Reading invalid descriptors, from an image that is only bytes.

use dynvm_abi::description::{Description, DescriptionError, Image, MAX_EXTENSIONS, MAX_TEXT};
use dynvm_abi::descriptor::StateModel;
use dynvm_abi::version::HEADER_VERSION;

/// An image at address 0x1000.
#[derive(Clone)]
struct Bytes(Vec<u8>);

const BASE: u64 = 0x1000;

impl Image for Bytes {
    fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        let end = start.checked_add(into.len())?;
        into.copy_from_slice(self.0.get(start..end)?);
        Some(())
    }

    fn pointer(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_ne_bytes(bytes))
    }
}

impl Bytes {
    /// A descriptor at the base, with a name and two extensions behind it.
    fn descriptor() -> Bytes {
        let mut bytes = Bytes(vec![0; 48]);
        bytes.number(0, 48);
        bytes.number(4, HEADER_VERSION);
        let name = bytes.append(b"name\0");
        bytes.pointer_at(16, name);
        let ids = [bytes.append(b"dynvm.a/1\0"), bytes.append(b"dynvm.b/2\0"), 0];
        let list = bytes.append(&ids.map(u64::to_ne_bytes).concat());
        bytes.pointer_at(40, list);
        bytes
    }

    fn number(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn pointer_at(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn append(&mut self, bytes: &[u8]) -> u64 {
        let address = BASE + self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        address
    }

    fn description(&self) -> Result<Description, DescriptionError> {
        Description::read(self, BASE)
    }
}

#[test]
fn a_good_one() {
    let description = Bytes::descriptor().description().unwrap();
    assert_eq!(description.name, "name");
    assert_eq!(description.version, None);
    assert_eq!(description.wanted_extensions, ["dynvm.a/1", "dynvm.b/2"]);
}

#[test]
fn newer_ones_are_read_as_far_as_they_are_known() {
    let mut bytes = Bytes::descriptor();
    bytes.number(0, 4096);
    bytes.number(4, HEADER_VERSION + 9);
    bytes.number(8, 77);
    bytes.number(12, u32::MAX);
    let description = bytes.description().unwrap();
    assert_eq!(description.header_version, HEADER_VERSION + 9);
    assert_eq!(description.state_model, StateModel::PerImage);
}

#[test]
fn refusals() {
    let broken = |change: &dyn Fn(&mut Bytes)| {
        let mut bytes = Bytes::descriptor();
        change(&mut bytes);
        let error = bytes.description().unwrap_err();
        assert!(!error.to_string().is_empty());
        error
    };
    use DescriptionError::*;

    assert_eq!(broken(&|b| b.number(0, 47)), Short { struct_size: 47 });
    let next = HEADER_VERSION + 0x1_0000;
    assert_eq!(broken(&|b| b.number(4, next)), Incompatible { header_version: next });
    assert_eq!(broken(&|b| b.pointer_at(16, 0)), Null("name"));
    assert_eq!(broken(&|b| b.pointer_at(24, 8)), Outside("version"));
    assert_eq!(broken(&|b| b.pointer_at(24, u64::MAX)), Outside("version"));
    assert_eq!(broken(&|b| b.pointer_at(40, 8)), Outside("wanted_extensions"));
    assert_eq!(broken(&|b| b.0.truncate(40)), Outside("name"));
    assert_eq!(broken(&|b| b.0.truncate(2)), Outside("struct_size"));
    let unterminated = |b: &mut Bytes| {
        let text = b.append(b"no end");
        b.pointer_at(32, text);
    };
    assert_eq!(broken(&unterminated), Outside("sdk"));
    let not_utf8 = |b: &mut Bytes| {
        let text = b.append(b"\xff\0");
        b.pointer_at(32, text);
    };
    assert_eq!(broken(&not_utf8), NotUtf8("sdk"));
}

#[test]
fn limits_hold_at_their_edge() {
    let with_text = |length: usize| {
        let mut bytes = Bytes::descriptor();
        let mut text = vec![b'x'; length];
        text.push(0);
        let text = bytes.append(&text);
        bytes.pointer_at(24, text);
        bytes.description()
    };
    assert_eq!(with_text(MAX_TEXT).unwrap().version.unwrap().len(), MAX_TEXT);
    assert_eq!(with_text(MAX_TEXT + 1), Err(DescriptionError::Long("version")));

    let with_extensions = |count: usize| {
        let mut bytes = Bytes::descriptor();
        let id = bytes.append(b"x\0");
        let mut list = vec![id; count];
        list.push(0);
        let list: Vec<u8> = list.into_iter().flat_map(u64::to_ne_bytes).collect();
        let list = bytes.append(&list);
        bytes.pointer_at(40, list);
        bytes.description()
    };
    assert_eq!(with_extensions(MAX_EXTENSIONS).unwrap().wanted_extensions.len(), MAX_EXTENSIONS);
    assert_eq!(with_extensions(MAX_EXTENSIONS + 1), Err(DescriptionError::Long("wanted_extensions")));
}
