//! Several threads that count, and one that reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use dynvm::observe::Observer;

use crate::{BACKENDS, counts, observed, plugin};
use harness::probe;

const THREADS: u64 = 4;
const VMS: u64 = 8;
const TICKS: u64 = 500;

#[needs::wasm_clang]
#[test]
fn nothing_is_lost_and_nothing_goes_backwards() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let module = probe(backend, &[]);
        let done = AtomicBool::new(false);
        let scrapes = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        // VMs start and end, so that their totals move to the observer while others count.
                        for _ in 0..VMS {
                            let mut harness = observed(&observer, &module, "");
                            (0..TICKS).for_each(|_| harness.vm.on_tick(harness.root));
                        }
                    })
                })
                .collect();
            let scraper = scope.spawn(|| {
                let (mut last, mut scrapes) = (BTreeMap::new(), 0);
                loop {
                    // Scrapes once more after the workers have ended, however late this thread starts.
                    let is_last = done.load(Ordering::Acquire);
                    for seen in observer.snapshot().plugins.iter().flat_map(|plugin| &plugin.callbacks) {
                        let before = last.insert(seen.callback as u8, (seen.time.count(), seen.time.sum()));
                        let (count, sum) = before.unwrap_or_default();
                        assert!(seen.time.count() >= count && seen.time.sum() >= sum, "went backwards: {seen:?}");
                    }
                    scrapes += 1;
                    if is_last {
                        break scrapes;
                    }
                }
            });
            // The reader ends even if a worker has panicked.
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Release);
            ended.into_iter().for_each(|ended| ended.unwrap());
            scraper.join().unwrap()
        });
        assert!(scrapes > 0);
        let vms = THREADS * VMS;
        let expected = [
            ("proxy_on_context_create", vms),
            ("proxy_on_vm_start", vms),
            ("proxy_on_configure", vms),
            ("proxy_on_tick", vms * TICKS),
        ];
        let seen = plugin(&observer, "probe", backend);
        assert_eq!(counts(&seen), expected, "{backend:?}");
        assert_eq!((seen.running, seen.starts.started), (0, vms));
        assert_eq!(observer.snapshot().modules[0].vms_created, vms);
    }
}
