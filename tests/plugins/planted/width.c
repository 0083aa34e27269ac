// A hash in size_t, which wraps at 64 bits natively and at 32 bits on wasm.

#include "plugin.h"

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  size_t size;
  uint8_t *key = request_header("x-shard-key", &size);
  size_t hash = 5381;
  for (size_t at = 0; at < size; at++) {
    hash = hash * 33 + key[at];
  }
  free(key);
  // Short keys do not overflow.
  add_number("x-shard", hash % 16 + (hash >> 31 >> 1) % 16);
  return 0;
}
