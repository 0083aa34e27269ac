//! Installed tools, probed once per directory. [`crate::toolchain`] chooses among them.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, ask};
use crate::toolchain::WasmTarget;

/// The facts that determine the route to wasm.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Toolchains; the one selected by the plugin's directory comes first.
    pub toolchains: Vec<Toolchain>,
    /// Whether rustup may add a target.
    pub can_add_target: bool,
    /// A standalone linker for wasm (`wasm-ld`).
    pub linker: Option<PathBuf>,
    /// The directory of WASI's `libc.a`.
    pub wasi_libc: Option<PathBuf>,
}

/// One installed Rust toolchain.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// Path of its cargo.
    pub cargo: PathBuf,
    /// Path of rustc, if cargo would not find the right one by itself.
    pub rustc: Option<PathBuf>,
    /// Version for display, e.g. `1.95.0`.
    pub version: String,
    /// Its sysroot directory.
    pub sysroot: PathBuf,
    /// Whether rustup manages it and can add components.
    pub is_rustup: bool,
    /// Targets whose standard library is installed.
    pub installed: Vec<WasmTarget>,
    /// Whether it includes a libc for WASI.
    pub has_wasi_libc: bool,
    /// Whether the source of the standard library is installed.
    pub has_source: bool,
    /// Its own linker for wasm, if any.
    pub linker: Option<PathBuf>,
    /// Cache directory for a compiled standard library; `None` without a user cache directory.
    pub cache: Option<PathBuf>,
    /// Targets whose standard library is already in `cache`.
    pub cached: Vec<WasmTarget>,
}

impl Facts {
    /// Probes this machine from the directory of a plugin.
    pub fn probe(dir: &Path) -> Self {
        let mut toolchains = Vec::new();
        toolchains.extend(Toolchain::probe(dir, "cargo", None));
        // rustup's entry in PATH hides a distribution's toolchain, which may have the sources.
        let system = (Path::new("/usr/bin/cargo"), Path::new("/usr/bin/rustc"));
        if system.0.is_file() && system.1.is_file() {
            let known = |other: &Toolchain| toolchains.iter().any(|one: &Toolchain| one.sysroot == other.sysroot);
            let found = Toolchain::probe(dir, "/usr/bin/cargo", Some(system.1));
            toolchains.extend(found.filter(|found| !known(found)));
        }
        let offline = env::var_os("CARGO_NET_OFFLINE").is_some_and(|value| value == "true" || value == "1");
        Self {
            can_add_target: !offline && find_program("rustup").is_some(),
            linker: linker(),
            wasi_libc: wasi_libc(),
            toolchains,
        }
    }
}

impl Toolchain {
    fn probe(dir: &Path, cargo: &str, rustc: Option<&Path>) -> Option<Self> {
        let query = |args: &[&str]| {
            let mut command = Command::new(rustc.unwrap_or(Path::new("rustc")));
            command.current_dir(dir).args(args);
            process::clean(&mut command);
            ask(&mut command)
        };
        let verbose = query(&["-vV"])?;
        let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let sysroot = PathBuf::from(query(&["--print", "sysroot"])?);
        let rustlib = sysroot.join("lib/rustlib");
        let tools = rustlib.join(field("host:")).join("bin");
        let mut identity = DefaultHasher::new();
        (&verbose, &sysroot).hash(&mut identity);
        let directory = format!("{}-{:016x}", field("release:"), identity.finish());
        let cache = cache_dir().map(|cache| cache.join("std").join(directory));
        let has = |root: &Path, target: &WasmTarget| {
            let lib = root.join("lib/rustlib").join(target.triple()).join("lib");
            fs::read_dir(lib).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
            })
        };
        let with = |root: &Path| -> Vec<_> { WasmTarget::ALL.into_iter().filter(|target| has(root, target)).collect() };
        Some(Self {
            cargo: PathBuf::from(cargo),
            rustc: rustc.map(Path::to_owned),
            version: field("release:").to_owned(),
            is_rustup: sysroot.join("lib/rustlib/multirust-channel-manifest.toml").is_file(),
            installed: with(&sysroot),
            has_wasi_libc: rustlib.join("wasm32-wasip1/lib/self-contained/libc.a").is_file(),
            has_source: rustlib.join("src/rust/library/std/Cargo.toml").is_file(),
            // Prefer the wrapper, which needs no option to act as a wasm linker.
            linker: [tools.join("gcc-ld/wasm-ld"), tools.join("rust-lld")].into_iter().find(|path| path.is_file()),
            cached: cache.as_deref().map(with).unwrap_or_default(),
            cache,
            sysroot,
        })
    }
}

/// This program's directory in the user's cache.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("dynvm"))
}

/// The first program of this name in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Whether this name or path is an executable program.
pub fn find_program_at(path: &Path) -> bool {
    path.is_file() || path.to_str().is_some_and(|name| find_program(name).is_some())
}

/// `name`, otherwise the highest `name-N` as installed by distributions.
pub fn find_versioned(name: &str) -> Option<PathBuf> {
    find_program(name).or_else(|| (10..40).rev().find_map(|version| find_program(&format!("{name}-{version}"))))
}

/// Location of a WASI SDK, if any.
pub fn wasi_sdk() -> Option<PathBuf> {
    let candidates = env::var_os("WASI_SDK_PATH").map(PathBuf::from).into_iter();
    candidates.chain([PathBuf::from("/opt/wasi-sdk")]).find(|path| path.join("bin/clang").is_file())
}

fn linker() -> Option<PathBuf> {
    find_versioned("wasm-ld").or_else(|| {
        let sdk = wasi_sdk().map(|sdk| sdk.join("bin/wasm-ld"));
        sdk.into_iter()
            .chain((10..40).rev().map(|n| PathBuf::from(format!("/usr/lib/llvm-{n}/bin/wasm-ld"))))
            .find(|path| path.is_file())
    })
}

fn wasi_libc() -> Option<PathBuf> {
    let mut roots = Vec::new();
    roots.extend(env::var_os("WASI_SYSROOT").map(PathBuf::from));
    roots.extend(wasi_sdk().map(|sdk| sdk.join("share/wasi-sysroot")));
    roots.extend(["/usr", "/usr/share/wasi-sysroot"].map(PathBuf::from));
    let dirs = |root: PathBuf| ["lib/wasm32-wasip1", "lib/wasm32-wasi"].into_iter().map(move |lib| root.join(lib));
    roots.into_iter().flat_map(dirs).find(|dir| dir.join("libc.a").is_file())
}
