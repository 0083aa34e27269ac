// A plugin for whole streams: answers the header x-n with x-answer, which includes the number of
// streams of this VM so far; crashes on demand.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynvm/dynvm.h"

void proxy_abi_version_0_2_1(void) {}
void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static uint32_t streams;

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end_of_stream) {
  (void)context;
  (void)count;
  (void)end_of_stream;
  uint8_t *value = NULL;
  size_t size = 0;
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("x-n"), &value, &size) != 0) abort();
  if (size == 5 && memcmp(value, "crash", 5) == 0) *(volatile int *)16 = 1;
  char answer[64];
  int length = snprintf(answer, sizeof answer, "%.*s of %u", (int)size, (const char *)value, ++streams);
  free(value);
  proxy_add_header_map_value(
      PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("x-answer"), (const uint8_t *)answer, (size_t)length);
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
