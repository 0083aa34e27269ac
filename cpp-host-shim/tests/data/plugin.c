// A plugin with a function of every type that the host may request. Built plain, and with
// NO_ALLOCATOR, RESTLESS (a hostcall from a constructor that the host restricts), FAULTY (a crash
// in a constructor), OLD (ABI 0.1.0), COMMAND (begins with _start), OWN (hostcalls of one host).
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dynvm/dynvm.h"

#ifdef OLD
void proxy_abi_version_0_1_0(void) {}
#else
void proxy_abi_version_0_2_1(void) {}
#endif

static uint32_t constructed, initialized, mained, called;

__attribute__((constructor)) static void construct(void) {
  constructed++;
  proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("constructed"));
#ifdef RESTLESS
  uint8_t *value;
  size_t size;
  proxy_get_property(DYNVM_LITERAL("a"), &value, &size);
#endif
#ifdef FAULTY
  *(volatile int *)16 = 1;
#endif
}

__attribute__((destructor)) static void destruct(void) { proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("destructed")); }

#ifdef COMMAND
void _start(void) { initialized++; }
#else
void _initialize(void) { initialized++; }
#endif
int main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  mained++;
  return 0;
}

#ifndef NO_ALLOCATOR
void *proxy_on_memory_allocate(size_t size) {
  if (size == 666) {
    uint8_t *value;
    size_t length;
    proxy_get_property(DYNVM_LITERAL("a"), &value, &length);
  }
  if (size == 667) return (void *)16;
  return malloc(size);
}
#endif

// Functions that have run in this image: constructors, start functions, main, calls.
uint32_t counts(void) { return constructed * 1000 + initialized * 100 + mained * 10 + called; }

void void0(void) { called++; }
void void1(uint32_t a) { called += a; }
void void2(uint32_t a, uint32_t b) { called += a + b; }
void void3(uint32_t a, uint32_t b, uint32_t c) { called += a + b + c; }
void void5(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) { called += a + b + c + d + e; }
// The upper halves of these arguments are garbage.
uint64_t word0(void) { return 0xdeadbeef00000007; }
uint64_t word1(uint32_t a) { return 0xdeadbeef00000000 | a; }
uint64_t word2(uint32_t a, uint32_t b) { return 0xdeadbeef00000000 | (a + b); }
uint64_t word3(uint32_t a, uint32_t b, uint32_t c) { return 0xdeadbeef00000000 | (a + b + c); }
uint32_t mixed(uint32_t a, uint64_t b, float c, double d) { return a + (uint32_t)b + (uint32_t)c + (uint32_t)d; }
uint64_t rounded(float a) { return (uint64_t)a << 40; }
float sum_of_two(float a, float b) { return a + b; }
double sum_of_three(float a, float b, float c) { return (double)a + b + c; }

// Rust's false and true: only the low byte of a bool is defined.
uint64_t wide_false(uint32_t context, size_t size) __asm__("proxy_on_configure");
uint64_t wide_false(uint32_t context, size_t size) { return context + size == 0 ? 1 : 0xabcdef00; }
uint64_t wide_true(uint32_t context) __asm__("proxy_on_done");
uint64_t wide_true(uint32_t context) { return context == 0 ? 0 : 0xabcdef01; }

// Hostcalls with many numbers of arguments, which return statuses.
uint32_t hostcalls(uint32_t which) {
  uint32_t token = 0;
  uint64_t value = 0;
  const uint8_t *text = (const uint8_t *)"text";
  switch (which) {
  case 0: return proxy_done();
  case 1: return proxy_set_tick_period_milliseconds(11);
  case 2: return proxy_get_metric(12, &value) + (uint32_t)value;
  case 3: return proxy_increment_metric(13, -5);
  case 4: return proxy_record_metric(14, UINT64_C(0x123456789abcdef));
  case 5: return proxy_http_call(text, 1, text, 2, text, 3, text, 4, 5000, &token) + token;
  case 6: return proxy_grpc_call(text, 1, text, 2, text, 3, text, 4, text, 3, 6000, &token) + token;
  case 7: return proxy_send_local_response(403, text, 1, text, 2, text, 3, -1);
  case 8: return proxy_log(PROXY_LOG_LEVEL_WARN, text, 4);
  }
  return 99;
}

uint32_t property(void) {
  uint8_t *value = NULL;
  size_t size = 0;
  proxy_status_t status = proxy_get_property(DYNVM_LITERAL("path"), &value, &size);
  uint32_t right = status == PROXY_STATUS_OK && size == 8 && memcmp(value, "property", 8) == 0;
  free(value);
  return right;
}

uint32_t bad_pointer(void) { return proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)16, 4); }

void output(void) {
  if (write(1, "standard output\n", 16) < 0) abort();
}

// The C library's functions for the environment and the time, which the host answers.
uint32_t environment(void) {
  const char *value = getenv("DYNVM_OF_VM");
  return value != NULL && strcmp(value, "a=b") == 0 && getenv("PATH") != NULL;
}
static uint32_t seconds_of(clockid_t clock) {
  struct timespec now;
  return clock_gettime(clock, &now) == 0 ? (uint32_t)now.tv_sec : 0;
}
uint32_t seconds(void) { return seconds_of(CLOCK_REALTIME); }
uint32_t monotonic(void) { return seconds_of(CLOCK_MONOTONIC); }

#ifdef OWN
// Hostcalls that only this host has.
void host_ping(void);
uint64_t host_sum(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
uint32_t pthread_equal_of_libc(void) { return pthread_equal(pthread_self(), pthread_self()) != 0; }
uint32_t own(void) {
  host_ping();
  return (uint32_t)host_sum(1, 2, 3, 4, 5, 6, 7);
}
#endif

void crash(void) { *(volatile int *)16 = 1; }
void end(void) { abort(); }
void forever(void) {
  for (volatile int i = 0;; i++) {
  }
}
