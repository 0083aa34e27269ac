//! Plugins that log their name, folders for them, and loaders with a policy.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dynvm::host::{MemoryLog, Services};
use dynvm::trust::{PublicKey, TrustPolicy};
use dynvm::{Loader, LoaderOptions, Module, PluginConfig, Vm};

pub use crate::signer::Signer;

/// A wasm plugin, as text, that logs four letters when it starts.
pub fn wasm(says: &str) -> Vec<u8> {
    assert_eq!(says.len(), 4);
    format!(
        r#"(module
             (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 16) "{says}")
             (func (export "proxy_abi_version_0_2_1"))
             (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
               (drop (call $log (i32.const 2) (i32.const 16) (i32.const 4)))
               (i32.const 1)))"#
    )
    .into_bytes()
}

/// The same as a shared object.
pub fn native(says: &str) -> Vec<u8> {
    assert_eq!(says.len(), 4);
    let source = format!(
        "#include <dynvm/hostcalls.h>\n\
         DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {{}}\n\
         DYNVM_CALLBACK(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t root, uint32_t size) {{\n\
           (void)root, (void)size; proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)\"{says}\", 4); return 1; }}\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("p.c"), dir.path().join("p.so"));
    std::fs::write(&from, source).unwrap();
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command.args(["-shared", "-fPIC", "-I", dynvm::abi::INCLUDE_DIR]).arg(&from).arg("-o").arg(&to);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(to).unwrap()
}

/// The log of a module when it starts.
pub fn says(module: &Module) -> String {
    let log = Arc::new(MemoryLog::default());
    let mut services = Services::default();
    services.log = log.clone();
    let mut vm = Vm::builder(module).services(services).build().unwrap();
    vm.start_plugin(PluginConfig::named("plugin")).unwrap();
    log.take().into_iter().map(|(_, text)| text).collect()
}

/// The default policy with a change.
pub fn policy(change: impl FnOnce(&mut TrustPolicy)) -> TrustPolicy {
    let mut policy = TrustPolicy::default();
    change(&mut policy);
    policy
}

/// A loader of native and wasm plugins with a policy.
pub fn loader(policy: TrustPolicy) -> Loader {
    let mut options = LoaderOptions::default().allow_native();
    options.trust = Some(policy);
    Loader::with_options(options).unwrap()
}

/// The reason why a policy refuses a file.
#[track_caller]
pub fn refusal(policy: &TrustPolicy, path: &Path) -> String {
    dynvm::with_causes(&loader(policy.clone()).load_file(path).map(|_| ()).expect_err("it is refused"))
}

/// Asserts that the file loads.
#[track_caller]
pub fn accepted(policy: &TrustPolicy, path: &Path) {
    if let Err(error) = loader(policy.clone()).load_file(path) {
        panic!("{error}");
    }
}

#[track_caller]
pub fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is in {message:?}");
    }
}

/// A folder that only its owner can write, with a wasm plugin in it.
pub struct Folder {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
    pub plugin: PathBuf,
}

impl Folder {
    pub fn new() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        // Messages have paths without symbolic links.
        let path = dir.path().canonicalize().unwrap();
        let plugin = path.join("plugin.wat");
        std::fs::write(&plugin, wasm("here")).unwrap();
        chmod(&path, 0o755);
        chmod(&plugin, 0o644);
        Folder { _dir: dir, path, plugin }
    }
}

pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The owners of a file and of all folders above it.
pub fn owners(path: &Path) -> Vec<u32> {
    path.ancestors().map(|path| path.metadata().unwrap().uid()).collect()
}

pub fn key(signer: &Signer) -> PublicKey {
    signer.text().parse().unwrap()
}
