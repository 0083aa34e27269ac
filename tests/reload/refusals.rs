//! Bad versions never replace the good one.

use std::path::Path;

use dynvm::abi::types::LogLevel;
use dynvm_rollout::deploy::{DeployError, Deployment};

use crate::stage::{Stage, config, overwrite, rename_over, version};
use harness::{Backend, loader};

/// Reloads a bad version during a stream, and checks the error's text.
#[track_caller]
fn refused(stage: &mut Stage, put: impl FnOnce(&Path), expected: &str) {
    let before = stage.deployment.status();
    let stream = stage.stream();
    put(&stage.path);
    let message = dynvm::with_causes(&stage.deployment.reload().expect_err("it is refused"));
    assert!(
        message.contains(expected) && message.contains(stage.path.to_str().unwrap()),
        "{expected:?} in {message:?}"
    );
    assert_eq!((stage.request(stream), stage.serve()), ("good".to_owned(), "good".to_owned()));
    stage.worker.end(stream);
    let status = stage.deployment.status();
    assert_eq!(status.current.number, before.current.number);
    assert_eq!(status.reloads_failed, before.reloads_failed + 1);
    assert_eq!(status.last_error.unwrap().message, message);
    let logged = stage.deployment_log.take();
    assert!(logged.iter().any(|(level, text)| *level == LogLevel::Error && text.contains(&message)), "{logged:?}");
}

#[needs::wasm_clang]
#[test]
fn bad_versions_do_not_displace_a_good_one() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut stage = Stage::new(&version(backend, "good", &[]));
        let good = std::fs::read(version(backend, "good", &[])).unwrap();
        let bytes = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            move |path: &Path| std::fs::write(path, bytes).unwrap()
        };
        let built = |defines: &[&str]| {
            let file = version(backend, "bad", defines);
            move |path: &Path| overwrite(path, &file)
        };
        refused(&mut stage, bytes(b"apiVersion: v1\n"), "this is a text file");
        refused(&mut stage, bytes(b""), "the file is empty");
        for part in [good.len() / 2, good.len() / 3] {
            let expected = if backend == Backend::Native { "truncated" } else { "truncated or damaged" };
            refused(&mut stage, bytes(&good[..part]), expected);
        }
        refused(&mut stage, built(&["NO_MARKER"]), "exports none of proxy_abi_version");
        refused(&mut stage, built(&["TRAPS"]), "failed in `proxy_on_vm_start`");
        refused(&mut stage, built(&["REFUSES"]), "returned false from `proxy_on_configure`");
        refused(&mut stage, |path| std::fs::remove_file(path).unwrap(), "No such file");
        refused(&mut stage, |path| std::fs::create_dir(path).unwrap(), "directory");
        // The path is still the source of reloads.
        std::fs::remove_dir(&stage.path).unwrap();
        rename_over(&stage.path, &version(backend, "better", &[]));
        assert_eq!(stage.deployment.reload().unwrap(), 2);
        assert_eq!(stage.serve(), "better");
        assert_eq!(stage.retained(), [(2, 1, 0)]);
    }
}

/// A path whose load failed does not become the source of later reloads.
#[needs::wasm_clang]
#[test]
fn a_refused_path_is_forgotten() {
    let stage = Stage::new(&version(Backend::Wasm, "good", &[]));
    assert!(stage.deployment.reload_from("/nowhere/plugin.so").is_err());
    assert_eq!(stage.deployment.reload().unwrap(), 2);
}

#[needs::wasm_clang]
#[test]
fn native_code_has_to_be_allowed_for_a_reload_too() {
    let loader = dynvm::Loader::new().unwrap();
    let deployment = Deployment::new(loader, version(Backend::Wasm, "good", &[]), config(&Default::default())).unwrap();
    let error = deployment.reload_from(version(Backend::Native, "good", &[])).unwrap_err();
    assert!(error.to_string().contains("native code is not allowed"), "{error}");
    assert_eq!(deployment.version(), 1);
}

#[needs::wasm_clang]
#[test]
fn a_first_version_has_to_be_good() {
    let deploy = |path: &Path| Deployment::new(loader(), path, config(&Default::default())).map(|_| ()).unwrap_err();
    assert!(matches!(deploy(Path::new("/nowhere/plugin.so")), DeployError::Load(_)));
    for backend in [Backend::Native, Backend::Wasm] {
        assert!(matches!(deploy(&version(backend, "bad", &["REFUSES"])), DeployError::Canary { .. }));
    }
}
