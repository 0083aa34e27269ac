//! The shim, compiled and taken through what a host may ask of it: against interface declarations of this project's own, and, where they are given,
//! against the headers and the library of proxy-wasm-cpp-host itself.
//!
//! | variable | what |
//! |---|---|
//! | `DYNVM_CPP_HOST_INCLUDE` | include directories, separated by colons: the root of proxy-wasm-cpp-host and that of the C++ SDK |
//! | `DYNVM_CPP_HOST_LIB` | the host's built library and what it needs, separated by spaces, as the linker takes them |

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use dynvm::bundle::BundleWriter;

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

fn here(path: &str) -> PathBuf {
    Path::new(MANIFEST).join(path)
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn compiler(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

/// The loader's library, built.
static LOADER: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "-p", "dynvm-capi", "--message-format=json", "--quiet"]).current_dir(MANIFEST);
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let library = text.split('"').find(|word| word.ends_with("/libdynvm_loader.a"));
    library.expect("cargo names the library").into()
});

/// The plugins of the tests, in a directory.
static PLUGINS: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim-plugins");
    std::fs::create_dir_all(&dir).unwrap();
    for variant in ["PLUGIN", "NO_ALLOCATOR", "RESTLESS", "FAULTY", "OLD", "COMMAND"] {
        let mut command = compiler("CC", "cc");
        command.args(["-shared", "-fPIC", "-O1", "-g", "-I"]).arg(here("../plugin-abi/include"));
        command.arg(format!("-D{variant}")).arg(here("tests/data/plugin.c")).arg("-o");
        run(command.arg(dir.join(format!("{}.so", variant.to_lowercase()))));
    }
    std::fs::write(dir.join("fat.wasm"), fat(&dir.join("plugin.so"))).unwrap();
    std::fs::write(dir.join("refuses.toml"), "[native]\nallow = false\n").unwrap();
    dir
});

/// A fat plugin of an image.
fn fat(image: &Path) -> Vec<u8> {
    let image = std::fs::read(image).unwrap();
    let fat = BundleWriter::new(&wasm_module("proxy_abi_version_0_2_1"))
        .and_then(|writer| writer.image(std::env::consts::ARCH, &image)?.write());
    fat.unwrap()
}

/// A module with one function, which does nothing.
fn wasm_module(export: &str) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07".to_vec();
    module.extend([export.len() as u8 + 4, 1, export.len() as u8]);
    module.extend(export.as_bytes());
    module.extend(b"\0\0\x0a\x04\x01\x02\0\x0b");
    module
}

/// Compiles the shim and a program.
fn program(source: &str, includes: &[PathBuf], defines: &[&str], libraries: &[String]) -> PathBuf {
    let name = format!("{}-{}", Path::new(source).file_stem().unwrap().display(), defines.len());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = compiler("CXX", "c++");
    command.args(["-std=c++20", "-Wall", "-Wextra", "-O1", "-g", "-pthread"]).args(defines);
    let own = ["include", "../loader/include", "tests/data"].map(here);
    command.args(own.iter().chain(includes).flat_map(|dir| [OsStr::new("-I"), dir.as_os_str()]));
    command.args(["src/dyn_vm.cc", "src/loading.cc", source].map(here)).arg("-o").arg(&target);
    run(command.arg(&*LOADER).args(libraries).args(["-ldl", "-lm", "-lgcc_s"]));
    target
}

/// The host that the environment names: include directories and libraries.
fn host() -> Option<(Vec<PathBuf>, Vec<String>)> {
    let includes = std::env::var("DYNVM_CPP_HOST_INCLUDE").ok()?;
    let libraries = std::env::var("DYNVM_CPP_HOST_LIB").ok()?;
    Some((includes.split(':').map(PathBuf::from).collect(), libraries.split_whitespace().map(str::to_owned).collect()))
}

/// An example plugin of Rust's SDK, built as it is.
fn rust_plugin() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "-p", "header-rewrite", "--message-format=json", "--quiet"]);
    let output = run(command.current_dir(here("..")));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let library = text.split('"').find(|word| word.ends_with("header_rewrite.so"));
    library.expect("cargo names the plugin").into()
}

fn passes(program: &Path, arguments: &[&Path], last_line: &str) {
    let output = run(Command::new(program).args(arguments));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().last(), Some(last_line), "{text}");
}

#[test]
fn against_the_interface() {
    let program = program("tests/data/shim.cc", &[here("tests/interface")], &[], &[]);
    passes(&program, &[&PLUGINS], "all as a host wants it");
}

#[test]
fn against_the_host() {
    let Some((includes, libraries)) = host() else {
        eprintln!("DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB are not set: nothing was tested");
        return;
    };
    let program = program("tests/data/shim.cc", &includes, &["-DDYNVM_CPP_HOST_GIVEN"], &libraries);
    passes(&program, &[&PLUGINS], "all as a host wants it");
}

/// `createWasm`, canaries, clones, eight threads with two plugins in each VM, a crash in the middle: in each way that code comes in, for a plugin
/// in C and one of Rust's SDK.
#[test]
fn whole_streams_on_the_host() {
    let Some((includes, libraries)) = host() else {
        eprintln!("DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB are not set: nothing was tested");
        return;
    };
    let program = program("tests/data/lifecycle.cc", &includes, &["-DDYNVM_CPP_HOST_GIVEN"], &libraries);
    let c_plugin = PLUGINS.join("stream.so");
    let mut command = compiler("CC", "cc");
    command.args(["-shared", "-fPIC", "-O1", "-g", "-I"]).arg(here("../plugin-abi/include"));
    run(command.arg(here("tests/data/stream.c")).arg("-o").arg(&c_plugin));
    let plugins =
        [(c_plugin, ["x-answer", "# of ", "crashes"]), (rust_plugin(), ["x-original-url", "host/#", "stays"])];
    for (plugin, expected) in plugins {
        let fat_plugin = PLUGINS.join("lifecycle.wasm");
        std::fs::write(&fat_plugin, fat(&plugin)).unwrap();
        for (way, code) in [("shared", &plugin), ("path", &plugin), ("fat", &fat_plugin)] {
            let expected = expected.map(Path::new);
            passes(&program, &[&[Path::new(way), code], expected.as_slice()].concat(), "every stream answered");
        }
    }
}
