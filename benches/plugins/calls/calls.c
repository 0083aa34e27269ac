// A plugin that only calls the host, a given number of times.

#include <stdlib.h>

#include "dynvm/dynvm.h"

void proxy_abi_version_0_2_1(void) {}

void *proxy_on_memory_allocate(size_t memory_size) { return malloc(memory_size); }

// The empty callback.
void proxy_on_tick(uint32_t context_id) { (void)context_id; }

// `count` times: the value of the header user-agent.
proxy_filter_headers_status_t proxy_on_request_headers(uint32_t context_id, size_t count, uint32_t end_of_stream) {
  (void)context_id;
  (void)end_of_stream;
  for (size_t i = 0; i < count; i++) {
    uint8_t *value = NULL;
    size_t size = 0;
    if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("user-agent"), &value, &size) !=
        PROXY_STATUS_OK) {
      return PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION;
    }
    free(value);
  }
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}

// `count` times: the time.
proxy_filter_data_status_t proxy_on_request_body(uint32_t context_id, size_t count, uint32_t end_of_stream) {
  (void)context_id;
  (void)end_of_stream;
  for (size_t i = 0; i < count; i++) {
    uint64_t time = 0;
    if (proxy_get_current_time_nanoseconds(&time) != PROXY_STATUS_OK) {
      return PROXY_FILTER_DATA_STATUS_STOP_ITERATION_AND_BUFFER;
    }
  }
  return PROXY_FILTER_DATA_STATUS_CONTINUE;
}

// A crash.
proxy_filter_headers_status_t proxy_on_response_headers(uint32_t context_id, size_t count, uint32_t end_of_stream) {
  (void)context_id;
  (void)count;
  (void)end_of_stream;
  __builtin_trap();
}
