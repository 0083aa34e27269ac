//! A plugin on the Rust SDK that relies on the order of a `HashMap`, which is another in each process.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::collections::HashMap;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        let tags: HashMap<String, Vec<u8>> =
            headers.into_iter().filter(|(name, _)| name.starts_with("x-tag-")).collect();
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        self.set_http_request_header("x-tags", Some(&names.join(" ")));
        Action::Continue
    }
}
