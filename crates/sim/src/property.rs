//! Property values in the encoding of the ABI.

/// An encoded property value: strings and bytes unchanged, numbers as 8 bytes in little endian, booleans as one byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyValue(pub(super) Vec<u8>);

impl PropertyValue {
    /// The encoded bytes, as a plugin reads them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for PropertyValue {
    fn from(bytes: Vec<u8>) -> Self {
        PropertyValue(bytes)
    }
}

impl From<&[u8]> for PropertyValue {
    fn from(bytes: &[u8]) -> Self {
        PropertyValue(bytes.to_vec())
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        PropertyValue(text.as_bytes().to_vec())
    }
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        PropertyValue(text.into_bytes())
    }
}

impl From<i64> for PropertyValue {
    fn from(number: i64) -> Self {
        PropertyValue(number.to_le_bytes().to_vec())
    }
}

impl From<u64> for PropertyValue {
    fn from(number: u64) -> Self {
        PropertyValue(number.to_le_bytes().to_vec())
    }
}

impl From<f64> for PropertyValue {
    fn from(number: f64) -> Self {
        PropertyValue(number.to_le_bytes().to_vec())
    }
}

impl From<bool> for PropertyValue {
    fn from(is: bool) -> Self {
        PropertyValue(vec![u8::from(is)])
    }
}
