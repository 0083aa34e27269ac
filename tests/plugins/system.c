// Logs random bytes from every function of the C library that provides them, and environment variables.
#define _GNU_SOURCE
#include <dynvm/dynvm.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

void proxy_abi_version_0_2_1(void) {}

void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static void say(const char *text) { proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)text, strlen(text)); }

static void say_bytes(const char *way, int is_given, const uint64_t *bytes) {
  char text[64];
  if (is_given) snprintf(text, sizeof text, "%s %016lx", way, (unsigned long)*bytes);
  else snprintf(text, sizeof text, "%s failed", way);
  say(text);
}

static void say_variable(const char *name) {
  const char *value = getenv(name);
  say(value ? value : "unset");
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t id, size_t count, uint32_t end) {
  (void)id, (void)count, (void)end;
  uint64_t bytes = 0;
  say_bytes("getrandom", getrandom(&bytes, sizeof bytes, 0) == sizeof bytes, &bytes);
  say_bytes("getentropy", getentropy(&bytes, sizeof bytes) == 0, &bytes);
  say_bytes("syscall", syscall(SYS_getrandom, &bytes, sizeof bytes, 0) == sizeof bytes, &bytes);
  ssize_t (*found)(void *, size_t, unsigned) = (ssize_t (*)(void *, size_t, unsigned))dlsym(RTLD_DEFAULT, "getrandom");
  say_bytes("dlsym", found && found(&bytes, sizeof bytes, 0) == sizeof bytes, &bytes);
  say(syscall(SYS_getpid) == getpid() ? "getpid as ever" : "another process");
  say(dlsym(RTLD_DEFAULT, "proxy_abi_version_0_2_1") == (void *)proxy_abi_version_0_2_1 ? "a symbol of its own" : "no such symbol");
  say_variable("DYNVM_OF_THE_VM");
  say_variable("PATH");
  say_variable("DYNVM_OF_NOBODY");
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
