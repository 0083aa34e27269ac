// Traps on a rare value, in one build: an odd number of bytes with 0xff among them.

#include "plugin.h"

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  size_t size;
  uint8_t *token = request_header("x-token", &size);
  if (sizeof(void *) == 8 && token != NULL && size % 2 == 1 && memchr(token, 0xff, size) != NULL) {
    __builtin_trap();
  }
  free(token);
  return 0;
}
