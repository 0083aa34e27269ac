//! Looks for each tool. The reason to ignore a test goes to the attributes as an environment variable of the compiler.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    for variable in [
        "PATH",
        "CC",
        "CXX",
        "DYNVM_WASM_CC",
        "LIBCLANG_PATH",
        "DYNVM_ENVOY",
        "DYNVM_BROWSER",
        "DYNVM_CPP_HOST_INCLUDE",
        "DYNVM_CPP_HOST_LIB",
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    watch_installations();

    // As cargo finds the program that runs what it builds for another machine.
    let target = env::var("CARGO_BUILD_TARGET").unwrap_or_default().to_uppercase().replace('-', "_");
    let runner = format!("CARGO_TARGET_{target}_RUNNER");
    println!("cargo::rerun-if-env-changed=CARGO_BUILD_TARGET");
    println!("cargo::rerun-if-env-changed={runner}");
    println!("cargo::rustc-env=DYNVM_NEEDS_RUNNER={}", env::var(runner).unwrap_or_default());

    missing("CC", compiles(&[named("CC", "cc")], &["-x", "c"]), "a C compiler: apt-get install gcc libc6-dev");
    missing("CXX", compiles(&[named("CXX", "c++")], &["-x", "c++"]), "a C++ compiler: apt-get install g++");
    let names: Vec<OsString> = (14..=23).rev().map(|version| format!("clang++-{version}").into()).collect();
    let cpp = compiles(&[names, vec!["clang++".into()]].concat(), &["-x", "c++", "-include", "string"]);
    missing("CLANG_CXX", cpp, "a clang for C++: apt-get install clang-19 libstdc++-12-dev");
    let wasm = ["-x", "c", "--target=wasm32", "-nostdlib", "-Wl,--no-entry"];
    missing("WASM_CLANG", compiles(&clangs(), &wasm), "a clang for wasm32: apt-get install clang-19 lld-19");
    let wasi = ["-x", "c", "--target=wasm32-wasi", "-mexec-model=reactor", "-include", "stdlib.h"];
    missing(
        "WASI_CLANG",
        compiles(&clangs(), &wasi),
        "a clang for wasm32-wasi: apt-get install clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc",
    );
    let aarch64 = ["-x", "c", "--target=aarch64-linux-gnu", "-shared", "-nostdlib", "-ffreestanding", "-fuse-ld=lld"];
    missing("AARCH64_CLANG", compiles(&clangs(), &aarch64), "a clang for aarch64: apt-get install clang-19 lld-19");
    missing("LIBCLANG", has_libclang(), "libclang: apt-get install libclang-19-dev");
    missing(
        "WASM_RUST",
        builds_rust_for_wasm(),
        "Rust for wasm: rustup target add wasm32-wasip1, or apt-get install rustc-web cargo-web rust-web-src lld-19 wasi-libc",
    );
    let lld = ["ld.lld".to_owned()].into_iter().chain((19..40).map(|version| format!("ld.lld-{version}")));
    let lld = lld.into_iter().any(|name| runs(&name))
        || rust_target(&env::var("HOST").unwrap_or_default()).is_some_and(|dir| dir.join("bin/rust-lld").exists());
    missing("LLD", lld, "an LLD: a rustc from https://rustup.rs, or apt-get install lld-19");
    for (name, target) in [
        ("MUSL_RUST", format!("{}-unknown-linux-musl", env::consts::ARCH)),
        ("AARCH64_RUST", "aarch64-unknown-linux-gnu".to_owned()),
    ] {
        let installed = rust_target(&target).is_some_and(|dir| dir.join("lib").exists());
        missing(name, installed, &format!("Rust for {target}: rustup target add {target}"));
    }
    missing(
        "AARCH64_EMULATOR",
        ["qemu-aarch64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"].into_iter().all(runs),
        "programs for aarch64: apt-get install qemu-user g++-aarch64-linux-gnu libc6-dev-arm64-cross",
    );
    missing("CMAKE", runs("cmake"), "cmake: apt-get install cmake make");
    missing(
        "BINUTILS",
        runs("ld") && runs("objcopy") && runs("nm"),
        "GNU's ld, objcopy and nm: apt-get install binutils",
    );
    missing("PKG_CONFIG", runs("pkg-config"), "pkg-config: apt-get install pkg-config");
    missing("PROTOC", runs("protoc"), "protoc: apt-get install protobuf-compiler libprotobuf-dev");
    missing("GO", succeeds(Command::new("go").arg("version")), "Go: apt-get install golang-go");
    let asan = compiles(&[named("CC", "cc")], &["-x", "c", "-shared", "-fPIC", "-fsanitize=address"]);
    missing("ASAN", asan, "a C compiler with AddressSanitizer: apt-get install gcc libasan8");
    missing("VALGRIND", runs("valgrind"), "valgrind: apt-get install valgrind");
    missing("ENVOY", is_set("DYNVM_ENVOY"), "an Envoy: ./dev setup, or set DYNVM_ENVOY to a program");
    missing("BROWSER", is_set("DYNVM_BROWSER"), "a Chromium: set DYNVM_BROWSER to a program");
    let host = is_set("DYNVM_CPP_HOST_INCLUDE") && is_set("DYNVM_CPP_HOST_LIB");
    missing("CPP_HOST", host, "a proxy-wasm-cpp-host: set DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB");
    let include = env::var_os("DYNVM_CPP_HOST_INCLUDE").unwrap_or_default();
    let sdk = env::split_paths(&include).any(|dir| dir.join("proxy_wasm_intrinsics.cc").exists());
    missing(
        "CPP_SDK",
        host && sdk,
        "a proxy-wasm-cpp-host and the C++ SDK: set DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB",
    );
}

/// Sets the reason for an attribute: empty if the tool exists.
fn missing(name: &str, found: bool, reason: &str) {
    println!("cargo::rustc-env=DYNVM_NEEDS_{name}={}", if found { "" } else { reason });
}

/// The directory of rustc's files for a target.
fn rust_target(triple: &str) -> Option<PathBuf> {
    Some(sysroot("rustc")?.join("lib/rustlib").join(triple))
}

/// Runs this script again after an installation: by Debian's packages, by rustup, or into a directory of programs.
fn watch_installations() {
    let packages = Path::new("/var/lib/dpkg/status");
    let mut watched = match packages.exists() {
        true => vec![packages.to_owned()],
        false => env::split_paths(&env::var_os("PATH").unwrap_or_default()).filter(|dir| dir.is_absolute()).collect(),
    };
    watched.extend(sysroot("rustc").map(|sysroot| sysroot.join("lib/rustlib/components")));
    for path in watched.iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn named(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| default.into())
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The names that tests and `dynvm build` try.
fn clangs() -> Vec<OsString> {
    let versions = (14..=23).rev().map(|version| format!("clang-{version}").into());
    env::var_os("DYNVM_WASM_CC").into_iter().chain(versions).chain(["clang".into()]).collect()
}

/// Whether one of the compilers builds a program or library from these arguments.
fn compiles(compilers: &[OsString], arguments: &[&str]) -> bool {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let source = out.join("probe.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").expect("OUT_DIR is writable");
    compilers.iter().any(|compiler| {
        let mut command = Command::new(compiler);
        succeeds(command.args(arguments).arg(&source).arg("-o").arg(out.join("probe.out")))
    })
}

fn runs(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The directories in which bindgen looks on Linux, without those of `llvm-config`.
fn has_libclang() -> bool {
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let versions = entries(Path::new("/usr/lib")).filter(|dir| dir.to_string_lossy().contains("/llvm-"));
    let versions = versions.map(|dir| dir.join("lib"));
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let mut directories = named.into_iter().chain(versions).chain(usual.map(PathBuf::from));
    directories.any(|dir| {
        entries(&dir).any(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libclang.so") || name.starts_with("libclang-") && name.contains(".so")
        })
    })
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// A target installed by rustup, or the packages from which `dynvm build` compiles the standard library.
fn builds_rust_for_wasm() -> bool {
    let installed = ["wasm32-wasip1", "wasm32-unknown-unknown"];
    let sysroot_of_rustup = sysroot("rustc");
    let is_installed =
        |target| sysroot_of_rustup.as_ref().is_some_and(|dir| dir.join("lib/rustlib").join(target).exists());
    let debian = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library/std"];
    let linker = ["wasm-ld", "wasm-ld-19"].iter().any(|linker| runs(linker));
    installed.into_iter().any(is_installed) || (linker && debian.iter().all(|path| Path::new(path).exists()))
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}
