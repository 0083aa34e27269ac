//! `dynvm bundle` on real plugins: what it writes, what it refuses, and that it leaves nothing half done.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dynvm::bundle::{Bundle, this_machine};
use serde_json::Value;

const PLUGIN: &str = r#"#include <dynvm/dynvm.h>
void MARKER(void) {}
uint32_t CALLBACK(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id; (void)num_headers; (void)end_of_stream;
  proxy_add_header_map_value(0, (const uint8_t *)"x-bundled", 9, (const uint8_t *)"yes", 3);
  return 0;
}"#;

/// A directory with both builds of a plugin: `plugin.wasm` and `plugin.so`.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.build("plugin", "proxy_abi_version_0_2_1", "proxy_on_request_headers");
        files
    }

    fn build(&self, name: &str, marker: &str, callback: &str) {
        let source = self.path(&format!("{name}.c"));
        std::fs::write(&source, PLUGIN.replace("MARKER", marker).replace("CALLBACK", callback)).unwrap();
        let (code, _, err) = self.dynvm(&["build", &format!("{name}.c"), "--out-dir", "."]);
        assert_eq!(code, 0, "{err}");
    }

    /// The plugin for a machine that this is not: its name, and the file.
    fn build_for_another_machine(&self) -> (&'static str, String) {
        let machine = if this_machine() == "aarch64" { "x86_64" } else { "aarch64" };
        let mut command = Command::new("clang-19");
        command.args([&format!("--target={machine}-unknown-linux-gnu"), "-shared", "-fPIC", "-nostdlib"]);
        command.args(["-ffreestanding", "-fuse-ld=lld", "-I", dynvm_abi::INCLUDE_DIR, "-o"]);
        let output = command.arg(self.path("other.so")).arg(self.path("plugin.c")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (machine, format!("{machine}=other.so"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn dynvm(&self, arguments: &[&str]) -> (i32, String, String) {
        self.dynvm_with(arguments, None)
    }

    fn dynvm_with(&self, arguments: &[&str], password: Option<&str>) -> (i32, String, String) {
        // A session of its own has no terminal to ask at.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_dynvm")).args(arguments);
        command.current_dir(self.0.path()).stdin(Stdio::null()).env_remove("MINISIGN_PASSWORD");
        command.envs(password.map(|password| ("MINISIGN_PASSWORD", password)));
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.dynvm(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], expected: i32, message: &str) {
        let before = self.names();
        let (code, out, err) = self.dynvm(arguments);
        assert_eq!(code, expected, "{arguments:?}:\n{out}\n{err}");
        assert!(err.contains(message), "{message:?} is in {err:?}");
        assert_eq!(self.names(), before, "nothing is left behind");
    }
}

fn here() -> String {
    format!("{}=plugin.so", this_machine())
}

#[needs::wasi_clang]
#[needs::aarch64_clang]
#[test]
fn there_and_back() {
    let files = Files::new();
    let (other, named) = files.build_for_another_machine();
    let out = files.done(&["bundle", "plugin.wasm", &here(), &named, "-o", "fat.wasm", "--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["output"], &report["signed"]), (&"fat.wasm".into(), &false.into()));
    assert_eq!(report["bytes"], files.read("fat.wasm").len());
    assert_eq!(report["wasm_bytes"], files.read("plugin.wasm").len());
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    a_loader_of_wasm_takes(&files.path("fat.wasm"));

    let listed: Value = serde_json::from_str(&files.done(&["inspect", "fat.wasm", "--format", "json"])).unwrap();
    let fat = &listed[0]["fat_plugin"];
    assert_eq!(
        (&fat["images"][0]["sha256"], &fat["chosen"]["part"]),
        (&report["images"][0]["sha256"], &"native".into())
    );
    let loads: Vec<_> = fat["images"].as_array().unwrap().iter().map(|image| image["would_load"] == true).collect();
    assert_eq!(loads.iter().filter(|loads| **loads).count(), 1, "the one for this machine: {fat}");
    let text = files.done(&["inspect", "fat.wasm"]);
    for expected in
        ["fat plugin", "would load here", &format!("this machine is {}", this_machine()), "signature    none"]
    {
        assert!(text.contains(expected), "{expected:?} is in {text}");
    }

    files.done(&["bundle", "--extract", "fat.wasm", "--out-dir", "parts"]);
    assert_eq!(files.read("parts/fat.wasm"), files.read("plugin.wasm"));
    assert_eq!(files.read(&format!("parts/fat-{}.so", this_machine())), files.read("plugin.so"));
    assert_eq!(files.read(&format!("parts/fat-{other}.so")), files.read("other.so"));
    assert_eq!(std::fs::read_dir(files.path("parts")).unwrap().count(), 3);
}

fn a_loader_of_wasm_takes(path: &Path) {
    let loader = dynvm::Loader::new().unwrap();
    assert_eq!(loader.load_file(path).unwrap().info().kind, dynvm::ArtifactKind::Wasm);
}

#[needs::wasi_clang]
#[test]
fn either_part_runs() {
    let files = Files::new();
    files.done(&["bundle", "plugin.wasm", &here(), "-o", "fat.wasm"]);
    for backend in ["native", "wasm"] {
        let out = files.done(&["run", "fat.wasm", "--backend", backend, "--request", "/"]);
        assert!(out.contains("to upstream + x-bundled: yes"), "{out}");
    }
}

#[needs::wasi_clang]
#[needs::aarch64_clang]
#[test]
fn it_replaces_its_input_and_its_images() {
    let files = Files::new();
    let module = files.read("plugin.wasm");
    let (other, named) = files.build_for_another_machine();
    files.done(&["bundle", "plugin.wasm", &here(), &named, "-o", "plugin.wasm"]);
    let once = files.read("plugin.wasm");
    assert!(once.len() > module.len() && once.starts_with(&module));
    // Again gives the same.
    files.done(&["bundle", "plugin.wasm", &here(), &named, "-o", "plugin.wasm"]);
    assert_eq!(files.read("plugin.wasm"), once);
    // With one image less: it says so.
    let (code, out, err) = files.dynvm(&["bundle", "plugin.wasm", &here(), "-o", "plugin.wasm"]);
    assert_eq!(code, 0, "{out}\n{err}");
    assert!(err.contains(&format!("the previous image for {other} is removed")), "{err}");
    let bytes = files.read("plugin.wasm");
    let bundle = Bundle::read(&bytes).unwrap().unwrap();
    assert_eq!((bundle.wasm(), bundle.images().len()), (&module[..], 1));
}

#[needs::wasi_clang]
#[test]
fn it_keeps_the_mode_and_follows_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let files = Files::new();
    std::fs::create_dir(files.path("real")).unwrap();
    std::fs::write(files.path("real/fat.wasm"), "old").unwrap();
    std::fs::set_permissions(files.path("real/fat.wasm"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/fat.wasm", files.path("fat.wasm")).unwrap();
    files.done(&["bundle", "plugin.wasm", &here(), "-o", "fat.wasm"]);
    assert!(files.path("fat.wasm").is_symlink());
    let metadata = std::fs::metadata(files.path("real/fat.wasm")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(Bundle::read(&files.read("real/fat.wasm")).unwrap().is_some());
}

#[needs::wasi_clang]
#[test]
fn signatures() {
    let files = Files::new();
    let plain = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let locked = minisign::KeyPair::generate_encrypted_keypair(Some("secret".to_owned())).unwrap();
    for (name, pair) in [("plain.key", &plain), ("locked.key", &locked)] {
        std::fs::write(files.path(name), pair.sk.to_box(None).unwrap().to_bytes()).unwrap();
    }
    for (name, pair, password) in [("plain.key", &plain, None), ("locked.key", &locked, Some("secret"))] {
        let arguments = ["bundle", "plugin.wasm", &here(), "-o", "fat.wasm", "--sign", name];
        let (code, out, err) = files.dynvm_with(&arguments, password);
        assert_eq!(code, 0, "{out}\n{err}");
        assert!(out.contains("\n  signed\n"), "{out}");
        let bytes = files.read("fat.wasm");
        let bundle = Bundle::read(&bytes).unwrap().unwrap();
        let signature = minisign::SignatureBox::from_string(bundle.signature().unwrap()).unwrap();
        let verify =
            |bytes: &[u8]| minisign::verify(&pair.pk, &signature, std::io::Cursor::new(bytes), true, false, false);
        verify(bundle.signed_bytes()).unwrap();
        assert!(verify(bundle.wasm()).is_err());
        assert!(signature.trusted_comment().unwrap().contains("file:fat.wasm"));

        files.done(&["bundle", "--extract", "fat.wasm", "--out-dir", "parts"]);
        assert_eq!(files.read("parts/fat.manifest"), bundle.signed_bytes());
        assert_eq!(files.read("parts/fat.manifest.minisig"), bundle.signature().unwrap().as_bytes());
        assert!(files.done(&["inspect", "fat.wasm"]).contains("minisign, not verified here: timestamp:"));
    }
    let (_, _, err) = files.dynvm(&["bundle", "fat.wasm", &here(), "-o", "again.wasm"]);
    assert!(err.contains("the previous signature is removed"), "{err}");
}

#[needs::wasi_clang]
#[test]
fn keys_that_cannot_sign() {
    let files = Files::new();
    let locked = minisign::KeyPair::generate_encrypted_keypair(Some("secret".to_owned())).unwrap();
    std::fs::write(files.path("locked.key"), locked.sk.to_box(None).unwrap().to_bytes()).unwrap();
    std::fs::write(files.path("public.key"), locked.pk.to_box().unwrap().to_bytes()).unwrap();
    std::fs::write(files.path("damaged.key"), format!("untrusted comment: k\n{}\n", "?".repeat(212))).unwrap();
    let sign = |key: &'static str| ["bundle", "plugin.wasm", "IMAGE", "-o", "fat.wasm", "--sign", key];
    let named = here();
    for (key, message) in [
        ("locked.key", "locked.key: the key has a password, and there is no terminal to prompt for it"),
        ("plugin.c", "plugin.c: this is not a minisign secret key"),
        ("public.key", "public.key: this is not a minisign secret key"),
        ("damaged.key", "damaged.key: incomplete minisign secret key"),
        ("nowhere.key", "nowhere.key: cannot be read"),
    ] {
        files.refused(&sign(key).map(|word| if word == "IMAGE" { named.as_str() } else { word }), 2, message);
    }
    let arguments = sign("locked.key").map(|word| if word == "IMAGE" { named.as_str() } else { word });
    let (code, _, err) = files.dynvm_with(&arguments, Some("wrong"));
    assert!(code == 2 && err.contains("locked.key: the password is wrong"), "{err}");
    assert!(!files.path("fat.wasm").exists());
}

#[needs::wasi_clang]
#[needs::aarch64_clang]
#[test]
fn parts_that_do_not_fit_together() {
    let files = Files::new();
    files.build("older", "proxy_abi_version_0_2_0", "proxy_on_request_headers");
    files.build("other", "proxy_abi_version_0_2_1", "proxy_on_response_headers");
    files.build("coffee", "proxy_abi_version_0_2_1", "proxy_on_request_headers");
    std::fs::write(files.path("old.wasm"), "as it was").unwrap();
    let image = |file: &str| format!("{}={file}", this_machine());
    for (file, message) in [
        (
            "older.so",
            "older.so: it is for ABI version 0.2.0, the wasm module for 0.2.1: build both from the same source",
        ),
        ("other.so", "it lacks callbacks that the wasm module has: proxy_on_request_headers"),
        ("other.so", "it has callbacks that the wasm module lacks: proxy_on_response_headers"),
        ("plugin.wasm", "plugin.wasm: the native image for"),
        ("plugin.c", "is not an ELF file"),
    ] {
        files.refused(&["bundle", "plugin.wasm", &image(file), "-o", "old.wasm"], 3, message);
    }
    let (other, _) = files.build_for_another_machine();
    let wrong = format!("{}=other.so", this_machine());
    files.refused(&["bundle", "plugin.wasm", &wrong, "-o", "old.wasm"], 3, &format!("is an ELF file for {other}"));
    files.refused(&["bundle", "plugin.wasm", &here(), &here(), "-o", "old.wasm"], 3, "two native images for");
    files.refused(
        &["bundle", "plugin.so", &here(), "-o", "old.wasm"],
        3,
        "plugin.so: this is not a WebAssembly module",
    );
    files.refused(
        &["bundle", "plugin.wasm", "vax=plugin.so", "-o", "old.wasm"],
        3,
        "\"vax\" is not the name of a machine",
    );
    files.refused(
        &["bundle", "--extract", "plugin.wasm", "--out-dir", "parts"],
        3,
        "plugin.wasm: this is a plain wasm module",
    );
    assert_eq!(files.read("old.wasm"), b"as it was", "what is not replaced is left alone");
}

#[needs::wasi_clang]
#[test]
fn mistakes_in_the_command_line() {
    let files = Files::new();
    files.done(&["bundle", "plugin.wasm", &here(), "-o", "fat.wasm"]);
    files.refused(&["bundle", "plugin.wasm", "plugin.so", "-o", "x.wasm"], 2, "has no machine; write");
    files.refused(&["bundle", "plugin.wasm", &here()], 2, "--output");
    files.refused(&["bundle", "plugin.wasm", "-o", "x.wasm"], 2, "MACHINE=FILE.so");
    files.refused(&["bundle", "plugin.wasm", &here(), "-o", "plugin.so"], 2, "would be overwritten by the fat plugin");
    files.refused(&["bundle", "plugin.wasm", &here(), "-o", "."], 2, "is not a regular file");
    files.refused(&["bundle", "plugin.wasm", &here(), "-o", "no/such/x.wasm"], 2, "no/such/x.wasm: cannot be written");
    files.refused(&["bundle", "nowhere.wasm", &here(), "-o", "x.wasm"], 2, "nowhere.wasm: cannot be read");
    files.refused(&["bundle", "--extract", "fat.wasm"], 2, "--out-dir");
    files.refused(&["bundle", "--extract", "fat.wasm", "--out-dir", "."], 2, "would be overwritten by its own part");
    files.refused(&["bundle", "--extract", "fat.wasm", "--out-dir", "plugin.c"], 2, "the directory cannot be created");
}
