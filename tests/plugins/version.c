// A plugin that reports its version: VERSION in a header of each stream, and in the log at the stream's end.
//
// Bad versions: NO_MARKER, TRAPS (in proxy_on_vm_start), REFUSES (its configuration). NEEDS_PROPERTY refuses where there is no
// property "ready". WAITS defers its end until the next tick.
#include <dynvm/hostcalls.h>

#ifndef NO_MARKER
DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}
#endif

#define SAY(text) proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)VERSION " " text, sizeof VERSION " " text - 1)

static uint32_t root;

static uint8_t memory[1 << 10];
DYNVM_CALLBACK(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) {
  // This plugin reads only one value at a time.
  return size <= sizeof memory ? memory : 0;
}

DYNVM_CALLBACK(proxy_on_context_create) void proxy_on_context_create(uint32_t context, uint32_t parent) {
  if (!parent) root = context;
}

DYNVM_CALLBACK(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t context, size_t size) {
  (void)context, (void)size;
#ifdef TRAPS
  __builtin_trap();
#endif
  return 1;
}

DYNVM_CALLBACK(proxy_on_configure) uint32_t proxy_on_configure(uint32_t context, size_t size) {
  (void)context, (void)size;
#ifdef REFUSES
  return 0;
#endif
#ifdef NEEDS_PROPERTY
  uint8_t *value;
  return proxy_get_property((const uint8_t *)"ready", 5, &value, &size) == PROXY_STATUS_OK;
#endif
  return 1;
}

static uint32_t answer(proxy_map_type_t map) {
  static const uint8_t name[] = "x-version", value[] = VERSION;
  proxy_add_header_map_value(map, name, sizeof name - 1, value, sizeof value - 1);
  return 0;
}

DYNVM_CALLBACK(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  (void)context, (void)count, (void)end;
  return answer(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS);
}

DYNVM_CALLBACK(proxy_on_response_headers)
uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  (void)context, (void)count, (void)end;
  return answer(PROXY_MAP_TYPE_HTTP_RESPONSE_HEADERS);
}

DYNVM_CALLBACK(proxy_on_tick) void proxy_on_tick(uint32_t context) {
  (void)context;
  proxy_done();
}

DYNVM_CALLBACK(proxy_on_done) uint32_t proxy_on_done(uint32_t context) {
  if (context == root) SAY("on_done");
#ifdef WAITS
  return context != root;
#endif
  return 1;
}

DYNVM_CALLBACK(proxy_on_delete) void proxy_on_delete(uint32_t context) {
  if (context == root) SAY("on_delete");
}
