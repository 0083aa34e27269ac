;; A plugin that does something before any of its exports is called: in its start function. `start.c` is the same in C.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "from the start")
  (func (export "proxy_abi_version_0_2_1"))
  (func $logs (drop (call $log (i32.const 2) (i32.const 16) (i32.const 14))))
  (func $sets_a_tick (drop (call $set_tick (i32.const 1))))
  (func $defines_a_metric (drop (call $define_metric (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 64))))
  (func $traps unreachable)
  (func $takes_long (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 1000000000)))))
  (start $DEED))
