//! What has to hold for linked plugins.

use std::panic::catch_unwind;
use std::sync::atomic::Ordering;
use std::thread;

use dynvm::linked::{Linked, StateModel};

use crate::libc;
use crate::vm::Vm;

/// A plugin in Rust whose VMs share statics.
pub fn per_thread(plugin: &'static Linked) {
    assert_eq!(plugin.state_model, StateModel::PerThread);
    let vms = [(); 3].map(|()| Vm::start(plugin));
    let mut total = 0;
    for round in 1..=3 {
        for vm in &vms {
            total += 1;
            assert_eq!(vm.stream("/count"), format!("local {round} {round} total {total}"));
        }
    }
    let allocations = libc::ALLOCATIONS.load(Ordering::Relaxed);
    panics_and_threads(&vms[1]);
    assert!(libc::ALLOCATIONS.load(Ordering::Relaxed) > allocations, "memory is asked for where it is counted");

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let vms = [(); 5].map(|()| Vm::start(plugin));
                for round in 1..=500 {
                    for vm in &vms {
                        let expected = format!("local {round} {round} ");
                        let logged = vm.stream("/count");
                        assert!(logged.starts_with(&expected), "{logged}");
                    }
                }
            });
        }
    });
    assert_eq!(vms[0].stream("/count"), format!("local 4 4 total {}", total + 4 * 5 * 500 + 1));
}

/// A plugin in Rust with two slots: nothing is shared.
pub fn per_slot(plugin: &'static Linked) {
    assert_eq!((plugin.state_model, plugin.slots.len()), (StateModel::PerImage, 2));
    for _ in 0..3 {
        let vms = [(); 2].map(|()| Vm::start(plugin));
        assert!(Vm::try_start(plugin).is_none(), "both slots are in use");
        for round in 1..=3 {
            for vm in &vms {
                assert_eq!(vm.stream("/count"), format!("local {round} {round} total {round}"));
            }
        }
        panics_and_threads(&vms[1]);
        // The other slot goes on while this one is used again.
        let [first, second] = vms;
        assert!(first.end().is_empty());
        let again = Vm::start(plugin);
        assert_eq!(again.stream("/count"), "local 1 1 total 1");
        assert_eq!(second.stream("/count"), "local 4 4 total 4");
    }
}

fn panics_and_threads(vm: &Vm) {
    // The SDK's hook logs the panic, also if it is caught.
    let logged = vm.stream("/panic");
    assert!(logged.contains("behavior.rs") && logged.ends_with("caught at depth 0"), "{logged}");
    let threads = libc::THREADS.load(Ordering::Relaxed);
    assert_eq!(vm.stream("/thread"), "local 0 in a thread");
    assert!(libc::THREADS.load(Ordering::Relaxed) > threads, "the program knows of the thread");
    if cfg!(panic = "unwind") {
        assert!(catch_unwind(|| panic!("the program's own")).is_err());
    }
}

/// A plugin whose panic leaves a callback.
pub fn abort(plugin: &'static Linked) {
    Vm::start(plugin).stream("/abort");
    unreachable!();
}

/// The plugin in C, with two slots.
pub fn c(plugin: &'static Linked) {
    for _ in 0..3 {
        let vms = [(); 2].map(|()| Vm::start(plugin));
        for round in 1..=3 {
            for vm in &vms {
                let expected = format!("abc local {} total {} zeroed {round} items 2", 100 + round, 10 + round);
                assert_eq!(vm.stream("/"), expected);
            }
        }
        for vm in vms {
            assert_eq!(vm.end(), ["atexit", "destructor"]);
        }
    }
}

/// The plugin in C++, with two slots.
pub fn cxx(plugin: &'static Linked) {
    for _ in 0..3 {
        let vms = [(); 2].map(|()| Vm::start(plugin));
        for round in 1..=3 {
            for vm in &vms {
                let letters = "y".repeat(round);
                assert_eq!(vm.stream("/"), format!("thrown twice x{letters} {round} 25"));
            }
        }
        for vm in vms {
            assert_eq!(vm.end(), ["end of the thread-local variable", "end of the static variable"]);
        }
    }
    let on_another_thread = thread::spawn(move || Vm::start(plugin).stream("/"));
    assert_eq!(on_another_thread.join().unwrap(), "thrown twice xy 1 25");
}

/// The plugin on the C++ SDK, with two slots.
pub fn cxx_sdk(plugin: &'static Linked) {
    for _ in 0..2 {
        let vms = [(); 2].map(|()| Vm::start(plugin));
        for round in 1..=3 {
            for vm in &vms {
                let logged = vm.stream("/path");
                assert!(logged.contains(&format!("/path thrown {round}")), "{logged}");
            }
        }
    }
}
