//! Properties: what the host knows of itself, a connection or a request, by path.

use std::borrow::Cow;

/// A property's path: segments separated by NUL.
///
/// The C++ SDK ends a path with a NUL, the Rust SDK does not; both mean the same, so the final one is dropped here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PropertyPath<'a>(&'a [u8]);

impl<'a> PropertyPath<'a> {
    /// Takes the bytes that a plugin passed.
    pub fn new(bytes: &'a [u8]) -> PropertyPath<'a> {
        PropertyPath(bytes.strip_suffix(b"\0").unwrap_or(bytes))
    }

    /// The segments in order.
    pub fn segments(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| *byte == 0)
    }

    /// The bytes, segments separated by NUL, none at the end.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The path as people write it: segments joined with dots.
    pub fn dotted(self) -> String {
        self.segments().map(String::from_utf8_lossy).collect::<Vec<_>>().join(".")
    }
}

impl std::fmt::Debug for PropertyPath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.dotted())
    }
}

/// Why a property cannot be had or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyError {
    /// There is none of this path.
    NotFound,
    /// Its value has no encoding in the ABI.
    NotSerializable,
    /// The host failed to read it.
    Internal,
    /// The host has no properties here.
    Unimplemented,
}

/// Properties that are not one stream's: of the node, the listener, the plugin's configuration.
///
/// `plugin_name`, `plugin_root_id` and `plugin_vm_id` are answered by the VM before this is asked.
pub trait Properties {
    /// The value, encoded as the ABI says.
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError>;

    /// Sets a value from a context that has no stream.
    fn set_property(&self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        let _ = (path, value);
        Err(PropertyError::NotFound)
    }
}

/// No properties.
pub struct NoProperties;

impl Properties for NoProperties {
    fn property(&self, _: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        Err(PropertyError::NotFound)
    }
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
