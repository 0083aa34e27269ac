//! Links plugins and builds programs with them.

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex};

use dynvm_link::{Plugin, StateModel, Target, plugin};

const IS_AARCH64: bool = cfg!(target_arch = "aarch64");
pub const GNU: &str = if IS_AARCH64 { AARCH64 } else { "x86_64-unknown-linux-gnu" };
pub const MUSL: &str = if IS_AARCH64 { "aarch64-unknown-linux-musl" } else { "x86_64-unknown-linux-musl" };
pub const AARCH64: &str = "aarch64-unknown-linux-gnu";

pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The plugins and what the program checks of each.
pub struct Kind {
    pub name: &'static str,
    check: &'static str,
    plugin: fn() -> Plugin,
}

pub const RUST: &[Kind] = &[
    Kind {
        name: "sdk-current",
        check: "per_thread",
        plugin: || plugin(tests().join("plugins/sdk-current")).state(StateModel::PerThread),
    },
    Kind { name: "sdk-old", check: "per_slot", plugin: || plugin(tests().join("plugins/sdk-old")).slots(2) },
    // The same source again, under the other state model each.
    Kind {
        name: "sdk-current.slots",
        check: "per_slot",
        plugin: || plugin(tests().join("plugins/sdk-current")).slots(2),
    },
    Kind {
        name: "sdk-old.shared",
        check: "per_thread",
        plugin: || plugin(tests().join("plugins/sdk-old")).state(StateModel::PerThread),
    },
];

pub const ABORTS: &[Kind] =
    &[Kind { name: "sdk-current.aborts", check: "abort", plugin: || plugin(tests().join("plugins/sdk-current")) }];

pub const C: &[Kind] =
    &[Kind { name: "plain-c", check: "c", plugin: || plugin(tests().join("plugins/plain.c")).slots(2) }];

pub const CXX: &[Kind] =
    &[Kind { name: "plain-cc", check: "cxx", plugin: || plugin(tests().join("plugins/plain.cc")).slots(2) }];

pub const CXX_SDK: &[Kind] = &[Kind {
    name: "cxx-sdk",
    check: "cxx_sdk",
    plugin: || {
        let include = env::var_os("DYNVM_CPP_HOST_INCLUDE").expect("it names the SDK");
        let sdk = env::split_paths(&include).find(|dir| dir.join("proxy_wasm_intrinsics.cc").exists());
        plugin(tests().join("plugins/sdk.cc")).sdk(sdk.expect("one of them is the SDK")).slots(2)
    },
}];

/// A directory that stays from one run to the next, so that plugins are not compiled again.
pub fn out_dir(triple: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(triple);
    fs::create_dir_all(&dir).unwrap();
    dir
}

pub fn target(triple: &str) -> Target {
    Target { triple: triple.to_owned(), out_dir: out_dir(triple), debug_info: false }
}

/// Links a plugin, once.
pub fn linked(triple: &str, kind: &Kind) -> dynvm_link::Output {
    static LINKED: LazyLock<Mutex<HashMap<String, dynvm_link::Output>>> = LazyLock::new(Mutex::default);
    // A test that failed in here says so by itself.
    let mut linked = LINKED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let link = || (kind.plugin)().name(kind.name).link(&target(triple)).unwrap_or_else(|error| panic!("{error:?}"));
    linked.entry(format!("{triple} {}", kind.name)).or_insert_with(link).clone()
}

/// The crate that programs know as `dynvm`, once.
pub fn dynvm(triple: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(path) = built.get(triple) {
        return path.clone();
    }
    let path = out_dir(triple).join("libdynvm.rlib");
    let abi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-abi");
    let mut rustc = rustc(triple, "dynvm", &abi.join("src/lib.rs"));
    rustc.args(["--crate-type=rlib", "-Copt-level=2"]).env("CARGO_MANIFEST_DIR", abi).arg("-o").arg(&path);
    succeed(&mut rustc);
    built.insert(triple.to_owned(), path.clone());
    path
}

pub fn rustc(triple: &str, name: &str, source: &Path) -> Command {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition=2024", "--target", triple, "--crate-name", name]).arg(source);
    rustc
}

/// The command that compiles a program with plugins.
pub fn compile(triple: &str, name: &str, kinds: &[&[Kind]]) -> Command {
    let kinds: Vec<&Kind> = kinds.iter().copied().flatten().collect();
    let dynvm = dynvm(triple);
    let (mut modules, mut checks) = (String::new(), String::new());
    let mut rustc = rustc(triple, "host", &tests().join("programs/host/main.rs"));
    for (index, kind) in kinds.iter().enumerate() {
        let output = linked(triple, kind);
        writeln!(modules, "mod p{index} {{ include!({:?}); }}", output.source).unwrap();
        writeln!(checks, "    crate::checks::{}(&p{index}::PLUGIN);", kind.check).unwrap();
    }
    let plugins = out_dir(triple).join(format!("{name}.rs"));
    fs::write(&plugins, format!("{modules}\npub fn check() {{\n{checks}}}\n")).unwrap();
    rustc.env("PLUGINS", plugins).arg("--extern").arg(format!("dynvm={}", dynvm.display()));
    rustc.arg("-L").arg(out_dir(triple));
    rustc
}

/// Compiles a program with options, and runs it: in an emulator if it is for another processor.
pub fn run(triple: &str, name: &str, options: &[&str], kinds: &[&[Kind]]) -> Output {
    let program = out_dir(triple).join(name);
    succeed(compile(triple, name, kinds).args(options).arg("-o").arg(&program));
    if triple == GNU || triple == MUSL {
        return Command::new(program).output().unwrap();
    }
    Command::new("qemu-aarch64").args(["-L", "/usr/aarch64-linux-gnu"]).arg(program).output().unwrap()
}

/// Compiles a program with options, and checks the plugins in it.
pub fn check(triple: &str, name: &str, options: &[&str], kinds: &[&[Kind]]) {
    let output = run(triple, name, options, kinds);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout == "all right\n", "{}\n{stdout}\n{stderr}", output.status);
}

pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The linker that comes with rustc.
pub fn lld() -> PathBuf {
    let ask = |option: &[&str]| {
        let output = succeed(Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).args(option));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = ask(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    Path::new(ask(&["--print", "sysroot"]).trim()).join("lib/rustlib").join(host).join("bin/rust-lld")
}
