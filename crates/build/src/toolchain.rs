//! Chooses the toolchain that builds wasm, or reports what is missing. Pure functions over [`Facts`].

use std::path::PathBuf;

use crate::facts::{Facts, Toolchain};

/// A wasm target of rustc supported for plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WasmTarget {
    /// With WASI: the standard library can read the clock, random bytes and the environment
    Wasip1,
    /// Without any system interface
    Unknown,
}

impl WasmTarget {
    /// All targets, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Wasip1, Self::Unknown];

    /// The target triple of rustc.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Wasip1 => "wasm32-wasip1",
            Self::Unknown => "wasm32-unknown-unknown",
        }
    }
}

/// A route from Rust to wasm.
#[derive(Clone, Debug)]
pub struct Route {
    /// The toolchain of this route.
    pub toolchain: Toolchain,
    /// The target of this route.
    pub target: WasmTarget,
    /// Where the standard library comes from.
    pub library: Library,
    /// The linker to pass to rustc; `None` if its default works.
    pub linker: Option<PathBuf>,
    /// The directory of libc to pass to rustc; `None` if rustc includes it.
    pub wasi_libc: Option<PathBuf>,
    /// The toolchain selected by the plugin, if it differs because it cannot build for this target.
    pub instead_of: Option<Box<Toolchain>>,
}

/// Origin of the standard library for wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Installed with the toolchain.
    Installed,
    /// Compiled earlier, in the cache.
    Cached,
    /// To be added by rustup.
    Add,
    /// To be compiled from source.
    Compile,
}

/// The best route, in this order: nothing to prepare, a target added by rustup, a standard library
/// compiled from source; among equals, prefer the toolchain selected by the plugin, and WASI.
pub fn choose(facts: &Facts, wanted: Option<WasmTarget>) -> Option<Route> {
    [Library::Installed, Library::Cached, Library::Add, Library::Compile].into_iter().find_map(|library| {
        facts.toolchains.iter().find_map(|toolchain| {
            let targets = WasmTarget::ALL.into_iter().filter(|target| wanted.is_none_or(|w| w == *target));
            targets.filter_map(|target| route(facts, toolchain, target, library)).next()
        })
    })
}

/// This route, if it is possible.
fn route(facts: &Facts, toolchain: &Toolchain, target: WasmTarget, library: Library) -> Option<Route> {
    let possible = match library {
        Library::Installed => toolchain.installed.contains(&target),
        Library::Cached => toolchain.cached.contains(&target),
        Library::Add => toolchain.is_rustup && facts.can_add_target,
        Library::Compile => toolchain.has_source && toolchain.cache.is_some(),
    };
    // With another sysroot, rustc may not find its bundled linker.
    let own_sysroot = matches!(library, Library::Installed | Library::Add);
    let linker = match &toolchain.linker {
        Some(_) if own_sysroot => None,
        Some(own) => Some(own.clone()),
        None => Some(facts.linker.clone()?),
    };
    let brings_libc = match library {
        Library::Installed => toolchain.has_wasi_libc,
        Library::Add => true,
        Library::Cached | Library::Compile => false,
    };
    let wasi_libc = match target {
        WasmTarget::Wasip1 if !brings_libc => Some(facts.wasi_libc.clone()?),
        _ => None,
    };
    let selected = facts.toolchains.first().filter(|selected| selected.sysroot != toolchain.sysroot);
    let instead_of = selected.cloned().map(Box::new);
    possible.then(|| Route { toolchain: toolchain.clone(), target, library, linker, wasi_libc, instead_of })
}

impl Route {
    /// Description for display, e.g. `wasm32-wasip1, rustc 1.95.0`.
    pub fn describe(&self) -> String {
        let library = match self.library {
            Library::Installed | Library::Add => "",
            Library::Cached | Library::Compile => ", standard library from source",
        };
        format!("{}, rustc {}{library}", self.target.triple(), self.toolchain.version)
    }
}

/// Message with what is missing for wasm, and the commands that install it.
pub fn missing(facts: &Facts, wanted: Option<WasmTarget>) -> String {
    let target = wanted.unwrap_or(WasmTarget::Wasip1);
    let triple = target.triple();
    let mut text = format!("no installed Rust toolchain builds for {triple}:\n");
    for toolchain in &facts.toolchains {
        text += &format!("  - rustc {} in {}: ", toolchain.version, toolchain.sysroot.display());
        let mut needed = Vec::new();
        if !toolchain.has_source {
            needed.push("the source of the standard library");
        }
        if toolchain.cache.is_none() {
            needed.push("a cache directory (neither HOME nor XDG_CACHE_HOME is set)");
        }
        if toolchain.linker.is_none() && facts.linker.is_none() {
            needed.push("a linker for wasm (wasm-ld)");
        }
        if target == WasmTarget::Wasip1 && facts.wasi_libc.is_none() {
            needed.push("a libc for WASI");
        }
        // If the target is installed and there is still no route, its tools are missing.
        let begin = match toolchain.installed.contains(&target) {
            true => "its target cannot be used without ",
            false => "the target is not installed, and cannot be compiled here without ",
        };
        text += begin;
        text += &needed.join(", ");
        text.push('\n');
    }
    if facts.toolchains.is_empty() {
        text += "  - no rustc in PATH\n";
    }
    text += "Any of these fixes it:\n";
    if facts.toolchains.iter().any(|toolchain| toolchain.has_source && toolchain.cache.is_none()) {
        text += "  cache directory         set HOME or XDG_CACHE_HOME\n";
    }
    let libc = if target == WasmTarget::Wasip1 { " wasi-libc" } else { "" };
    text += &format!(
        "  with rustup             rustup target add {triple}\n  \
         with rustup, offline    rustup component add rust-src, from a mirror (RUSTUP_DIST_SERVER){}\n  \
         on Debian               apt install rustc-web cargo-web rust-web-src lld-19{libc}\n\
         The native plugin alone: --native-only",
        if libc.is_empty() { "" } else { ", and wasi-libc" },
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustup() -> Toolchain {
        Toolchain {
            version: "1.95.0".to_owned(),
            sysroot: "/rustup".into(),
            is_rustup: true,
            linker: Some("/rustup/wasm-ld".into()),
            cache: Some("/cache/rustup".into()),
            ..Toolchain::default()
        }
    }

    fn debian() -> Toolchain {
        Toolchain {
            version: "1.96.0".to_owned(),
            sysroot: "/usr".into(),
            has_source: true,
            cache: Some("/cache/debian".into()),
            ..Toolchain::default()
        }
    }

    fn facts(toolchains: Vec<Toolchain>) -> Facts {
        Facts {
            toolchains,
            can_add_target: false,
            linker: Some("/usr/bin/wasm-ld-19".into()),
            wasi_libc: Some("/usr/lib/wasm32-wasi".into()),
        }
    }

    #[test]
    fn an_installed_target_needs_nothing() {
        let toolchain =
            Toolchain { installed: vec![WasmTarget::Wasip1, WasmTarget::Unknown], has_wasi_libc: true, ..rustup() };
        let mut facts = facts(vec![toolchain, debian()]);
        facts.can_add_target = true;
        let route = choose(&facts, None).unwrap();
        assert_eq!((route.library, route.target), (Library::Installed, WasmTarget::Wasip1));
        assert_eq!((route.linker, route.wasi_libc), (None, None));
        let route = choose(&facts, Some(WasmTarget::Unknown)).unwrap();
        assert_eq!((route.library, route.target), (Library::Installed, WasmTarget::Unknown));
    }

    #[test]
    fn an_installed_second_choice_beats_adding_the_first() {
        let toolchain = Toolchain { installed: vec![WasmTarget::Unknown], ..rustup() };
        let facts = Facts { can_add_target: true, ..facts(vec![toolchain]) };
        let route = choose(&facts, None).unwrap();
        assert_eq!((route.library, route.target), (Library::Installed, WasmTarget::Unknown));
        let route = choose(&facts, Some(WasmTarget::Wasip1)).unwrap();
        assert_eq!((route.library, route.target), (Library::Add, WasmTarget::Wasip1));
    }

    #[test]
    fn rustup_is_asked_before_anything_is_compiled() {
        let mut facts = Facts { can_add_target: true, ..facts(vec![rustup(), debian()]) };
        assert_eq!(choose(&facts, None).unwrap().library, Library::Add);
        facts.can_add_target = false;
        let route = choose(&facts, None).unwrap();
        assert_eq!((route.library, route.toolchain.sysroot), (Library::Compile, PathBuf::from("/usr")));
        assert_eq!(route.linker, facts.linker);
        assert_eq!(route.wasi_libc, facts.wasi_libc);
    }

    #[test]
    fn what_was_compiled_once_is_used_without_asking_rustup_again() {
        let debian = Toolchain { cached: vec![WasmTarget::Wasip1], ..debian() };
        let facts = Facts { can_add_target: true, ..facts(vec![rustup(), debian]) };
        assert_eq!(choose(&facts, None).unwrap().library, Library::Cached);
    }

    #[test]
    fn the_source_of_rustup_links_with_its_own_linker() {
        let toolchain = Toolchain { has_source: true, ..rustup() };
        let facts = Facts { linker: None, wasi_libc: None, ..facts(vec![toolchain]) };
        let route = choose(&facts, None).unwrap();
        assert_eq!((route.library, route.target), (Library::Compile, WasmTarget::Unknown));
        assert_eq!(route.linker, Some(PathBuf::from("/rustup/wasm-ld")));
    }

    #[test]
    fn without_wasi_libc_only_the_bare_target_is_left() {
        let facts = Facts { wasi_libc: None, ..facts(vec![debian()]) };
        assert_eq!(choose(&facts, None).unwrap().target, WasmTarget::Unknown);
        assert!(choose(&facts, Some(WasmTarget::Wasip1)).is_none());
        let text = missing(&facts, Some(WasmTarget::Wasip1));
        assert!(text.contains("without a libc for WASI"), "{text}");
    }

    #[test]
    fn what_is_missing_is_named_with_what_mends_it() {
        let bare = Toolchain { has_source: false, ..debian() };
        let facts = Facts { linker: None, wasi_libc: None, ..facts(vec![rustup(), bare]) };
        assert!(choose(&facts, None).is_none());
        let text = missing(&facts, None);
        for part in ["rustup target add wasm32-wasip1", "apt install", "rustc 1.95.0", "/usr", "wasm-ld", "libc"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(missing(&Facts::default(), None).contains("no rustc"));
    }

    #[test]
    fn a_distributions_target_links_with_a_linker_beside_it() {
        let toolchain = Toolchain { installed: vec![WasmTarget::Wasip1], ..debian() };
        let route = choose(&facts(vec![toolchain]), None).unwrap();
        assert_eq!(route.library, Library::Installed);
        assert!(route.linker.is_some() && route.wasi_libc.is_some());
    }
}
