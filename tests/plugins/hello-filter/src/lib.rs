use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Hello));
}}

struct Hello;

impl Context for Hello {}

impl HttpContext for Hello {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // As bytes: the getter for text panics if a client sends a value that is not UTF-8.
        match self.get_http_request_header_bytes("x-api-key").as_deref() {
            Some(b"secret") => Action::Continue,
            _ => {
                self.send_http_response(401, vec![("x-reason", "no key")], Some(b"who are you?\n"));
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("x-hello", "world");
        Action::Continue
    }
}
