// A plugin whose state is wherever a plugin can have some: in a static, in a thread-local variable and, natively, in thread-specific data. Each
// stream gets a header "count" with the number of streams so far, if all of them agree.
//
// A header "do" says what else to do: "trap", or natively "locale", which sets the thread's, and "restore".
#include <dynvm/hostcalls.h>

#ifndef __wasm__
#define _GNU_SOURCE
#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#endif

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

static uint8_t memory[64];
DYNVM_CALLBACK(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) {
  // This plugin reads only one value at a time.
  return size <= sizeof memory ? memory : 0;
}

static uint32_t in_static;
#ifdef STATIC_TLS
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local uint32_t in_thread;

#ifdef __wasm__
static uint32_t in_key(void) { return in_static; }
static void act(uint8_t what) {
  if (what == 't') __builtin_trap();
}
#else
static pthread_key_t key;

static void end_of_key(void *value) {
  (void)value;
  proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)"a value was destroyed", 21);
}

static uint32_t in_key(void) {
  if (in_static == 1) pthread_key_create(&key, end_of_key);
  pthread_setspecific(key, (char *)pthread_getspecific(key) + 1);
  return (uint32_t)(uintptr_t)pthread_getspecific(key);
}

static void act(uint8_t what) {
  static locale_t of_thread, own;
  switch (what) {
  case 't': __builtin_trap();
  case 'l':
    own = newlocale(LC_ALL_MASK, "C", 0);
    of_thread = uselocale(own);
    break;
  case 'r':
    uselocale(of_thread);
    freelocale(own);
    break;
#ifdef OPENS_LIBRARIES
  case 'o': dlopen("libm.so.6", RTLD_NOW);
#endif
  }
}
#endif

DYNVM_CALLBACK(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  (void)context, (void)count, (void)end;
  in_static++, in_thread++;
  uint8_t digits[10];
  size_t at = sizeof digits;
  if (in_thread == in_static && in_key() == in_static)
    for (uint32_t rest = in_static; rest; rest /= 10) digits[--at] = '0' + rest % 10;
  proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, (const uint8_t *)"count", 5, digits + at, sizeof digits - at);
  uint8_t *what;
  size_t size;
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, (const uint8_t *)"do", 2, &what, &size) == PROXY_STATUS_OK)
    act(*what);
  return 0;
}
