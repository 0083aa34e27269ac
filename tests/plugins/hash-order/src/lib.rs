//! A plugin on the Rust SDK that relies on the order of a `HashMap` whose hasher is seeded by where a variable lies, as several crates seed theirs: another
//! in each process. (That of the standard library takes its seed from the host's randomness.)

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::atomic::AtomicU8;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

#[derive(Default)]
struct SeededByPlace;

impl BuildHasher for SeededByPlace {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        static PLACE: AtomicU8 = AtomicU8::new(0);
        let mut hasher = DefaultHasher::new();
        hasher.write_usize(&raw const PLACE as usize);
        hasher
    }
}

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
        let tags: HashMap<String, Vec<u8>, SeededByPlace> =
            headers.into_iter().filter(|(name, _)| name.starts_with("x-tag-")).collect();
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        self.set_http_request_header("x-tags", Some(&names.join(" ")));
        Action::Continue
    }
}
