//! Reloads when the file changes.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use dynvm_rollout::deploy::{Deployment, DeploymentStatus};

use crate::stage::{Stage, config, overwrite, rename_over, version};
use harness::{Backend, loader};

const DEBOUNCE: Duration = Duration::from_millis(200);

fn stage(first: &Path) -> Stage {
    Stage::with(first, |mut config| {
        config.watch_debounce = DEBOUNCE;
        config
    })
}

/// Waits until the condition holds.
#[track_caller]
fn eventually(deployment: &Deployment, what: impl Fn(&DeploymentStatus) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what(&deployment.status()) {
        assert!(Instant::now() < end, "not within 20 s: {:?}", deployment.status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[needs::wasm_clang]
#[test]
fn overwritten_in_place_and_renamed_over() {
    let mut stage = stage(&version(Backend::Native, "one", &[]));
    let _watch = stage.deployment.watch().unwrap();
    overwrite(&stage.path, &version(Backend::Native, "two", &[]));
    eventually(&stage.deployment, |status| status.current.number == 2);
    assert_eq!(stage.serve(), "two");
    rename_over(&stage.path, &version(Backend::Wasm, "three", &[]));
    eventually(&stage.deployment, |status| status.current.number == 3);
    assert_eq!(stage.serve(), "three");
    // A second time: the watch follows the name, not the first file.
    overwrite(&stage.path, &version(Backend::Native, "four", &[]));
    eventually(&stage.deployment, |status| status.current.number == 4);
    assert_eq!(stage.serve(), "four");
    assert_eq!(stage.deployment.status().reloads_failed, 0);
}

/// The kubelet's update of a ConfigMap: a new directory, and a new link renamed over `..data`.
#[test]
fn replaced_through_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let publish = |directory: &str, plugin: &Path| {
        std::fs::create_dir(at(directory)).unwrap();
        std::fs::copy(plugin, at(directory).join("plugin.so")).unwrap();
        symlink(directory, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..2024_1", &version(Backend::Native, "one", &[]));
    symlink("..data/plugin.so", at("plugin.so")).unwrap();
    let mut config = config(&Default::default());
    config.watch_debounce = DEBOUNCE;
    let deployment = Deployment::new(loader(), at("plugin.so"), config).unwrap();
    let _watch = deployment.watch().unwrap();
    for (number, name) in [(2, "two"), (3, "three")] {
        publish(&format!("..2024_{number}"), &version(Backend::Native, name, &[]));
        std::fs::remove_dir_all(at(&format!("..2024_{}", number - 1))).unwrap();
        eventually(&deployment, |status| status.current.number == number);
    }
    // A change of the file itself, at the link's new target.
    overwrite(&at("..2024_3/plugin.so"), &version(Backend::Native, "four", &[]));
    eventually(&deployment, |status| status.current.number == 4);
    assert_eq!(deployment.status().reloads_failed, 0);
}

#[test]
fn files_that_do_not_load_are_counted_and_the_next_change_tries_again() {
    let mut stage = stage(&version(Backend::Native, "one", &[]));
    let _watch = stage.deployment.watch().unwrap();
    let two = std::fs::read(version(Backend::Native, "two", &[])).unwrap();
    let half = stage.dir.path().join("half");
    std::fs::write(&half, &two[..two.len() / 2]).unwrap();
    rename_over(&stage.path, &half);
    eventually(&stage.deployment, |status| status.reloads_failed == 1);
    assert!(stage.deployment.status().last_error.unwrap().message.contains("truncated"));
    std::fs::remove_file(&stage.path).unwrap();
    eventually(&stage.deployment, |status| status.reloads_failed == 2);
    assert_eq!(stage.serve(), "one");
    std::fs::write(&stage.path, &two).unwrap();
    eventually(&stage.deployment, |status| status.current.number == 2);
    assert_eq!(stage.serve(), "two");
}

/// A file that is being written is not loaded until it is complete.
#[test]
fn files_that_are_being_written_are_not_taken() {
    let mut stage = stage(&version(Backend::Native, "one", &[]));
    let mut debounced = config(&stage.deployment_log);
    debounced.watch_debounce = Duration::from_secs(2);
    let deployment = Deployment::new(loader(), stage.path.as_path(), debounced).unwrap();
    let _watch = deployment.watch().unwrap();
    let two = std::fs::read(version(Backend::Native, "two", &[])).unwrap();
    let mut file = std::fs::File::create(&stage.path).unwrap();
    for part in two.chunks(two.len() / 20) {
        std::io::Write::write_all(&mut file, part).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually(&deployment, |status| status.current.number == 2);
    assert_eq!(deployment.status().reloads_failed, 0);
    assert_eq!(stage.serve(), "one", "the other deployment is not watched");
}

#[test]
fn nothing_is_reloaded_without_a_change() {
    let stage = stage(&version(Backend::Native, "one", &[]));
    let watch = stage.deployment.watch().unwrap();
    std::fs::write(stage.dir.path().join("another"), "file").unwrap();
    overwrite(&stage.path, &version(Backend::Native, "one", &[]));
    std::thread::sleep(DEBOUNCE * 4);
    drop(watch);
    // No reload after the watch has ended.
    overwrite(&stage.path, &version(Backend::Native, "two", &[]));
    std::thread::sleep(DEBOUNCE * 4);
    let status = stage.deployment.status();
    assert_eq!((status.current.number, status.reloads_succeeded, status.reloads_failed), (1, 0, 0));
}

/// A directory that was removed or renamed, and created again, is found again.
#[test]
fn directories_that_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("plugins");
    std::fs::create_dir(&home).unwrap();
    let path = home.join("plugin.so");
    overwrite(&path, &version(Backend::Native, "one", &[]));
    let mut config = config(&Default::default());
    config.watch_debounce = DEBOUNCE;
    let deployment = Deployment::new(loader(), path.clone(), config).unwrap();
    let _watch = deployment.watch().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    eventually(&deployment, |status| status.reloads_failed > 0);
    std::fs::create_dir(&home).unwrap();
    overwrite(&path, &version(Backend::Native, "two", &[]));
    eventually(&deployment, |status| status.current.number == 2);
    let next = dir.path().join("next");
    std::fs::create_dir(&next).unwrap();
    overwrite(&next.join("plugin.so"), &version(Backend::Native, "three", &[]));
    std::fs::rename(&home, dir.path().join("before")).unwrap();
    std::fs::rename(&next, &home).unwrap();
    eventually(&deployment, |status| status.current.number == 3);
    overwrite(&path, &version(Backend::Native, "four", &[]));
    eventually(&deployment, |status| status.current.number == 4);
}

#[needs::wasm_clang]
#[test]
fn versions_from_memory_cannot_be_watched() {
    let bytes = std::fs::read(version(Backend::Wasm, "one", &[])).unwrap();
    let source = dynvm_rollout::deploy::Source::bytes("in memory", bytes);
    let deployment = Deployment::new(loader(), source, config(&Default::default())).unwrap();
    assert!(deployment.watch().map(|_| ()).unwrap_err().to_string().starts_with("in memory: "));
}
