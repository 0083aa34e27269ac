#include <dynvm/dynvm.h>

void proxy_abi_version_0_2_1(void) {}

uint32_t proxy_on_response_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id;
  (void)num_headers;
  (void)end_of_stream;
  proxy_add_header_map_value(2, (const uint8_t *)"x-hello", 7, (const uint8_t *)"world", 5);
  return 0;
}
