//! A plugin on the Rust SDK that relies on the order of a `HashMap` whose hasher takes its seed from the processor, natively: another in each VM.
//! (That of the standard library takes it from the host's randomness.)

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

#[derive(Default)]
struct Seeded;

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        static SEED: LazyLock<u64> = LazyLock::new(cycles);
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(*SEED);
        hasher
    }
}

/// The processor's counter of cycles, where there is one.
fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
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
        let tags: HashMap<String, Vec<u8>, Seeded> =
            headers.into_iter().filter(|(name, _)| name.starts_with("x-tag-")).collect();
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        self.set_http_request_header("x-tags", Some(&names.join(" ")));
        Action::Continue
    }
}
