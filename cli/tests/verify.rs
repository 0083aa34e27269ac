//! `dynvm verify` and `--policy` with shared objects, signatures and facts of files, which differ from machine to machine.

#[path = "../../tests/trust/signer.rs"]
mod signer;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use signer::Signer;

fn dynvm(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dynvm")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder with a shared object, its signature, the key, and a policy that wants it signed and protected.
struct Release {
    dir: tempfile::TempDir,
    plugin: PathBuf,
    policy: PathBuf,
}

impl Release {
    fn new() -> Release {
        let dir = tempfile::tempdir().unwrap();
        let (plugin, policy) = (dir.path().join("plugin.so"), dir.path().join("trust.toml"));
        let source = "#include <dynvm/hostcalls.h>\nDYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}\n";
        std::fs::write(dir.path().join("plugin.c"), source).unwrap();
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-I", dynvm_abi::INCLUDE_DIR])
            .arg(dir.path().join("plugin.c"))
            .arg("-o")
            .arg(&plugin)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let signer = Signer::new();
        let signature = signer.sign(&std::fs::read(&plugin).unwrap());
        std::fs::write(dir.path().join("plugin.so.minisig"), signature).unwrap();
        std::fs::write(dir.path().join("release.pub"), signer.file()).unwrap();
        let rules =
            "[native]\nallow = true\nkeys = [\"release.pub\"]\nonly_owner_writes = true\ndirectories = [\".\"]\n";
        std::fs::write(&policy, rules).unwrap();
        for file in [&plugin, &policy, &dir.path().join("release.pub")] {
            chmod(file, 0o644);
        }
        Release { dir, plugin, policy }
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, Value) {
        let (policy, plugin) = (self.policy.to_str().unwrap(), self.plugin.to_str().unwrap());
        let (code, out, err) = dynvm(&[&["verify", "--policy", policy, plugin, "--format", "json"], more].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The outcome of each rule.
fn outcomes(result: &Value) -> Vec<(&str, &str)> {
    let rules = result[0]["rules"].as_array().unwrap();
    rules.iter().map(|rule| (rule["rule"].as_str().unwrap(), rule["outcome"].as_str().unwrap())).collect()
}

#[test]
fn a_signed_release() {
    let release = Release::new();
    let (code, result) = release.verify(&[]);
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(result[0]["trusted"], true);
    assert_eq!(result[0]["kind"], "native");
    let holds = ["allow", "keys", "only_owner_writes", "directories"].map(|rule| (rule, "holds"));
    assert_eq!(outcomes(&result), holds);
    let (policy, plugin) = (release.policy.to_str().unwrap(), release.plugin.to_str().unwrap());
    for verb in ["run", "inspect"] {
        let (code, out, err) = dynvm(&[verb, plugin, "--policy", policy]);
        assert_eq!(code, Some(0), "{out}{err}");
    }
}

#[test]
fn a_release_that_was_tampered_with() {
    let release = Release::new();
    let mut bytes = std::fs::read(&release.plugin).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&release.plugin, bytes).unwrap();
    chmod(&release.plugin, 0o666);
    let (code, result) = release.verify(&[]);
    assert_eq!(code, Some(3), "{result}");
    assert_eq!(result[0]["trusted"], false);
    let expected = [("allow", "holds"), ("keys", "fails"), ("only_owner_writes", "fails"), ("directories", "holds")];
    assert_eq!(outcomes(&result), expected);
    let rules = result[0]["rules"].as_array().unwrap();
    assert!(rules[1]["fact"].as_str().unwrap().contains("the signature is of other bytes"));
    assert!(rules[2]["remedy"].as_str().unwrap().starts_with("chmod go-w "));

    let (policy, plugin) = (release.policy.to_str().unwrap(), release.plugin.to_str().unwrap());
    let (code, out, err) = dynvm(&["run", plugin, "--policy", policy]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.contains("refused by the trust policy: rule `keys`") && err.contains("`only_owner_writes`"), "{err}");
    let (code, out, _) = dynvm(&["inspect", plugin, "--policy", policy]);
    assert_eq!(code, Some(3));
    assert!(out.contains("would not load: ") && out.contains("refused by the trust policy"), "{out}");
    let wasm = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts.in/hello.wat");
    let (code, _, err) = dynvm(&["ab", plugin, wasm.to_str().unwrap(), "--policy", policy]);
    assert_eq!(code, Some(3));
    assert!(err.contains("refused by the trust policy"), "{err}");
}

#[test]
fn a_signature_that_is_elsewhere() {
    let release = Release::new();
    let elsewhere = release.dir.path().join("elsewhere");
    std::fs::rename(release.dir.path().join("plugin.so.minisig"), &elsewhere).unwrap();
    assert_eq!(release.verify(&[]).0, Some(3));
    assert_eq!(release.verify(&["--signature", elsewhere.to_str().unwrap()]).0, Some(0));
    let two = [release.plugin.to_str().unwrap(), "--signature", elsewhere.to_str().unwrap()];
    let (policy, plugin) = (release.policy.to_str().unwrap(), release.plugin.to_str().unwrap());
    let (code, _, err) = dynvm(&[&["verify", "--policy", policy, plugin], &two[..]].concat());
    assert_eq!(code, Some(2));
    assert!(err.contains("--signature applies to a single artifact"), "{err}");
}

#[test]
fn a_policy_that_others_can_write() {
    let release = Release::new();
    chmod(&release.policy, 0o666);
    let (policy, plugin) = (release.policy.to_str().unwrap(), release.plugin.to_str().unwrap());
    for verb in ["verify", "run", "inspect"] {
        let (code, out, err) = dynvm(&[verb, "--policy", policy, plugin]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.contains(&format!("chmod go-w {policy}")), "{err}");
    }
}
