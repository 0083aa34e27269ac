//! Hints at common causes of failed wasm builds, detected in their output.

use crate::toolchain::{Route, WasmTarget};

/// Remedies, one per line; usually empty.
pub fn after_failure(route: &Route, printed: &str) -> String {
    [another_toolchain(route), malloc_twice(route, printed)]
        .into_iter()
        .flatten()
        .fold(String::new(), |text, hint| text + "\nhint: " + &hint)
}

/// The source may need the toolchain it selects, e.g. a nightly's unstable features.
fn another_toolchain(route: &Route) -> Option<String> {
    let selected = route.instead_of.as_ref()?;
    let triple = route.target.triple();
    let remedy = match selected.is_rustup {
        true => format!("`rustup target add {triple}` in the plugin's directory"),
        false => format!("install {triple} for that one"),
    };
    Some(format!(
        "this was rustc {} of {}, as the one that the plugin selects, {} of {}, does not build for {triple}: {remedy}",
        route.toolchain.version,
        route.toolchain.sysroot.display(),
        selected.version,
        selected.sysroot.display(),
    ))
}

/// Version 0.1.0 of the Rust SDK exports an allocator with this name, and so does WASI's C library.
fn malloc_twice(route: &Route, printed: &str) -> Option<String> {
    let clashes = route.target == WasmTarget::Wasip1 && printed.contains("duplicate symbol: malloc");
    clashes.then(|| {
        format!(
            "the plugin or its SDK (proxy-wasm 0.1.0) defines `malloc`, and so does the C library of {}: \
             update the SDK (`cargo update -p proxy-wasm`), or build with --target {}",
            WasmTarget::Wasip1.triple(),
            WasmTarget::Unknown.triple()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Facts, Toolchain};
    use crate::toolchain::choose;

    fn toolchain(version: &str, sysroot: &str, installed: &[WasmTarget]) -> Toolchain {
        Toolchain {
            version: version.to_owned(),
            sysroot: sysroot.into(),
            is_rustup: true,
            has_wasi_libc: true,
            linker: Some("/wasm-ld".into()),
            installed: installed.to_vec(),
            ..Toolchain::default()
        }
    }

    #[test]
    fn the_toolchain_that_was_passed_over_is_named() {
        let nightly = toolchain("1.97.0-nightly", "/nightly", &[]);
        let stable = toolchain("1.95.0", "/stable", &[WasmTarget::Wasip1]);
        let facts = Facts { toolchains: vec![nightly, stable.clone()], ..Facts::default() };
        let text = after_failure(&choose(&facts, None).unwrap(), "error[E0554]");
        for part in
            ["\nhint: ", "rustc 1.95.0 of /stable", "1.97.0-nightly of /nightly", "rustup target add wasm32-wasip1"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        let facts = Facts { toolchains: vec![stable], ..Facts::default() };
        assert_eq!(after_failure(&choose(&facts, None).unwrap(), "error[E0554]"), "");
    }

    #[test]
    fn an_allocator_of_the_sdks_own_is_told_of() {
        let facts = |target| Facts { toolchains: vec![toolchain("1.95.0", "/stable", &[target])], ..Facts::default() };
        let text = after_failure(
            &choose(&facts(WasmTarget::Wasip1), None).unwrap(),
            "rust-lld: error: duplicate symbol: malloc",
        );
        assert!(text.contains("--target wasm32-unknown-unknown"), "{text}");
        let route = choose(&facts(WasmTarget::Unknown), None).unwrap();
        assert_eq!(after_failure(&route, "rust-lld: error: duplicate symbol: malloc"), "");
    }
}
