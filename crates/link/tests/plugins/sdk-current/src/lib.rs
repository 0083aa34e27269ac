//! Does what the path of a request says, and logs what came of it.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

#[path = "../../behavior.rs"]
mod behavior;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(Stream));
}}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let result = behavior::run(&path);
        proxy_wasm::hostcalls::log(LogLevel::Info, &result).expect("the host logs");
        Action::Continue
    }
}
