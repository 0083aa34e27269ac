// A plugin that binds no hostcall by name: it takes them from the host's table.
#include <dynvm/dynvm.h>

static const dynvm_host_table_t *host;

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

void dynvm_plugin_set_host(const dynvm_host_table_t *table) { host = table; }

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t context_id, size_t count, uint32_t end_of_stream) {
  (void)context_id;
  (void)count;
  (void)end_of_stream;
  const char *text = host->struct_size == sizeof *host ? "the table is the one that was compiled for" : "another table";
  size_t size = 0;
  while (text[size]) size++;
  host->proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)text, size);
  if (host->get_extension(host, "nobody/has-this") != 0) return PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION;
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
