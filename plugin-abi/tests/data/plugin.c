// A plugin in C, one source for both artifacts: natively it describes itself and reaches the host through the table, so that it
// has no undefined symbols; in wasm it imports.
#include "dynvm/dynvm.h"

#ifndef __wasm__

static const dynvm_host_table_t *host;
static const void *extension;

void dynvm_plugin_set_host(const dynvm_host_table_t *table) {
  host = table;
  extension = table->get_extension(table, DYNVM_EXTENSION_ID("test", 1));
}

static const char *const wanted[] = {DYNVM_EXTENSION_ID("test", 1), "com.example.clock/2", NULL};

const dynvm_plugin_descriptor_t dynvm_plugin_descriptor = {
    sizeof(dynvm_plugin_descriptor_t),
    DYNVM_VERSION,
    DYNVM_STATE_PER_THREAD,
    0,
    "plugin-in-c",
    "1.2.3",
    NULL,
    wanted};

#define HOST(name) host->name

#else

static const void *extension;
#define HOST(name) name

#endif

void proxy_abi_version_0_2_1(void) {}

static uint8_t heap[256];
void *proxy_on_memory_allocate(size_t memory_size) {
  return memory_size <= sizeof(heap) ? heap : NULL;
}

proxy_filter_headers_status_t proxy_on_request_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)num_headers;
  uint8_t *value = NULL;
  size_t size = 0;
  proxy_status_t status = HOST(proxy_get_header_map_value)(
      PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("host"), &value, &size);
  if (status != PROXY_STATUS_OK || context_id != 7 || end_of_stream != 1) {
    return PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION;
  }
  HOST(proxy_log)(extension == NULL ? PROXY_LOG_LEVEL_INFO : PROXY_LOG_LEVEL_WARN, value, size);
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
