// A plugin that refers to the function or variable CALLS, or that defines `malloc` (DEFINES_MALLOC).
#define _GNU_SOURCE
#include <argz.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <syslog.h>

#include <dynvm/dynvm.h>

void proxy_abi_version_0_2_1(void) {}

#ifdef DEFINES_MALLOC
void *malloc(size_t size) {
  static char memory[64];
  return size <= sizeof memory ? memory : 0;
}
#endif

#ifdef CALLS
const void *referred(void) { return (const void *)CALLS; }
#endif

const void *allocator(void) { return (const void *)calloc; }
