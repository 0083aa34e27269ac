// Both C and C++: includes everything twice and uses what a plugin uses. With SECOND it is the other of two units that are
// linked together, which proves that the headers define nothing.
#include "dynvm/dynvm.h"
#include "dynvm/dynvm.h"

#ifndef SECOND

static const char *const wanted[] = {DYNVM_EXTENSION_ID("name", 1), NULL};
const dynvm_plugin_descriptor_t dynvm_plugin_descriptor = {
    sizeof(dynvm_plugin_descriptor_t), DYNVM_VERSION, DYNVM_STATE_PER_THREAD, 0, "twice", "1.0", NULL,
    wanted};

static const dynvm_host_table_t *table;

void dynvm_plugin_set_host(const dynvm_host_table_t *host) { table = host; }

void proxy_abi_version_0_2_1(void) {}

proxy_filter_headers_status_t proxy_on_request_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id;
  (void)num_headers;
  (void)end_of_stream;
  if (table == NULL || !DYNVM_HAS_MEMBER(dynvm_host_table_t, table, proxy_log)) {
    return PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION;
  }
  proxy_status_t status = table->proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("headers"));
  return status == PROXY_STATUS_OK ? PROXY_FILTER_HEADERS_STATUS_CONTINUE
                                   : PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION;
}

int main(void) { return (int)proxy_on_request_headers(1, 0, 1) - 1; }

#else

const dynvm_plugin_descriptor_t *second(void);
const dynvm_plugin_descriptor_t *second(void) { return &dynvm_plugin_descriptor; }

#endif
