;; A plugin by hand: adds a header to responses and logs.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello")
  (data (i32.const 32) "x-hello")
  (data (i32.const 48) "world")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 5)))
    (drop (call $add (i32.const 2) (i32.const 32) (i32.const 7) (i32.const 48) (i32.const 5)))
    (i32.const 0)))
