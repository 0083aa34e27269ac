//! Threads that serve while another reloads. A separate process, since the test counts mappings.

#[allow(dead_code, reason = "shared with the tests of one thread, which use all of it")]
#[path = "reload/stage.rs"]
mod stage;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynvm::abi::types::MapType;
use dynvm_rollout::deploy::{Deployment, Worker};
use harness::{Backend, loader, parts};
use stage::{answer, begin, config, overwrite, version};

const THREADS: usize = 4;
const RELOADS: u64 = 50;
/// Streams that a thread has at once.
const CONCURRENT: usize = 16;

/// The artifacts of versions 1, 2, 3, and again from there, and what they answer.
fn artifacts() -> Vec<(PathBuf, &'static str)> {
    [(Backend::Native, "one"), (Backend::Wasm, "two"), (Backend::Native, "three")]
        .map(|(backend, name)| (version(backend, name, &[]), name))
        .into()
}

fn mappings() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (maps.lines().count(), maps.matches(&format!("dynvm-{}-", std::process::id())).count())
}

/// Serves until it is stopped, with several streams at once. Returns the streams served and the versions seen.
fn serve(mut worker: Worker, names: &[&'static str], stop: &AtomicBool) -> (u64, u64) {
    let expected = |version: u64| names[(version as usize - 1) % names.len()];
    let mut running = VecDeque::new();
    let mut served = 0;
    let finish = |worker: &mut Worker, stream| {
        assert_eq!(answer(worker, stream, MapType::HttpResponseHeaders), expected(stream.version()));
        assert!(worker.end(stream).is_some(), "no stream is lost");
    };
    while !stop.load(Ordering::Relaxed) {
        let stream = begin(&mut worker);
        assert_eq!(answer(&mut worker, stream, MapType::HttpRequestHeaders), expected(stream.version()));
        running.push_back(stream);
        if running.len() == CONCURRENT {
            finish(&mut worker, running.pop_front().unwrap());
            served += 1;
        }
    }
    for stream in running {
        finish(&mut worker, stream);
        served += 1;
    }
    worker.poll();
    assert_eq!(worker.versions().count(), 1);
    (served, worker.stats().switches)
}

/// One round: a deployment, its threads, its reloads.
fn round() {
    let (artifacts, dir) = (artifacts(), tempfile::tempdir().unwrap());
    let names: Vec<&'static str> = artifacts.iter().map(|(_, name)| *name).collect();
    let path = dir.path().join("plugin");
    overwrite(&path, &artifacts[0].0);
    let deployment = Deployment::new(loader(), path.as_path(), config(&Default::default())).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let services = parts().services;
                    serve(deployment.worker(move |_| services.clone()).unwrap(), &names, &stop)
                })
            })
            .collect();
        let reloaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 2..=RELOADS + 1 {
                overwrite(&path, &artifacts[(number as usize - 1) % artifacts.len()].0);
                assert_eq!(deployment.reload().unwrap(), number);
                // Threads meet some versions, and miss others.
                std::thread::sleep(Duration::from_millis(number % 4 * 2));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let results: Vec<(u64, u64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        reloaded.unwrap();
        for (served, switches) in results {
            assert!(served > 0 && switches > 0 && switches <= RELOADS, "{served} streams, {switches} versions");
        }
    });
    let status = deployment.status();
    assert_eq!((status.reloads_succeeded, status.reloads_failed, status.start_failures), (RELOADS, 0, 0));
    assert_eq!(status.retained.len(), 1);
    assert_eq!((status.current.vms, status.current.streams), (0, 0));
}

#[needs::wasm_clang]
#[test]
fn no_stream_is_lost_and_nothing_stays_mapped() {
    round();
    let (after_one, images) = mappings();
    assert_eq!(images, 0, "all images are unloaded");
    for _ in 0..3 {
        round();
    }
    let (after_four, images) = mappings();
    assert_eq!(images, 0);
    // Heaps of threads come and go; one image or module left by each reload would be hundreds.
    assert!(after_four <= after_one + 40, "mappings: {after_one} after 50 reloads, {after_four} after 200");
}
