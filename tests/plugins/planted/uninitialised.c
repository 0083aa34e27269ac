// Reads a buffer beyond the bytes that were written to it.

#include "plugin.h"

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  volatile uint8_t copy[64];
  size_t size;
  uint8_t *signature = request_header("x-signature", &size);
  for (size_t at = 0; at < size && at < 8; at++) {
    copy[at] = signature[at];
  }
  uint64_t sum = 0;
  for (size_t at = 0; at < size && at < sizeof copy; at++) {
    sum = sum * 31 + copy[at];
  }
  free(signature);
  add_number("x-checksum", sum % 1000003);
  return 0;
}
