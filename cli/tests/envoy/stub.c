/* Every hook that Envoy 1.40 wants of a module with an HTTP filter, a network filter and an access logger. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
typedef struct { const char *ptr; size_t len; } buf;
#define HOOK(name) long envoy_dynamic_module_on_##name(void) { return 0; }
const char *envoy_dynamic_module_on_program_init(void) { return "v0.2.0"; }
static void *config_new(const char *kind, buf name, buf config) {
  FILE *f = fopen(getenv("STUB_LOG"), "a");
  fprintf(f, "%s %.*s %.*s\n", kind, (int)name.len, name.ptr, (int)config.len, config.ptr);
  fclose(f);
  return (void *)1;
}
void *envoy_dynamic_module_on_http_filter_config_new(void *e, buf n, buf c) { return config_new("http", n, c); }
void *envoy_dynamic_module_on_network_filter_config_new(void *e, buf n, buf c) { return config_new("network", n, c); }
void *envoy_dynamic_module_on_access_logger_config_new(void *e, buf n, buf c) { return config_new("log", n, c); }
HOOK(http_filter_config_destroy) HOOK(http_filter_new) HOOK(http_filter_destroy) HOOK(http_filter_request_headers)
HOOK(http_filter_request_body) HOOK(http_filter_request_trailers) HOOK(http_filter_response_headers)
HOOK(http_filter_response_body) HOOK(http_filter_response_trailers) HOOK(http_filter_stream_complete)
HOOK(http_filter_http_callout_done) HOOK(http_filter_http_stream_headers) HOOK(http_filter_http_stream_data)
HOOK(http_filter_http_stream_trailers) HOOK(http_filter_http_stream_complete) HOOK(http_filter_http_stream_reset)
HOOK(http_filter_scheduled) HOOK(http_filter_downstream_above_write_buffer_high_watermark)
HOOK(http_filter_downstream_below_write_buffer_low_watermark)
HOOK(network_filter_config_destroy) HOOK(network_filter_new) HOOK(network_filter_destroy)
HOOK(network_filter_new_connection) HOOK(network_filter_read) HOOK(network_filter_write) HOOK(network_filter_event)
HOOK(access_logger_config_destroy) HOOK(access_logger_new) HOOK(access_logger_log) HOOK(access_logger_destroy)
