//! Versions of the Proxy-Wasm ABI that a plugin was built for, and of these headers.

use std::fmt;

/// Major version of the headers: `DYNVM_VERSION_MAJOR`.
pub const HEADER_VERSION_MAJOR: u32 = 1;

/// Minor version of the headers: `DYNVM_VERSION_MINOR`.
pub const HEADER_VERSION_MINOR: u32 = 0;

/// Version of the headers as one number: `DYNVM_VERSION`.
pub const HEADER_VERSION: u32 = (HEADER_VERSION_MAJOR << 16) | HEADER_VERSION_MINOR;

/// Whether this crate understands structs of code built with that version of the headers:
/// `DYNVM_VERSION_IS_COMPATIBLE`.
///
/// The minor parts may differ either way, since every struct has its size in it.
pub const fn is_compatible(header_version: u32) -> bool {
    header_version >> 16 == HEADER_VERSION_MAJOR
}

/// A version of the Proxy-Wasm ABI, stated by the marker function that a plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AbiVersion {
    /// 0.1.0, marker `proxy_abi_version_0_1_0`.
    V0_1_0,
    /// 0.2.0, marker `proxy_abi_version_0_2_0`.
    V0_2_0,
    /// 0.2.1, marker `proxy_abi_version_0_2_1`.
    V0_2_1,
}

impl AbiVersion {
    /// All versions, oldest first.
    pub const ALL: [AbiVersion; 3] = [AbiVersion::V0_1_0, AbiVersion::V0_2_0, AbiVersion::V0_2_1];

    /// The function whose export marks a plugin of this version. It is never called.
    pub const fn marker(self) -> &'static str {
        match self {
            AbiVersion::V0_1_0 => "proxy_abi_version_0_1_0",
            AbiVersion::V0_2_0 => "proxy_abi_version_0_2_0",
            AbiVersion::V0_2_1 => "proxy_abi_version_0_2_1",
        }
    }

    /// The version as one comparable number, such as `DYNVM_PROXY_ABI_VERSION_0_2_1`.
    pub const fn number(self) -> u32 {
        match self {
            AbiVersion::V0_1_0 => 0x00_0100,
            AbiVersion::V0_2_0 => 0x00_0200,
            AbiVersion::V0_2_1 => 0x00_0201,
        }
    }

    /// The version that a marker's name stands for.
    pub fn from_marker(name: &str) -> Option<AbiVersion> {
        AbiVersion::ALL.into_iter().find(|v| v.marker() == name)
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AbiVersion::V0_1_0 => "0.1.0",
            AbiVersion::V0_2_0 => "0.2.0",
            AbiVersion::V0_2_1 => "0.2.1",
        })
    }
}

/// A set of ABI versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(u8);

impl Versions {
    /// In every version.
    pub const ALL: Versions = Versions(0b111);
    /// Only in 0.1.0.
    pub const ONLY_0_1_0: Versions = Versions(0b001);
    /// In 0.2.0 and later.
    pub const SINCE_0_2_0: Versions = Versions(0b110);
    /// In 0.2.1 and later.
    pub const SINCE_0_2_1: Versions = Versions(0b100);

    /// Whether the set has the version.
    pub const fn contains(self, version: AbiVersion) -> bool {
        self.0 & (1 << version as u8) != 0
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            AbiVersion::ALL.into_iter().filter(|v| self.contains(*v)).map(|v| v.to_string()).collect();
        f.write_str(&names.join(", "))
    }
}
