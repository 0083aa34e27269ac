//! The shim, compiled and driven through everything that a host may request of it: against interface declarations in
//! this repository, and, if they are given, against the headers and the library of proxy-wasm-cpp-host itself. `build`
//! describes the variables that name them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use build::{Host, LOADER, Program, built_by_cargo, compiler, here, run, sdk_plugin};
use dynvm::bundle::BundleWriter;
use measured::{BASE, Measured};

mod build;
mod measured;

/// The plugins of the tests, in a directory.
static PLUGINS: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim-plugins");
    std::fs::create_dir_all(&dir).unwrap();
    for variant in ["PLUGIN", "NO_ALLOCATOR", "RESTLESS", "FAULTY", "OLD", "COMMAND", "OWN"] {
        let mut command = compiler("CC", "cc");
        command.args(["-shared", "-fPIC", "-O1", "-g", "-I"]).arg(here("../plugin-abi/include"));
        command.arg(format!("-D{variant}")).arg(here("tests/data/plugin.c")).arg("-o");
        run(command.arg(dir.join(format!("{}.so", variant.to_lowercase()))));
    }
    let mut command = compiler("CXX", "c++");
    command.args(["-shared", "-fPIC", "-O1", "-g"]).arg(here("tests/data/new.cc")).arg("-o").arg(dir.join("new.so"));
    run(&mut command);
    std::fs::write(dir.join("fat.wasm"), fat(&dir.join("plugin.so"))).unwrap();
    std::fs::write(dir.join("refuses.toml"), "[native]\nallow = false\n").unwrap();
    std::fs::write(dir.join("allows.toml"), "[native]\nallow = true\n").unwrap();
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

/// An example plugin on the Rust SDK, built unchanged.
fn rust_plugin() -> PathBuf {
    built_by_cargo("header-rewrite", "header_rewrite.so", &[])
}

fn passes(program: &Path, arguments: &[&Path], last_line: &str) {
    let output = run(Command::new(program).args(arguments));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().last(), Some(last_line), "{text}");
}

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-O1", "-g"];

/// Everything that a host may request of the shim, in sequence.
fn contract(name: &'static str, includes: &[PathBuf], flags: &[&'static str], libraries: &[String]) {
    let program = Program {
        name,
        loader: &LOADER,
        sources: vec![here("tests/data/shim.cc")],
        includes: includes.to_vec(),
        flags: [&WARNINGS, flags].concat(),
        libraries: libraries.to_vec(),
    };
    passes(&program.build(), &[&PLUGINS], "all as a host wants it");
}

#[needs::cxx]
#[test]
fn against_the_interface() {
    contract("shim-interface", &[here("tests/interface")], &[], &[]);
}

#[needs::cpp_host]
#[test]
fn against_the_host() {
    let host = Host::required();
    contract("shim-host", &host.includes, &["-DDYNVM_CPP_HOST_GIVEN"], &host.libraries);
}

/// The plugin for whole streams, in C.
static C_PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| {
    let plugin = PLUGINS.join("stream.so");
    let mut command = compiler("CC", "cc");
    command.args(["-shared", "-fPIC", "-O1", "-g", "-I"]).arg(here("../plugin-abi/include"));
    run(command.arg(here("tests/data/stream.c")).arg("-o").arg(&plugin));
    plugin
});

#[needs::cpp_host]
#[test]
fn whole_streams_on_the_host() {
    let plugins =
        [(C_PLUGIN.clone(), ["x-answer", "# of ", "crashes"]), (rust_plugin(), ["x-original-url", "host/#", "stays"])];
    whole_streams("lifecycle", &plugins);
}

/// Its plugin throws.
#[needs::cpp_sdk]
#[test]
fn whole_streams_of_the_cpp_sdk_on_the_host() {
    let host = Host::required();
    let sdk = host.sdk().expect("proxy_wasm_intrinsics.cc is in an include directory");
    let plugin = sdk_plugin(sdk, "tests/data/stream_sdk.cc", &["-g"], "stream_sdk.so");
    whole_streams("lifecycle-sdk", &[(plugin, ["x-answer", "# of ", "crashes"])]);
}

/// `createWasm`, canaries, clones, eight threads with two plugins in each VM, and a crash in between, for each way to
/// pass the code.
fn whole_streams(name: &'static str, plugins: &[(PathBuf, [&str; 3])]) {
    let host = Host::required();
    let program = Program {
        name,
        loader: &LOADER,
        sources: vec![here("tests/data/lifecycle.cc")],
        includes: host.includes.clone(),
        flags: [&WARNINGS[..], &["-DDYNVM_CPP_HOST_GIVEN"]].concat(),
        libraries: host.libraries,
    };
    let program = program.build();
    for (plugin, expected) in plugins {
        let fat_plugin = PLUGINS.join(format!("{name}.wasm"));
        std::fs::write(&fat_plugin, fat(plugin)).unwrap();
        for (way, code) in [("shared", plugin), ("path", plugin), ("null", plugin), ("fat", &fat_plugin)] {
            let expected = expected.map(Path::new);
            passes(&program, &[&[Path::new(way), code], expected.as_slice()].concat(), "every stream answered");
        }
    }
}

/// A plugin that is part of the program: as a NullVM plugin, and by its name in the shim's own VM.
fn linked_streams(name: &'static str, plugin: dynvm_link::Plugin, flags: &[&'static str], expected: [&str; 3]) {
    let host = Host::required();
    let target = dynvm_link::Target::of_this_machine(build::target("linked")).unwrap();
    // A slot for each of eight threads, and one for a canary.
    let plugin = plugin.name(name).link(&target).unwrap_or_else(|error| panic!("{error:?}"));
    let program = Program {
        name,
        loader: &LOADER,
        sources: vec![here("tests/data/lifecycle.cc"), plugin.library],
        includes: [&host.includes[..], &[target.out_dir]].concat(),
        flags: [&WARNINGS[..], &["-DDYNVM_CPP_HOST_GIVEN"], flags].concat(),
        libraries: host.libraries,
    };
    let program = program.build();
    for way in ["linked", "name"] {
        let arguments = [&[way, name], expected.as_slice()].concat();
        passes(&program, &arguments.into_iter().map(Path::new).collect::<Vec<_>>(), "every stream answered");
    }
}

const SLOTS: usize = 9;

#[needs::cpp_host]
#[needs::lld]
#[test]
fn linked_plugins_on_the_host() {
    let plugin = dynvm_link::plugin(here("tests/data/stream.c")).slots(SLOTS);
    let flags = ["-DLINKED=dvn_linked_c", "-DLINKED_HEADER=\"linked_c.h\""];
    linked_streams("linked_c", plugin, &flags, ["x-answer", "# of ", "crashes"]);
    let plugin = dynvm_link::plugin(here("../examples/plugins/header-rewrite"));
    let flags = ["-DLINKED=dvn_linked_rust", "-DLINKED_HEADER=\"linked_rust.h\""];
    linked_streams("linked_rust", plugin, &flags, ["x-original-url", "host/#", "stays"]);
}

/// Slots, addresses, crashes, a budget and restricted capabilities in the host's own NullVMs.
#[needs::cpp_host]
#[needs::lld]
#[test]
fn a_linked_plugin_in_null_vm() {
    let host = Host::required();
    let target = dynvm_link::Target::of_this_machine(build::target("linked")).unwrap();
    let plugin = dynvm_link::plugin(here("../tests/plugins/crash.cc")).name("crashes").slots(1);
    let plugin = plugin.link(&target).unwrap_or_else(|error| panic!("{error:?}"));
    let program = Program {
        name: "null_plugin",
        loader: &LOADER,
        sources: vec![here("tests/data/null_plugin.cc"), plugin.library],
        includes: [&host.includes[..], &[target.out_dir]].concat(),
        flags: [&WARNINGS[..], &["-DDYNVM_CPP_HOST_GIVEN", "-Wl,--wrap=dynvm_loader_new"]].concat(),
        libraries: host.libraries,
    };
    passes(&program.build(), &[], "each as it should be");
}

#[needs::cpp_sdk]
#[needs::lld]
#[test]
fn linked_plugins_of_the_cpp_sdk_on_the_host() {
    let host = Host::required();
    let sdk = host.sdk().expect("proxy_wasm_intrinsics.cc is in an include directory");
    let plugin = dynvm_link::plugin(here("tests/data/stream_sdk.cc")).sdk(sdk).slots(SLOTS);
    let flags = ["-DLINKED=dvn_linked_sdk", "-DLINKED_HEADER=\"linked_sdk.h\""];
    linked_streams("linked_sdk", plugin, &flags, ["x-answer", "# of ", "crashes"]);
}

/// The build for embedders: libraries, programs and their tests, with the host if it is given.
#[needs::cxx]
#[needs::cmake]
#[needs::binutils]
#[test]
fn built_with_cmake() {
    let build = build::target("cmake");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(here(".")).arg("-B").arg(&build).arg("-DDYNVM_CPP_HOST_TESTS=ON");
    configure.arg(format!("-DDYNVM_CARGO_TARGET_DIR={}", build::cargo_target().display()));
    if let Some(host) = Host::given() {
        let includes: Vec<_> = host.includes.iter().map(|dir| dir.display().to_string()).collect();
        configure.arg(format!("-DDYNVM_CPP_HOST_INCLUDE={}", includes.join(";")));
        configure.arg(format!("-DDYNVM_CPP_HOST_LIB={}", host.libraries.join(";")));
    } else {
        configure.args(["-UDYNVM_CPP_HOST_INCLUDE", "-UDYNVM_CPP_HOST_LIB"]);
    }
    run(&mut configure);
    run(Command::new("cmake").arg("--build").arg(&build));
    run(Command::new("ctest").arg("--test-dir").arg(&build).args(["--output-on-failure", "--no-tests=error"]));
    let installed = build::target("cmake-installed");
    run(Command::new("cmake").arg("--install").arg(&build).arg("--prefix").arg(&installed));
    an_installed_package(&installed);
}

/// A project finds the installed package, and is a host with it.
fn an_installed_package(installed: &Path) {
    let (source, build) = (build::target("cmake-consumer"), build::target("cmake-consumer/build"));
    std::fs::create_dir_all(&source).unwrap();
    let (includes, libraries, definition) = match Host::given() {
        Some(host) => (host.includes, host.libraries.join(" "), "DYNVM_CPP_HOST_GIVEN"),
        None => (vec![here("tests/interface")], String::new(), ""),
    };
    let project = format!(
        "cmake_minimum_required(VERSION 3.20)\nproject(consumer C CXX)\nfind_package(dynvm {} REQUIRED)\n\
         add_executable(host {})\ntarget_include_directories(host PRIVATE {})\n\
         target_compile_definitions(host PRIVATE {definition})\ntarget_link_libraries(host dynvm::cpp_host {libraries})\n",
        env!("CARGO_PKG_VERSION"),
        here("tests/data/shim.cc").display(),
        includes.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" ")
    );
    std::fs::write(source.join("CMakeLists.txt"), project).unwrap();
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", installed.display());
    run(Command::new("cmake").arg("-S").arg(&source).arg("-B").arg(&build).arg(prefix));
    run(Command::new("cmake").arg("--build").arg(&build));
    passes(&build.join("host"), &[&PLUGINS], "all as a host wants it");
}

/// The snippet in docs/cpp-host.md is the compiled one.
#[test]
fn the_snippet_of_the_documentation() {
    let source = std::fs::read_to_string(here("tests/data/embedder.cc")).unwrap();
    let (_, rest) = source.split_once("// The snippet of docs/cpp-host.md.\n").unwrap();
    let (snippet, _) = rest.split_once("// The end of the snippet.").unwrap();
    let page = std::fs::read_to_string(here("../docs/cpp-host.md")).unwrap();
    assert!(
        page.contains(snippet.trim_end()),
        "docs/cpp-host.md does not have the lines of tests/data/embedder.cc:\n{snippet}"
    );
}

/// The host verifies signatures if it is compiled with a key.
#[needs::cpp_host]
#[test]
fn a_host_with_a_key() {
    let host = Host::required();
    let verifier = host.includes.iter().map(|dir| dir.join("src/signature_util.cc")).find(|source| source.exists());
    let verifier = verifier.expect("src/signature_util.cc is in an include directory: the root of the host");
    let program = Program {
        name: "signatures",
        loader: &LOADER,
        sources: vec![here("tests/data/signatures.cc"), verifier],
        includes: host.includes,
        flags: [&WARNINGS[..], &["-DDYNVM_CPP_HOST_GIVEN", KEY]].concat(),
        libraries: host.libraries,
    };
    let files = ["plugin.so", "fat.wasm", "allows.toml", "refuses.toml"].map(|name| PLUGINS.join(name));
    passes(&program.build(), &files.each_ref().map(PathBuf::as_path), "nothing but what the key signed");
}

/// The public key of RFC 8032, 7.1, test 1.
const KEY: &str = concat!(
    "-DPROXY_WASM_VERIFY_WITH_ED25519_PUBKEY=\"",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\""
);

#[needs::cpp_host]
#[test]
fn an_embedder() {
    let host = Host::required();
    let program = Program {
        name: "embedder",
        loader: &LOADER,
        sources: vec![here("tests/data/embedder.cc")],
        includes: host.includes,
        flags: [&WARNINGS[..], &["-DDYNVM_CPP_HOST_GIVEN"]].concat(),
        libraries: host.libraries,
    };
    passes(&program.build(), &[&C_PLUGIN], "the stream was answered");
}

/// Instructions that the shim may take beyond NullVM's, for one iteration. A few more than it takes, since compilers differ.
const MOST_BEYOND_NULL_VM: [(&str, f64); 5] = [
    ("onRequestHeaders, no-op", 32.0),
    ("get header, miss", 34.0),
    ("replace header", 34.0),
    ("log, level off", 27.0),
    ("current time", 29.0),
];

/// The machine's load does not change the number of instructions.
#[cfg(target_arch = "x86_64")]
#[needs::cpp_sdk]
#[needs::valgrind]
#[test]
fn instructions_beyond_those_of_null_vm() {
    let host = Host::required();
    let sdk = host.sdk().expect("proxy_wasm_intrinsics.cc is in an include directory").to_owned();
    let results = Measured::build(host, &sdk).instructions();
    let beyond = |case: &str| results.median(case, "shim") - results.median(case, BASE);
    let over: Vec<String> = MOST_BEYOND_NULL_VM
        .iter()
        .filter(|(case, most)| beyond(case) > *most)
        .map(|(case, most)| format!("{case}: {:.0} more than NullVM, at most {most}", beyond(case)))
        .collect();
    assert!(over.is_empty(), "{}\n{}", over.join("\n"), results.table("instructions"));
}
