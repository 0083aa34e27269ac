//! Many images at once, on many threads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dynvm_image::Unwinder;

use crate::compile;
use crate::load::{call, link, runtimes, start, stop};

const THROWS: &str = r#"
    #include <stdexcept>
    #include <string>
    static int count = 0;
    __attribute__((noinline)) static int deep(int levels) {
        std::string on_the_way = "a text that is long enough for the heap";
        if (levels == 0) throw std::runtime_error(on_the_way);
        return deep(levels - 1) + on_the_way.size();
    }
    extern "C" int next(int levels) {
        try { return deep(levels); } catch (const std::exception &) { return ++count; }
    }
"#;

#[needs::cxx]
#[test]
fn hundreds_of_images_throw_on_many_threads() {
    let linked = link(&compile::cpp(THROWS, &[]));
    let images: Vec<_> = (0..200).map(|_| start(&linked)).collect();
    let bases: BTreeSet<usize> = images.iter().map(|image| image.base()).collect();
    assert_eq!(bases.len(), 200);
    let unwinder = runtimes().unwinder().unwrap();
    std::thread::scope(|scope| {
        for share in images.chunks(25) {
            scope.spawn(move || {
                for round in 1..=20 {
                    for image in share {
                        assert_eq!(call(image, "next", 10), round);
                    }
                    let mut frames = 0;
                    unwinder.walk(&mut |_| {
                        frames += 1;
                        true
                    });
                    assert!(frames > 3);
                }
            });
        }
        // And images come and go meanwhile.
        for _ in 0..200 {
            drop(start(&linked));
        }
    });
}

/// For the handler, which has no other way.
static UNWINDER: std::sync::OnceLock<Unwinder> = std::sync::OnceLock::new();
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static WALKS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn walk(_: i32) {
    let Some(unwinder) = UNWINDER.get() else { return };
    let mut frames = 0;
    unwinder.walk(&mut |_| {
        frames += 1;
        frames < 64
    });
    WALKS.fetch_add(1, Ordering::Relaxed);
    INSIDE.fetch_max(frames, Ordering::Relaxed);
}

#[needs::cxx]
#[test]
fn stacks_are_walked_in_signal_handlers_while_images_come_and_go() {
    const SPINS: &str = "#include <stdexcept>\nextern \"C\" int spin(volatile int *stop) { int n = 0; while (!*stop) n++; return n >= 0; }";
    UNWINDER.set(runtimes().unwinder().unwrap()).unwrap();
    // SAFETY: the handler walks the stack and counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = walk as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
    }
    let linked = link(&compile::cpp(SPINS, &[]));
    let (ended, stop_spinning) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let ended = &ended;
        let mut targets = Vec::new();
        for _ in 0..2 {
            let (sender, receiver) = std::sync::mpsc::channel();
            let linked = &linked;
            scope.spawn(move || {
                // SAFETY: a thread that runs until it is told to end.
                sender.send(unsafe { libc::pthread_self() }).unwrap();
                let mut is_reused = false;
                while !ended.load(Ordering::Relaxed) {
                    let image = start(linked);
                    if is_reused {
                        stop(image)
                    } else {
                        drop(image)
                    }
                    is_reused = !is_reused;
                }
            });
            targets.push(receiver.recv().unwrap());
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let (linked, flag) = (&linked, &stop_spinning);
        scope.spawn(move || {
            let image = start(linked);
            // SAFETY: as above.
            sender.send(unsafe { libc::pthread_self() }).unwrap();
            call(&image, "spin", flag.as_ptr() as u64);
        });
        targets.push(receiver.recv().unwrap());
        let before = WALKS.load(Ordering::Relaxed);
        while WALKS.load(Ordering::Relaxed) < before + 500 {
            for thread in &targets {
                // SAFETY: the thread has not ended.
                unsafe { libc::pthread_kill(*thread, libc::SIGUSR1) };
            }
            std::thread::yield_now();
        }
        stop_spinning.store(1, Ordering::Relaxed);
        ended.store(true, Ordering::Relaxed);
    });
    assert!(INSIDE.load(Ordering::Relaxed) > 4, "stacks were walked through images");
}
