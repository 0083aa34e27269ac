// Uses an address as a number, like code that uses addresses as identities.

#include "plugin.h"

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  size_t size;
  uint8_t *trace = request_header("x-trace", &size);
  if (trace != NULL) {
    add_number("x-span", (uintptr_t)trace / 8 % 100000);
  }
  free(trace);
  return 0;
}
