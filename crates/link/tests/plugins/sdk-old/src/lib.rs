//! As `sdk-current`, on an SDK that starts and allocates in other ways.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

#[path = "../../behavior.rs"]
mod behavior;

/// The entry point of plugins on this SDK.
#[unsafe(no_mangle)]
pub extern "C" fn _start() {
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(Stream));
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let result = behavior::run(&path);
        proxy_wasm::hostcalls::log(LogLevel::Info, &result).expect("the host logs");
        Action::Continue
    }
}
