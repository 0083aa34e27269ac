// A scripted plugin: its configuration is a script with one action on each line.
//
//   on_request_headers|proxy_get_header_map_value 0 :path
//   on_request_headers|return 1
//
// Before the bar is the callback (without "proxy_"), after it a hostcall with its arguments, or one of `return`, `trap`, `trap_at N`, `trap_if PROPERTY`, `crash`,
// `overflow`, `spin`, `grow`. Arguments are numbers and strings; in strings %XX is a byte, `null` is a null pointer of length 0, `empty` is
// a pointer of length 0, and `bad` is an address outside the plugin. Each action and its result are logged.
#include <dynvm/hostcalls.h>

// Where variables are: in statics, or in thread-local variables.
#ifndef STATE
#define STATE
#endif

#ifndef ABI
#define ABI 021
#endif

#if ABI == 010
DYNVM_CALLBACK(proxy_abi_version_0_1_0) void proxy_abi_version_0_1_0(void) {}
#elif ABI == 020
DYNVM_CALLBACK(proxy_abi_version_0_2_0) void proxy_abi_version_0_2_0(void) {}
#else
DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}
#endif

// Memory: a bump allocator, so that the probe needs no library.
#ifndef HEAP_SIZE
#define HEAP_SIZE (1 << 20)
#endif
static STATE uint8_t heap[HEAP_SIZE];
static STATE size_t used;
#ifdef ALLOCATOR_CALLS
static STATE int allocations;
#endif
DYNVM_CALLBACK(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) {
#ifdef ALLOCATOR_CALLS
  // After the start, when a hostcall returns a value: a call that an allocator must not make.
  if (allocations++ > 1) proxy_set_tick_period_milliseconds(1);
#endif
  size_t at = used;
  if (size > sizeof heap - 16 - at) return 0;
  used = (at + size + 15) & ~(size_t)15;
  return heap + at;
}

// Text.
static STATE char line[1 << 16];
static STATE size_t length;
static void put(const char *text, size_t size) {
  for (size_t i = 0; i < size && length < sizeof line; i++) line[length++] = text[i];
}
static void puts_(const char *text) {
  size_t size = 0;
  while (text[size]) size++;
  put(text, size);
}
static void put_number(uint64_t number) {
  char digits[24];
  size_t count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) put(&digits[--count], 1);
}
static void put_bytes(const uint8_t *bytes, size_t size) {
  static const char hex[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] > ' ' && bytes[i] < 127 && bytes[i] != '%') {
      put((const char *)&bytes[i], 1);
    } else {
      char escaped[3] = {'%', hex[bytes[i] >> 4], hex[bytes[i] & 15]};
      put(escaped, 3);
    }
  }
}
static void flush(void) {
  proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)line, length);
  length = 0;
}

// The script.
static STATE const uint8_t *script;
static STATE size_t script_size;

struct argument {
  uint8_t *text;
  size_t size;
  uint64_t number;
};
static STATE struct argument a[16];
static STATE uint8_t texts[1 << 15];

static int is(const uint8_t *text, size_t size, const char *word) {
  size_t i = 0;
  for (; i < size; i++)
    if (!word[i] || text[i] != (uint8_t)word[i]) return 0;
  return !word[i];
}
static unsigned digit(uint8_t c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static void parse(const uint8_t *from, const uint8_t *end) {
  uint8_t *to = texts;
  for (int i = 0; i < 16; i++) {
    while (from < end && *from == ' ') from++;
    a[i].text = to;
    a[i].number = 0;
    int negative = 0;
    while (from < end && *from != ' ') {
      uint8_t c = *from++;
      if (c == '%' && end - from >= 2) {
        c = (uint8_t)(digit(from[0]) << 4 | digit(from[1]));
        from += 2;
      }
      if (c == '-') negative = 1;
      if (c >= '0' && c <= '9') a[i].number = a[i].number * 10 + (c - '0');
      *to++ = c;
    }
    if (negative) a[i].number = -a[i].number;
    a[i].size = (size_t)(to - a[i].text);
    if (is(a[i].text, a[i].size, "null")) a[i].text = 0, a[i].size = 0;
    else if (is(a[i].text, a[i].size, "empty")) a[i].size = 0;
    else if (is(a[i].text, a[i].size, "bad")) a[i].text = (uint8_t *)(uintptr_t)0xfffffff0u, a[i].size = 64;
  }
}

static int recurse(int depth) {
  volatile char frame[4096];
  frame[0] = (char)depth;
  return recurse(depth + 1) + frame[0];
}

static STATE uint32_t result;
static STATE uint32_t many[1 << 10];

static void perform(const uint8_t *name, size_t name_size) {
  proxy_status_t status;
  uint8_t *data = 0;
  size_t size = 0, count = 0;
  uint32_t word = 0, flags = 0;
  uint64_t wide = 0;
  int has_data = 0, has_count = 0, has_word = 0, has_wide = 0;
#define N(i) ((uint32_t)a[i].number)
#define S(i) a[i].text, a[i].size
#define CALL(function, ...) if (is(name, name_size, #function)) status = function(__VA_ARGS__)
  if (is(name, name_size, "return")) { result = N(0); return; }
  if (is(name, name_size, "trap")) __builtin_trap();
  if (is(name, name_size, "trap_at")) {
    static uint32_t times;
    if (++times == N(0)) __builtin_trap();
    return;
  }
  if (is(name, name_size, "trap_if")) {
    if (proxy_get_property(S(0), &data, &size) == PROXY_STATUS_OK) __builtin_trap();
    return;
  }
  if (is(name, name_size, "crash")) { *(volatile int *)(uintptr_t)0xfffffff0u = 1; return; }
  if (is(name, name_size, "overflow")) { result = (uint32_t)recurse(0); return; }
  if (is(name, name_size, "spin")) { for (volatile int i = 0;; i++) {} }
#ifdef __wasm__
  if (is(name, name_size, "grow")) { result = (uint32_t)__builtin_wasm_memory_grow(0, N(0)); return; }
#endif
  CALL(proxy_log, N(0), S(1));
  else CALL(proxy_get_current_time_nanoseconds, &wide), has_wide = 1;
  else CALL(proxy_set_tick_period_milliseconds, N(0));
  else CALL(proxy_get_property, S(0), &data, &size), has_data = 1;
  else CALL(proxy_set_property, S(0), S(1));
  else CALL(proxy_get_buffer_bytes, N(0), N(1), N(2), &data, &size), has_data = 1;
  else CALL(proxy_set_buffer_bytes, N(0), N(1), N(2), S(3));
  else CALL(proxy_get_buffer_status, N(0), &count, &flags), has_count = 1;
  else CALL(proxy_get_header_map_size, N(0), &count), has_count = 1;
  else CALL(proxy_get_header_map_pairs, N(0), &data, &size), has_data = 1;
  else CALL(proxy_set_header_map_pairs, N(0), S(1));
  else CALL(proxy_get_header_map_value, N(0), S(1), &data, &size), has_data = 1;
  else CALL(proxy_add_header_map_value, N(0), S(1), S(2));
  else CALL(proxy_replace_header_map_value, N(0), S(1), S(2));
  else CALL(proxy_remove_header_map_value, N(0), S(1));
#if ABI == 010
  else CALL(proxy_get_configuration, &data, &size), has_data = 1;
  else CALL(proxy_continue_request);
  else CALL(proxy_continue_response);
  else CALL(proxy_clear_route_cache);
#else
  else CALL(proxy_continue_stream, N(0));
  else CALL(proxy_close_stream, N(0));
#endif
#if ABI == 021
  else CALL(proxy_get_log_level, &word), has_word = 1;
#endif
  else CALL(proxy_send_local_response, N(0), S(1), S(2), S(3), (int32_t)a[4].number);
  else CALL(proxy_http_call, S(0), S(1), S(2), S(3), N(4), &word), has_word = 1;
  else CALL(proxy_grpc_call, S(0), S(1), S(2), S(3), S(4), N(5), &word), has_word = 1;
  else CALL(proxy_grpc_stream, S(0), S(1), S(2), S(3), &word), has_word = 1;
  else CALL(proxy_grpc_send, N(0), S(1), N(2));
  else CALL(proxy_grpc_cancel, N(0));
  else CALL(proxy_grpc_close, N(0));
  else CALL(proxy_get_status, &word, &data, &size), has_data = has_word = 1;
  else CALL(proxy_get_shared_data, S(0), &data, &size, &word), has_data = 1, many[0] = word;
  else CALL(proxy_set_shared_data, S(0), S(1), a[2].text && is(a[2].text, a[2].size, "cas") ? many[0] : N(2));
  else CALL(proxy_register_shared_queue, S(0), &word), has_word = 1, many[1] = word;
  else CALL(proxy_resolve_shared_queue, S(0), S(1), &word), many[1] = word;
  else CALL(proxy_enqueue_shared_queue, a[0].text && is(a[0].text, a[0].size, "queue") ? many[1] : N(0), S(1));
  else CALL(proxy_dequeue_shared_queue, a[0].text && is(a[0].text, a[0].size, "queue") ? many[1] : N(0), &data, &size), has_data = 1;
  else CALL(proxy_define_metric, N(0), S(1), &word), has_word = 1;
  else CALL(proxy_increment_metric, N(0), (int64_t)a[1].number);
  else CALL(proxy_record_metric, N(0), a[1].number);
  else CALL(proxy_get_metric, N(0), &wide), has_wide = 1;
  else CALL(proxy_set_effective_context, N(0));
  else CALL(proxy_done);
  else CALL(proxy_call_foreign_function, S(0), S(1), &data, &size), has_data = 1;
  else { puts_("unknown command "); put((const char *)name, name_size); flush(); return; }
  put((const char *)name, name_size);
  puts_(" = ");
  put_number(status);
  if (status == PROXY_STATUS_OK) {
    if (has_word) puts_(" "), put_number(word);
    if (has_count) puts_(" "), put_number(count);
    if (has_wide) puts_(" "), put_number(wide);
    if (has_data) puts_(data ? " " : " null"), put_bytes(data, size);
  }
  flush();
}

// Logs the callback with its arguments, and runs the script's actions for it.
static uint32_t run(const char *callback, int numbers, const uint64_t *values, uint32_t otherwise) {
  puts_(callback);
  for (int i = 0; i < numbers; i++) puts_(i ? " " : "("), put_number(values[i]);
  puts_(numbers ? ")" : "()");
  flush();
  result = otherwise;
  const uint8_t *at = script, *end = script + script_size;
  while (at < end) {
    const uint8_t *stop = at;
    while (stop < end && *stop != '\n') stop++;
    const uint8_t *bar = at;
    while (bar < stop && *bar != '|') bar++;
    if (bar < stop && is(at, (size_t)(bar - at), callback)) {
      const uint8_t *name = bar + 1, *space = name;
      while (space < stop && *space != ' ') space++;
      parse(space, stop);
      perform(name, (size_t)(space - name));
    }
    at = stop + 1;
  }
  return result;
}
#define RUN(name, otherwise, ...) \
  run(name, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (uint64_t[]){__VA_ARGS__}, otherwise)

#ifdef START_CALLS
DYNVM_CALLBACK(_initialize) void _initialize(void) {
  uint64_t time;
  proxy_get_current_time_nanoseconds(&time);
}
#elif defined(START_TRAPS)
DYNVM_CALLBACK(_initialize) void _initialize(void) { __builtin_trap(); }
#else
DYNVM_CALLBACK(_initialize) void _initialize(void) { puts_("_initialize"), flush(); }
#ifdef __wasm__
__attribute__((export_name("main"))) int start_main(int argc, int argv) { (void)argc, (void)argv, puts_("main"), flush(); return 0; }
#else
int main(int argc, char **argv) { (void)argc, (void)argv, puts_("main"), flush(); return 0; }
#endif
#endif

static void read_script(size_t size) {
  uint8_t *data = 0;
  size_t length_ = 0;
#if ABI == 010
  (void)size;
  proxy_get_configuration(&data, &length_);
#else
  proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, size, &data, &length_);
#endif
  script = data;
  script_size = length_;
}
static size_t configuration_size(void) { return script_size; }

DYNVM_CALLBACK(proxy_on_context_create) void proxy_on_context_create(uint32_t c, uint32_t p) {
#if ABI != 010
  if (!p) read_script(65536);
#endif
  RUN("on_context_create", 0, c, p);
}
DYNVM_CALLBACK(proxy_on_vm_start) uint32_t proxy_on_vm_start(uint32_t c, size_t n) { return RUN("on_vm_start", 1, c, n); }
DYNVM_CALLBACK(proxy_on_configure) uint32_t proxy_on_configure(uint32_t c, size_t n) {
  (void)configuration_size;
#if ABI == 010
  read_script(n);
#endif
#ifdef WIDE_FALSE
  // false, with garbage in the unspecified bits: natively only the low byte counts.
  (void)c;
  return 0xabcdef00u;
#else
  return RUN("on_configure", 1, c, n);
#endif
}
DYNVM_CALLBACK(proxy_on_tick) void proxy_on_tick(uint32_t c) { RUN("on_tick", 0, c); }
DYNVM_CALLBACK(proxy_on_done) uint32_t proxy_on_done(uint32_t c) { return RUN("on_done", 1, c); }
DYNVM_CALLBACK(proxy_on_log) void proxy_on_log(uint32_t c) { RUN("on_log", 0, c); }
DYNVM_CALLBACK(proxy_on_delete) void proxy_on_delete(uint32_t c) { RUN("on_delete", 0, c); }
DYNVM_CALLBACK(proxy_on_new_connection) uint32_t proxy_on_new_connection(uint32_t c) { return RUN("on_new_connection", 0, c); }
#define DATA(name) \
  DYNVM_CALLBACK(proxy_##name) uint32_t proxy_##name(uint32_t c, size_t n, uint32_t e) { return RUN(#name, 0, c, n, e); }
DATA(on_downstream_data)
DATA(on_upstream_data)
DATA(on_request_body)
DATA(on_response_body)
#if ABI == 010
#define HEADERS(name) \
  DYNVM_CALLBACK(proxy_##name) uint32_t proxy_##name(uint32_t c, size_t n) { return RUN(#name, 0, c, n); }
#else
#define HEADERS(name) DATA(name)
#endif
HEADERS(on_request_headers)
HEADERS(on_response_headers)
#define TRAILERS(name) \
  DYNVM_CALLBACK(proxy_##name) uint32_t proxy_##name(uint32_t c, size_t n) { return RUN(#name, 0, c, n); }
TRAILERS(on_request_trailers)
TRAILERS(on_response_trailers)
#define PAIR(name) \
  DYNVM_CALLBACK(proxy_##name) void proxy_##name(uint32_t c, uint32_t n) { RUN(#name, 0, c, n); }
PAIR(on_downstream_connection_close)
PAIR(on_upstream_connection_close)
PAIR(on_queue_ready)
DYNVM_CALLBACK(proxy_on_http_call_response)
void proxy_on_http_call_response(uint32_t c, uint32_t t, size_t h, size_t b, size_t r) { RUN("on_http_call_response", 0, c, t, h, b, r); }
#define GRPC(name, type) \
  DYNVM_CALLBACK(proxy_##name) void proxy_##name(uint32_t c, uint32_t t, type n) { RUN(#name, 0, c, t, n); }
GRPC(on_grpc_receive_initial_metadata, uint32_t)
GRPC(on_grpc_receive, size_t)
GRPC(on_grpc_receive_trailing_metadata, uint32_t)
GRPC(on_grpc_close, uint32_t)
#if ABI != 010
GRPC(on_foreign_function, size_t)
#endif
