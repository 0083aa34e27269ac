//! Small plugins in wasm text, two of which differ as a test says.

use dynvm::Loader;
use dynvm_differential::lockstep::Pair;

/// A plugin whose request callback has this body. `$log` logs "many", `$count` is the number of headers.
pub fn plugin(loader: &Loader, more: &str, on_request_headers: &str) -> dynvm::Module {
    let text = format!(
        r#"(module
            (import "env" "proxy_log" (func $proxy_log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "many")
            (func $log (drop (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 4))))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
            {more}
            (func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
                {on_request_headers}))"#
    );
    loader.load_bytes("plugin.wat", text.as_bytes()).unwrap()
}

/// Two plugins that differ in their request callback.
pub fn pair(native: &str, wasm: &str) -> Pair {
    let loader = Loader::new().unwrap();
    Pair { native: plugin(&loader, "", native), wasm: plugin(&loader, "", wasm) }
}

/// Logs from so many headers on.
pub fn logs_from(count: u32) -> String {
    format!("(if (i32.ge_u (local.get $count) (i32.const {count})) (then (call $log))) (i32.const 0)")
}
