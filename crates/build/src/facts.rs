//! What is installed, probed once per directory. The choice among it is in [`crate::toolchain`].

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, ask};
use crate::toolchain::WasmTarget;

/// All that the choice of a way to wasm depends on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The toolchains: the one that the directory of the plugin selects comes first.
    pub toolchains: Vec<Toolchain>,
    /// Whether rustup may be asked to add a target.
    pub can_add_target: bool,
    /// A linker for wasm that stands by itself (`wasm-ld`).
    pub linker: Option<PathBuf>,
    /// The directory of `libc.a` for WASI.
    pub wasi_libc: Option<PathBuf>,
}

/// One installed Rust toolchain.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// The cargo to call.
    pub cargo: PathBuf,
    /// The rustc that this cargo has to be told of; none where it finds its own.
    pub rustc: Option<PathBuf>,
    /// For people: `1.95.0`.
    pub version: String,
    /// Its directory.
    pub sysroot: PathBuf,
    /// Whether it is one of rustup's, which can be added to.
    pub is_rustup: bool,
    /// Targets whose standard library came with it.
    pub installed: Vec<WasmTarget>,
    /// Whether it brings its own libc for WASI.
    pub has_wasi_libc: bool,
    /// Whether the source of the standard library is there.
    pub has_source: bool,
    /// Its own linker for wasm.
    pub linker: Option<PathBuf>,
    /// Where its standard library goes when it is compiled here; none without a cache directory.
    pub cache: Option<PathBuf>,
    /// Targets whose standard library is in `cache` already.
    pub cached: Vec<WasmTarget>,
}

impl Facts {
    /// Looks at this machine, from the directory of a plugin.
    pub fn probe(dir: &Path) -> Self {
        let mut toolchains = Vec::new();
        toolchains.extend(Toolchain::probe(dir, "cargo", None));
        // A distribution's toolchain is hidden behind rustup's in PATH, but may have the sources.
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
            // Rather the wrapper, which needs no option to be a linker for wasm.
            linker: [tools.join("gcc-ld/wasm-ld"), tools.join("rust-lld")].into_iter().find(|path| path.is_file()),
            cached: cache.as_deref().map(with).unwrap_or_default(),
            cache,
            sysroot,
        })
    }
}

/// The user's cache directory for this program.
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

/// Whether there is a program under this name, which may be a path.
pub fn find_program_at(path: &Path) -> bool {
    path.is_file() || path.to_str().is_some_and(|name| find_program(name).is_some())
}

/// `name`, or else the highest `name-N` as distributions install it.
pub fn find_versioned(name: &str) -> Option<PathBuf> {
    find_program(name).or_else(|| (10..40).rev().find_map(|version| find_program(&format!("{name}-{version}"))))
}

/// Where a WASI SDK may be.
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
