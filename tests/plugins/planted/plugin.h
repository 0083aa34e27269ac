// Shared parts of the plugins with planted bugs.

#include <stdlib.h>
#include <string.h>

#include <dynvm/dynvm.h>

void proxy_abi_version_0_2_1(void) {}

void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

// A request header's value, to be freed; NULL if there is none or it is empty.
static uint8_t *request_header(const char *name, size_t *size) {
  uint8_t *value = NULL;
  *size = 0;
  if (proxy_get_header_map_value(0, (const uint8_t *)name, strlen(name), &value, size) != 0) {
    return NULL;
  }
  return value;
}

// Adds a request header with a number in decimal.
static void add_number(const char *name, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  proxy_add_header_map_value(
      0, (const uint8_t *)name, strlen(name), (const uint8_t *)digits + at, sizeof digits - at);
}
