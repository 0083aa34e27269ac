//! Nothing can change between check and load: the checked bytes run.

use std::sync::atomic::{AtomicBool, Ordering};

use dynvm::trust::Sha256Digest;

use crate::fixture::*;

/// The file is overwritten in place, which changes the inode that was read, and replaced.
#[test]
fn after_loading() {
    for make in [native, wasm] {
        let folder = Folder::new();
        std::fs::write(&folder.plugin, make("good")).unwrap();
        let trusts = policy(|policy| {
            policy.native.allow = true;
            policy.native.sha256 = Some(vec![Sha256Digest::of(&make("good"))]);
            policy.wasm.sha256 = policy.native.sha256.clone();
        });
        let loader = loader(trusts);
        let module = loader.load_file(&folder.plugin).unwrap();
        std::fs::write(&folder.plugin, make("evil")).unwrap();
        assert_eq!(says(&module), "good");
        std::fs::write(folder.path.join("new"), make("evil")).unwrap();
        std::fs::rename(folder.path.join("new"), &folder.plugin).unwrap();
        assert_eq!(says(&module), "good");
        std::fs::remove_file(&folder.plugin).unwrap();
        assert_eq!(says(&module), "good");
    }
}

/// While one thread loads, another keeps replacing the file: the load is refused, or the trusted file runs.
#[test]
fn while_loading() {
    let folder = Folder::new();
    let loader = loader(policy(|policy| {
        policy.wasm.sha256 = Some(vec![Sha256Digest::of(&wasm("good"))]);
        policy.wasm.owners = Some(owners(&folder.plugin));
        policy.wasm.only_owner_writes = true;
    }));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let new = folder.path.join("new");
            while !stop.load(Ordering::Relaxed) {
                for says in ["good", "evil"] {
                    std::fs::write(&folder.plugin, wasm(says)).unwrap();
                    std::fs::write(&new, wasm(says)).unwrap();
                    chmod(&new, 0o644);
                    std::fs::rename(&new, &folder.plugin).unwrap();
                    std::thread::yield_now();
                }
            }
        });
        let (mut ran, mut refused) = (0, 0);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while (ran < 20 || refused < 20) && std::time::Instant::now() < deadline {
            match loader.load_file(&folder.plugin) {
                Ok(module) => {
                    assert_eq!(says(&module), "good");
                    ran += 1;
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(ran >= 20 && refused >= 20, "both were seen: {ran} ran, {refused} were refused");
    });
}
