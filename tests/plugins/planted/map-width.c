// Encodes header maps as the Rust SDK up to 0.2.2 does: lengths are as wide as a pointer. The host reads the same in both builds, unless
// a header `x-differ` requests another value natively.

#include "plugin.h"

static uint8_t *put(uint8_t *at, size_t number) {
  memcpy(at, &number, sizeof number);
  return at + sizeof number;
}

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  size_t size;
  uint8_t *asked = request_header("x-differ", &size);
  uint8_t map[64], *at = put(put(put(map, 1), 8), 1);
  memcpy(at, "x-reason\0a", 11);
  if (asked != NULL && sizeof(void *) == 8) {
    at[9] = 'b';
  }
  free(asked);
  proxy_send_local_response(403, NULL, 0, NULL, 0, map, (size_t)(at + 11 - map), -1);
  return 1;
}
