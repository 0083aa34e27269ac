/* A plugin without an SDK: constructors, destructors, thread-local and other statics. */
#include <dynvm/dynvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char order[8];
static int total = 10;
static int zeroed[64];
static __thread int local = 100;
static int *address = &total;

__attribute__((constructor(201))) static void second(void) { strcat(order, "b"); }
__attribute__((constructor)) static void last(void) { strcat(order, "c"); }
__attribute__((constructor(101))) static void first(void) { strcat(order, "a"); }

/* A list that the linker collects, which has the same name in another plugin. */
#define ITEM(name) static const int name __attribute__((section("items"), used, retain)) = 1
ITEM(one);
ITEM(two);
extern const int __start_items[] __attribute__((visibility("hidden")));
extern const int __stop_items[] __attribute__((visibility("hidden")));

static void say(const char *text) { proxy_log(2, (const uint8_t *)text, strlen(text)); }

__attribute__((destructor)) static void end(void) { say("destructor"); }
static void at_exit(void) { say("atexit"); }

void proxy_abi_version_0_2_1(void) {}
void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

uint32_t proxy_on_vm_start(uint32_t context_id, size_t configuration_size) {
  (void)context_id;
  (void)configuration_size;
  atexit(at_exit);
  return 1;
}

uint32_t proxy_on_request_headers(uint32_t context_id, size_t headers, uint32_t end_of_stream) {
  (void)context_id;
  (void)headers;
  (void)end_of_stream;
  char text[64];
  zeroed[63]++;
  local++;
  (*address)++;
  snprintf(text, sizeof text, "%s local %d total %d zeroed %d items %d", order, local, total, zeroed[63],
           (int)(__stop_items - __start_items));
  say(text);
  return 0;
}
