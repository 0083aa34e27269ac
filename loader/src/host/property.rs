//! Paths of properties, which are attributes of the host, of a connection or of a request.

/// The path of a property: segments separated by NUL.
///
/// The C++ SDK ends a path with a NUL, the Rust SDK does not. Both mean the same path, so a final
/// NUL is dropped here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PropertyPath<'a>(&'a [u8]);

impl<'a> PropertyPath<'a> {
    /// The path in the bytes that a plugin passed.
    pub fn new(bytes: &'a [u8]) -> PropertyPath<'a> {
        PropertyPath(bytes.strip_suffix(b"\0").unwrap_or(bytes))
    }

    /// The segments, in order.
    pub fn segments(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| *byte == 0)
    }

    /// The bytes of the path, without a final NUL.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The path for display: segments joined with dots.
    pub fn dotted(self) -> String {
        self.segments().map(String::from_utf8_lossy).collect::<Vec<_>>().join(".")
    }
}

impl std::fmt::Debug for PropertyPath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.dotted())
    }
}

/// Error of reading or setting a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyError {
    /// There is no property with this path.
    NotFound,
    /// The value has no encoding in the ABI.
    NotSerializable,
    /// The host failed to determine the value.
    Internal,
    /// The host has no properties in this context.
    Unimplemented,
}

#[cfg(test)]
mod tests {
    use super::PropertyPath;

    #[test]
    fn a_final_nul_makes_no_difference() {
        let with = PropertyPath::new(b"source\0address\0");
        assert_eq!(with, PropertyPath::new(b"source\0address"));
        assert_eq!(with.dotted(), "source.address");
        assert_eq!(PropertyPath::new(b"plugin_root_id").segments().count(), 1);
    }
}
