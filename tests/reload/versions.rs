//! Good versions: which one serves, and what remains of earlier ones.

use std::cell::RefCell;
use std::rc::Rc;

use dynvm::{ArtifactKind, PluginConfig};
use dynvm_rollout::deploy::{DeployError, Deployment, Source};

use crate::stage::{Stage, begin, config, overwrite, rename_over, version};
use harness::{Backend, compile, loader, parts, script};

const BACKENDS: [Backend; 2] = [Backend::Native, Backend::Wasm];

#[needs::wasm_clang]
#[test]
fn streams_finish_on_the_version_on_which_they_began() {
    for backend in BACKENDS {
        let mut stage = Stage::new(&version(backend, "one", &[]));
        let old = stage.stream();
        assert_eq!(stage.request(old), "one");
        assert_eq!(stage.retained(), [(1, 1, 1)]);

        overwrite(&stage.path, &version(backend, "two", &[]));
        assert_eq!(stage.deployment.reload().unwrap(), 2);
        let new = stage.stream();
        assert_eq!((old.version(), new.version()), (1, 2));
        assert_eq!(stage.request(new), "two");
        assert_eq!(stage.response(old), "one");
        assert_eq!(stage.retained(), [(1, 1, 1), (2, 1, 1)]);
        assert!(stage.log().is_empty(), "the old version has a stream");

        assert!(stage.worker.end(old).is_some());
        assert_eq!(stage.log(), ["one on_done", "one on_delete"]);
        assert_eq!(stage.retained(), [(2, 1, 1)]);
        assert!(stage.worker.vm_of(old).is_none() && stage.worker.end(old).is_none(), "it has ended");
        assert_eq!(stage.response(new), "two");
        assert!(stage.worker.end(new).is_some());
        assert!(stage.log().is_empty(), "the current version goes on");
        assert_eq!((stage.worker.stats().switches, stage.worker.stats().drained), (1, 1));
    }
}

/// Several versions may have streams at once.
#[needs::wasm_clang]
#[test]
fn every_version_with_streams_is_retained() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    let mut streams = Vec::new();
    for (index, name) in ["one", "two", "three", "four"].into_iter().enumerate() {
        if index > 0 {
            stage.deployment.reload_from(version(BACKENDS[index % 2], name, &[])).unwrap();
        }
        streams.push((stage.stream(), name));
    }
    assert_eq!(stage.retained(), [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)]);
    // In another order than they started.
    streams.swap(0, 1);
    for (stream, name) in streams {
        assert_eq!(stage.request(stream), name);
        assert!(stage.worker.end(stream).is_some());
    }
    assert_eq!(
        stage.log(),
        ["two on_done", "two on_delete", "one on_done", "one on_delete", "three on_done", "three on_delete"]
    );
    assert_eq!(stage.retained(), [(4, 1, 0)]);
}

#[needs::wasm_clang]
#[test]
fn files_that_are_renamed_over() {
    for backend in BACKENDS {
        let mut stage = Stage::new(&version(backend, "one", &[]));
        rename_over(&stage.path, &version(backend, "two", &[]));
        assert_eq!(stage.serve(), "one", "until it is reloaded");
        stage.deployment.reload().unwrap();
        assert_eq!(stage.serve(), "two");
    }
}

/// The mapped code is a copy: overwriting the file does not affect a running version.
#[test]
fn files_that_are_overwritten_while_they_run() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    let stream = stage.stream();
    std::fs::write(&stage.path, [0xcc; 4096]).unwrap();
    assert_eq!((stage.request(stream), stage.serve()), ("one".to_owned(), "one".to_owned()));
}

#[needs::wasm_clang]
#[test]
fn native_to_wasm_and_back() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    let first = stage.stream();
    for (backend, name, kind) in
        [(Backend::Wasm, "two", ArtifactKind::Wasm), (Backend::Native, "three", ArtifactKind::Native)]
    {
        overwrite(&stage.path, &version(backend, name, &[]));
        stage.deployment.reload().unwrap();
        assert_eq!(stage.serve(), name);
        assert_eq!(stage.deployment.status().current.module.kind, kind);
    }
    assert_eq!(stage.request(first), "one");
    assert!(stage.worker.end(first).is_some());
    assert_eq!(stage.retained(), [(3, 1, 0)]);
}

/// A thread without streams follows reloads by polling.
#[test]
fn idle_workers_follow_when_polled() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    stage.deployment.reload_from(version(Backend::Native, "two", &[])).unwrap();
    assert_eq!((stage.worker.version(), stage.retained()), (1, vec![(1, 1, 0), (2, 0, 0)]));
    assert_eq!(stage.worker.poll(), None);
    assert_eq!((stage.worker.version(), stage.retained()), (2, vec![(2, 1, 0)]));
    assert_eq!(stage.log(), ["one on_done", "one on_delete"]);
}

#[test]
fn configurations_are_versions_too() {
    let log = Default::default();
    let probe = compile::plugin(Backend::Native, "probe.c", &[]);
    let say = |text: &str| {
        PluginConfig::named("probe").configuration(script("on_request_headers", &[&format!("proxy_log 2 {text}")]))
    };
    let mut first = config(&log);
    first.plugin_config = say("first");
    let deployment = Deployment::new(loader(), probe, first).unwrap();
    let parts = parts();
    let services = parts.services;
    let mut worker = deployment.worker(move |_| services.clone()).unwrap();
    let mut said = |text: &str| {
        let stream = begin(&mut worker);
        worker.vm_of(stream).unwrap().on_request_headers(stream.context(), 1, true);
        worker.end(stream);
        parts.log.take().into_iter().any(|(_, line)| line == text)
    };
    assert!(said("first"));
    assert_eq!(deployment.reload_config(say("second")).unwrap(), 2);
    assert!(said("second"));
    let refused = deployment.reload_config(PluginConfig::named("probe").configuration("on_configure|return 0"));
    assert!(matches!(refused, Err(DeployError::Canary { .. })));
    assert!(said("second"));
    // It persists when the file is read again.
    assert_eq!(deployment.reload().unwrap(), 3);
    assert!(said("second"));
}

#[needs::wasm_clang]
#[test]
fn versions_from_memory() {
    let bytes = |name: &str| std::fs::read(version(Backend::Wasm, name, &[])).unwrap();
    let deployment =
        Deployment::new(loader(), Source::bytes("first", bytes("one")), config(&Default::default())).unwrap();
    let error = deployment.reload().unwrap_err().to_string();
    assert!(error.starts_with("first: ") && error.contains("use reload_bytes or reload_from"), "{error}");
    assert_eq!(deployment.reload_bytes("second", &bytes("two")).unwrap(), 2);
    assert_eq!(deployment.status().current.module.name, "second");
    assert_eq!(deployment.reload_from(version(Backend::Wasm, "three", &[])).unwrap(), 3);
    assert_eq!(deployment.reload().unwrap(), 4, "there is a file now");
}

/// Timers and calls are distinguished by version, since context numbers are not unique.
#[test]
fn each_version_has_services_of_its_own() {
    let deployment =
        Deployment::new(loader(), version(Backend::Native, "one", &[]), config(&Default::default())).unwrap();
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = asked.clone();
    let mut worker = deployment
        .worker(move |version| {
            noted.borrow_mut().push(version);
            parts().services
        })
        .unwrap();
    let stream = begin(&mut worker);
    deployment.reload().unwrap();
    worker.poll();
    assert_eq!(*asked.borrow(), [1, 2]);
    assert_eq!(worker.versions().collect::<Vec<_>>(), [1, 2]);
    let roots = [1, 2].map(|version| worker.vm(version).unwrap().1);
    assert_eq!(roots[0].get(), roots[1].get(), "both count from 1");
    assert_ne!(roots[0], roots[1], "but each names its VM");
    worker.end(stream);
    assert!(worker.vm(1).is_none() && worker.vm(2).is_some());
}

#[test]
fn the_status_tells_what_is_current() {
    let stage = Stage::new(&version(Backend::Native, "one", &[]));
    stage.deployment.reload().unwrap();
    let status = stage.deployment.status();
    assert_eq!((status.current.number, status.reloads_succeeded, status.reloads_failed), (2, 1, 0));
    assert!(status.last_error.is_none() && status.current.loaded_at <= std::time::SystemTime::now());
    let path = stage.path.to_str().unwrap();
    assert_eq!(status.current.module.name, path);
    let known = std::process::Command::new("sha256sum").arg(path).output().unwrap().stdout;
    let digest = status.current.module.sha256().unwrap();
    assert!(known.starts_with(digest.as_bytes()) && digest.len() == 64);
    let log = stage.deployment_log.take();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].1, format!("{path}: version 2 is current"));
}
