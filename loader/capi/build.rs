//! Names the shared library for the system's linker: before 1.0, each minor version is a library of its own.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let part = |name: &str| std::env::var(name).expect("cargo sets it");
    let version = match part("CARGO_PKG_VERSION_MAJOR") {
        major if major == "0" => format!("0.{}", part("CARGO_PKG_VERSION_MINOR")),
        major => major,
    };
    if part("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdynvm_loader.so.{version}");
    }
}
