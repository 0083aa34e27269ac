//! A plugin on the Rust SDK that fails as its configuration says, and whose state has destructors.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    // No set_log_level: it would install a hook for panics, and this is about plugins that have none.
    proxy_wasm::set_root_context(|_| Box::new(Root { failure: String::new() }));
}}

/// Logs when it is dropped.
struct Noisy(&'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        let _ = proxy_wasm::hostcalls::log(LogLevel::Info, self.0);
    }
}

thread_local! {
    static STATE: RefCell<(Option<Noisy>, Vec<String>)> = const { RefCell::new((None, Vec::new())) };
    static STREAMS: Cell<u32> = const { Cell::new(0) };
}

struct Root {
    failure: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.failure = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap_or_default();
        STATE.with_borrow_mut(|state| {
            state.0 = Some(Noisy("a thread-local variable was dropped"));
            state.1.extend((0..100).map(|i| format!("something that takes memory, {i}")));
        });
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { failure: self.failure.clone(), _held: Noisy("a stream was dropped") }))
    }
}

struct Stream {
    failure: String,
    _held: Noisy,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, _: bool) -> Action {
        match self.failure.as_str() {
            "panic" => panic!("a bug in line {}", count + 40),
            "index" => {
                let nothing: Vec<u8> = Vec::with_capacity(count);
                self.failure.push(nothing[count].into());
            }
            "borrow" => STATE.with_borrow_mut(|_| STATE.with_borrow_mut(|_| ())),
            "exit" => std::process::exit(3),
            "print" => {
                println!("to standard output");
                eprintln!("to standard error");
            }
            "thread" => {
                static FIRST: OnceLock<ThreadId> = OnceLock::new();
                let thread = thread::current().id();
                STREAMS.set(STREAMS.get() + 1);
                let is_first = *FIRST.get_or_init(|| thread) == thread;
                let text = format!("stream {}, on the same thread: {is_first}", STREAMS.get());
                let _ = proxy_wasm::hostcalls::log(LogLevel::Info, &text);
            }
            "memory" => {
                let mut hoard = HashMap::new();
                for i in 0u64.. {
                    hoard.insert(i, vec![0u8; 1 << 16]);
                }
            }
            _ => {}
        }
        Action::Continue
    }
}
