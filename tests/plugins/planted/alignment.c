// Writes a struct in its memory layout: the compiler chooses the offset and width of a long.

#include "plugin.h"

struct record {
  char kind;
  long count;
};

uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
  size_t size;
  uint8_t *mode = request_header("x-debug-mode", &size);
  if (mode != NULL && mode[0] == '1') {
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = 'r';
    record.count = 7;
    proxy_add_header_map_value(
        0, (const uint8_t *)"x-record", 8, (const uint8_t *)&record, sizeof record);
  }
  free(mode);
  return 0;
}
