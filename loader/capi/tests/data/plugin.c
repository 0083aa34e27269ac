// A plugin that does what its test asks of it. What it returns through 64-bit registers has garbage where the ABI leaves it open.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dynvm/dynvm.h"

void proxy_abi_version_0_2_1(void) {}

static int constructed;
static int initialized;

__attribute__((constructor)) static void construct(void) {
  constructed++;
  proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("constructed"));
#ifdef CALLS_TIME_AT_START
  uint64_t time;
  proxy_get_current_time_nanoseconds(&time);
#endif
}

__attribute__((destructor)) static void destruct(void) {
  proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("destructed"));
}

void _initialize(void) { initialized++; }

void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

// How often each ran in this image.
uint64_t counts(void) { return (uint64_t)constructed << 32 | (uint64_t)initialized; }

// As Rust returns false: only the low byte counts.
uint64_t wide_false(void) { return 0xabcdef00; }

uint64_t sum(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) { return (uint64_t)a + b + c + d + e; }

double half(float x) { return x / 2; }

uint32_t time_of_host(void) {
  uint64_t time = 0;
  proxy_status_t status = proxy_get_current_time_nanoseconds(&time);
  return status == PROXY_STATUS_OK && time == 1234567890123 ? 1 : 0;
}

// A hostcall that only this host has.
uint64_t host_double(uint64_t value);
uint64_t doubled(void) { return host_double(21); }

static uint64_t seconds_of(clockid_t clock) {
  struct timespec now;
  return clock_gettime(clock, &now) == 0 ? (uint64_t)now.tv_sec : 0;
}
uint64_t seconds(void) { return seconds_of(CLOCK_REALTIME); }
uint64_t monotonic(void) { return seconds_of(CLOCK_MONOTONIC); }
uint64_t variable_size(void) { return strlen(getenv("OF_VM")); }

uint32_t status_of_time(void) {
  uint64_t time;
  return proxy_get_current_time_nanoseconds(&time);
}

uint32_t bad_pointer(void) { return proxy_get_current_time_nanoseconds((uint64_t *)8); }

// The header's value, by the host's way back into the allocator.
uint32_t value_size(void) {
  uint8_t *value = NULL;
  size_t size = 0;
  if (proxy_get_header_map_value(0, DYNVM_LITERAL("name"), &value, &size) != PROXY_STATUS_OK) return 0;
  uint32_t right = size == 5 && memcmp(value, "value", 5) == 0;
  free(value);
  return right ? (uint32_t)size : 0;
}

uint32_t unknown_status(void) { return proxy_set_tick_period_milliseconds(7); }

void crash(void) { *(volatile int *)16 = 1; }
void end(void) { abort(); }
void forever(void) {
  for (volatile int i = 0;; i++) {
  }
}

uint32_t much(uint32_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) return 0;
  memset(memory, 1, bytes);
  free(memory);
  return 1;
}
