//! What the plugins in Rust do.

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

static TOTAL: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static LOCAL: Cell<u32> = const { Cell::new(0) };
    static NAMES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub fn run(path: &str) -> String {
    match path {
        "/count" => {
            LOCAL.set(LOCAL.get() + 1);
            // A thread-local variable with a destructor, and memory that moves.
            NAMES.with_borrow_mut(|names| names.push(format!("{}", names.len() + 1)));
            let names = NAMES.with_borrow(|names| names.last().cloned().unwrap_or_default());
            format!("local {} {names} total {}", LOCAL.get(), TOTAL.fetch_add(1, Ordering::Relaxed) + 1)
        }
        "/panic" => {
            let caught = catch_unwind(|| deep(20)).expect_err("it panics");
            format!("caught {}", caught.downcast_ref::<String>().map_or("something else", String::as_str))
        }
        "/thread" => {
            let local = thread::spawn(|| LOCAL.get()).join().expect("the thread returns");
            format!("local {local} in a thread")
        }
        "/forever" => {
            thread::spawn(|| {
                loop {
                    thread::park()
                }
            });
            "started".to_owned()
        }
        // SAFETY: there is nothing; whoever runs the plugin survives it.
        "/fault" => unsafe { std::ptr::without_provenance::<u8>(8).read_volatile() }.to_string(),
        "/grow" => {
            (0..1 << 10).map(|_| std::hint::black_box(vec![1_u8; 1 << 20]).leak().len()).sum::<usize>().to_string()
        }
        "/time" => {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            format!("{} s", since.map_or(0, |since| since.as_secs()))
        }
        "/random" => {
            use std::hash::{BuildHasher as _, RandomState};
            format!("{:x}", RandomState::new().hash_one(1))
        }
        "/environment" => std::env::var("DYNVM_LINKED_TEST").unwrap_or_default(),
        "/print" => {
            println!("printed");
            eprintln!("as an error");
            String::new()
        }
        "/abort" => panic!("out of a callback"),
        other => format!("{other}?"),
    }
}

#[inline(never)]
fn deep(depth: u32) -> u32 {
    assert!(depth > 0, "at depth {depth}");
    deep(depth - 1) + 1
}
