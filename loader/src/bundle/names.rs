//! Names and limits of the format, which reading and writing share.

/// Name of the custom section that holds one native image.
pub const NATIVE_SECTION: &str = "dynvm.native";

/// Name of the custom section that holds the manifest.
pub const MANIFEST_SECTION: &str = "dynvm.manifest";

/// Name of the custom section that holds the signature.
pub const SIGNATURE_SECTION: &str = "dynvm.signature";

/// Limit of native images in one fat plugin.
pub const MAX_IMAGES: usize = 16;

/// Size limit of a signature in bytes; minisign's have about 300.
pub const MAX_SIGNATURE_LEN: usize = 4096;

/// Size limit of a fat plugin in bytes: that of a module in the WebAssembly JavaScript interface,
/// which V8 enforces in Envoy too.
pub const MAX_SIZE: u64 = 1 << 30;

/// Machines that an image can be bundled for, named as in Rust's target triples. All have 64 bits.
pub const MACHINES: [&str; 6] = ["x86_64", "aarch64", "loongarch64", "powerpc64le", "riscv64", "s390x"];

/// The name of the machine that this program runs on.
pub fn this_machine() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        arch => arch,
    }
}

pub(super) fn is_known(machine: &str) -> bool {
    MACHINES.contains(&machine)
}

pub(super) fn machines() -> String {
    MACHINES.join(", ")
}
