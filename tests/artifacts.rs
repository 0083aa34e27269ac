//! Artifacts that cannot be loaded, of every kind: each refusal names the file, the fact and the remedy, and no code
//! runs.

use std::path::Path;
use std::process::Command;

use dynvm::{LoadError, Loader, with_causes};
use harness::{Backend, compile, loader};

/// The message of a refusal.
fn refusal(bytes: &[u8]) -> String {
    with_causes(&loader().load_bytes("plugin", bytes).map(|_| ()).expect_err("it is refused"))
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let message = refusal(bytes);
    assert!(message.starts_with("plugin: ") && message.contains(expected), "{expected:?} is in {message:?}");
}

fn native() -> Vec<u8> {
    std::fs::read(compile::plugin(Backend::Native, "probe.c", &[])).unwrap()
}

fn wasm() -> Vec<u8> {
    std::fs::read(compile::plugin(Backend::Wasm, "probe.c", &[])).unwrap()
}

/// A C source, compiled natively.
fn compiled(source: &str, arguments: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("p.c"), dir.path().join("p.out"));
    std::fs::write(&from, source).unwrap();
    let output = Command::new("cc").args(arguments).arg(&from).arg("-o").arg(&to).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(to).unwrap()
}

#[test]
fn files_that_are_no_plugin() {
    refused(b"", "the file is empty");
    refused(b"hello, world\n", "this is a text file");
    refused(b"\x00\xff\x02\x03", "neither ELF nor WebAssembly");
    refused(b"!<arch>\n", "static library or archive");
    refused(b"\x1f\x8b\x08\x00", "gzip");
    refused(b"\0asm\x0d\0\x01\0", "component");
    refused(b"MZ\x90\x00", "Windows");
}

#[test]
fn paths_that_are_no_file() {
    let dir = tempfile::tempdir().unwrap();
    for (path, expected) in [(dir.path(), "directory"), (Path::new("/nowhere/plugin.so"), "No such file")] {
        let error = loader().load_file(path).unwrap_err();
        assert!(matches!(error, LoadError::Io { .. }));
        let message = with_causes(&error);
        assert!(message.contains(expected) && message.contains(path.to_str().unwrap()), "{message}");
    }
}

/// An artifact is read once: later changes to its file affect neither the running code nor `inspect`.
#[test]
fn a_file_that_is_replaced_after_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [("plugin.wasm", wasm()), ("plugin.so", native())] {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let loader = loader();
        let artifact = loader.read_file(&path).unwrap();
        std::fs::write(&path, "(module)").unwrap();
        let module = loader.load_artifact(&artifact).unwrap();
        std::fs::remove_file(&path).unwrap();
        let inspection = dynvm::inspect::inspect_loaded(&loader, &artifact, &module);
        assert_eq!(artifact.bytes, bytes);
        let digest = dynvm::trust::Sha256Digest::of(&bytes).to_string();
        assert_eq!(digest.strip_prefix("sha256:"), module.info().sha256());
        assert_eq!((module.info().size, inspection.size, inspection.refusal), (bytes.len(), bytes.len(), None));
        assert!(inspection.callbacks.contains(&"proxy_on_request_headers"), "{:?}", inspection.callbacks);
    }
}

/// The tail of a native plugin's file, such as debug information, is not read when the plugin is loaded, and the digest covers it.
#[test]
fn the_digest_of_a_file_that_was_read_in_part() {
    use std::time::{Duration, SystemTime};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plugin.so");
    let mut bytes = native();
    bytes.resize(bytes.len() + 100_000, b'd');
    let digest = dynvm::trust::Sha256Digest::of(&bytes).to_string();
    let digest = digest.strip_prefix("sha256:");
    let write = |age: u64| {
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    let overwrite = || std::fs::write(&path, bytes.iter().rev().copied().collect::<Vec<u8>>()).unwrap();

    write(3600);
    let module = loader().load_file(&path).unwrap();
    assert_eq!((module.info().size, module.info().sha256()), (bytes.len(), digest));
    overwrite();
    assert_eq!((module.info().sha256(), module.info().is_of(&bytes)), (digest, true));

    write(3600);
    let module = loader().load_file(&path).unwrap();
    overwrite();
    assert_eq!((module.info().sha256(), module.info().is_of(&bytes)), (None, false));

    write(3600);
    let module = loader().load_file(&path).unwrap();
    std::fs::write(dir.path().join("new"), "another file").unwrap();
    std::fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(module.info().sha256(), digest, "the file lives on while it is open");
    std::fs::remove_file(&path).unwrap();

    // The file system's clock may not tell two modifications apart that follow each other.
    write(0);
    let module = loader().load_file(&path).unwrap();
    overwrite();
    assert_eq!(module.info().sha256(), digest);
}

/// The loader neither waits for a file that is not regular, nor reads it to its end.
#[test]
fn files_that_have_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        for error in [loader().load_file(path).unwrap_err(), dynvm::inspect::inspect_file(&loader(), path).unwrap_err()]
        {
            assert!(with_causes(&error).contains("a pipe or a device"), "{error}");
        }
    }
}

#[test]
fn elf_files_of_other_kinds() {
    let plugin = native();
    let changed = |at: usize, value: u8| {
        let mut bytes = plugin.clone();
        bytes[at] = value;
        bytes
    };
    // Offsets in the ELF header: 4 class, 5 byte order, 16 type, 18 machine.
    refused(&changed(4, 1), "32-bit");
    refused(&changed(5, 2), "big endian");
    let other = if cfg!(target_arch = "x86_64") { (183, "aarch64") } else { (62, "x86-64") };
    refused(&changed(18, other.0), &format!("this ELF file is for {}", other.1));
    refused(&changed(16, 4), "core dump");
    refused(&compiled("int x;", &["-c"]), "object file");
    refused(&compiled("int main(void) { return 0; }", &[]), "this is a program");
    refused(&compiled("int f(void) { return 0; }", &["-shared", "-fPIC"]), "exports none of proxy_abi_version_0_1_0");
}

#[needs::wasm_clang]
#[test]
fn truncated_files() {
    let plugin = native();
    refused(&plugin[..10], "truncated");
    refused(&plugin[..70], "damaged or truncated");
    refused(&plugin[..plugin.len() / 2], "damaged or truncated");
    // At any length it is refused, or the mapped part is complete.
    for len in (0..plugin.len()).step_by(37) {
        let _ = loader_of_natives().load_bytes("plugin", &plugin[..len]);
    }
    let module = wasm();
    for len in (8..module.len()).step_by(211) {
        refusal(&module[..len]);
    }
}

/// One loader for many attempts.
fn loader_of_natives() -> &'static Loader {
    static LOADER: std::sync::LazyLock<Loader> = std::sync::LazyLock::new(loader);
    &LOADER
}

/// No changed byte makes the reader panic or read outside the file.
#[test]
fn damaged_files() {
    let plugin = native();
    let mut state = 1u64;
    for _ in 0..3000 {
        let mut bytes = plugin.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Only the headers and tables at the front are parsed.
            let at = (state >> 33) as usize % bytes.len().min(4096);
            bytes[at] = (state >> 20) as u8;
        }
        let _ = loader_of_natives().load_bytes("plugin", &bytes);
        dynvm::inspect::inspect(loader_of_natives(), "plugin", &bytes);
    }
}

#[test]
fn imports_that_no_host_has() {
    let source = |import: &str, version: &str| {
        compiled(
            &format!(
                "unsigned {import}(void); void proxy_abi_version_{version}(void) {{}} unsigned proxy_on_tick(void) {{ return {import}(); }}"
            ),
            &["-shared", "-fPIC"],
        )
    };
    refused(&source("proxy_make_coffee", "0_2_1"), "imports what no Proxy-Wasm 0.2.1 host has: proxy_make_coffee");
    refused(&source("proxy_continue_request", "0_2_1"), "proxy_continue_request (only in 0.1.0)");
    refused(&source("proxy_get_log_level", "0_2_0"), "proxy_get_log_level (only in 0.2.1)");
    assert!(loader().load_bytes("plugin", &source("proxy_continue_request", "0_1_0")).is_ok());
    let module =
        |import: &str| format!(r#"(module (import {import}) (func (export "proxy_abi_version_0_2_1")))"#).into_bytes();
    refused(&module(r#""env" "proxy_make_coffee" (func)"#), "env.proxy_make_coffee");
    refused(
        &module(r#""env" "proxy_clear_route_cache" (func (result i32))"#),
        "proxy_clear_route_cache (only in 0.1.0)",
    );
    refused(
        &module(r#""wasi_snapshot_preview1" "proc_raise" (func (param i32) (result i32))"#),
        "wasi_snapshot_preview1.proc_raise",
    );
    refused(&module(r#""env" "memory" (memory 1)"#), "env.memory (not a function)");
}

#[test]
fn symbols_that_nobody_defines() {
    let bytes = compiled(
        "void proxy_abi_version_0_2_1(void) {} unsigned elsewhere(void); unsigned proxy_on_tick(void) { return elsewhere(); }",
        &["-shared", "-fPIC"],
    );
    let error = loader().load_bytes("plugin", &bytes).unwrap_err().to_string();
    assert!(error.contains("its symbol elsewhere") && error.contains("link the plugin with what it needs"), "{error}");
}

#[test]
fn signatures_that_are_not_the_abis() {
    let module = |rest: &str| format!(r#"(module {rest} (func (export "proxy_abi_version_0_2_1")))"#).into_bytes();
    refused(
        &module(r#"(import "env" "proxy_log" (func (param i32 i64) (result i32)))"#),
        "`proxy_log` has the signature (i32, i64) -> (i32), but Proxy-Wasm 0.2.1 has (i32, i32, i32) -> (i32)",
    );
    refused(
        &module(r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (i32.const 0))"#),
        "`proxy_on_request_headers` has the signature (i32, i32) -> (i32), but Proxy-Wasm 0.2.1 has (i32, i32, i32) -> (i32)",
    );
    refused(
        &module(r#"(func (export "proxy_on_memory_allocate"))"#),
        "`proxy_on_memory_allocate` has the signature () -> ()",
    );
}

#[test]
fn wasm_that_is_not_valid() {
    refused(b"(module (func (result i32)) (func (export \"proxy_abi_version_0_2_1\")))", "wasmtime cannot compile it");
    refused(b"(module (fun", "wasmtime cannot compile it");
    refused(b"(module)", "exports none of proxy_abi_version_0_1_0");
}

/// The text of a cause appears only in the cause, so that printing the chain repeats nothing.
#[test]
fn causes_are_told_once() {
    let error = loader().load_file("/nowhere/plugin.so").unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/plugin.so: cannot be read");
    assert_eq!(with_causes(&error), "/nowhere/plugin.so: cannot be read: No such file or directory (os error 2)");
    let error = loader().load_bytes("p", b"(module (fun").unwrap_err();
    assert_eq!(error.to_string(), "p: wasmtime cannot compile it");
    assert!(with_causes(&error).contains("expected valid module field"), "{}", with_causes(&error));
    let text = br#"(module (memory 70000000000) (func (export "proxy_abi_version_0_2_1")))"#;
    let error = loader().load_bytes("p", text).unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");

    let limited = harness::loader_with(|options| options.wasm.memory_limit = Some(65536));
    let text = br#"(module (memory (export "memory") 9) (func (export "proxy_abi_version_0_2_1")))"#;
    let module = limited.load_bytes("p", text).unwrap();
    let error = dynvm::Vm::builder(&module)
        .config(Default::default())
        .services(Default::default())
        .build()
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.to_string(), "p: cannot be instantiated");
    assert!(with_causes(&error).contains("growing memory"), "{}", with_causes(&error));
}

/// Native code is refused unless it is allowed.
#[test]
fn native_code_is_off_by_default() {
    let error = Loader::new().unwrap().load_bytes("plugin", &native()).unwrap_err();
    assert!(matches!(error, LoadError::NativeNotAllowed { .. }));
    assert!(error.to_string().contains("LoaderOptions::allow_native"), "{error}");
}
