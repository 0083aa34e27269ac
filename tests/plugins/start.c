// A plugin that makes hostcalls in a constructor, before any of its exports is called. `start.wat` is the wasm counterpart.
#include <dynvm/hostcalls.h>

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

__attribute__((unused)) static void logs(void) {
  proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)"from the start", 14);
}

__attribute__((unused)) static void sets_a_tick(void) { proxy_set_tick_period_milliseconds(1); }

__attribute__((unused)) static void defines_a_metric(void) {
  uint32_t metric;
  proxy_define_metric(PROXY_METRIC_TYPE_COUNTER, (const uint8_t *)"m", 1, &metric);
}

__attribute__((unused)) static void traps(void) { __builtin_trap(); }

__attribute__((unused)) static void takes_long(void) {
  for (uint32_t i = 0; i < 1000000000; i++) __asm__ volatile("");
}

__attribute__((constructor)) static void start(void) { DEED(); }
