// Filters written by hand against Envoy's ABI for dynamic modules, as peers of plugins. The first letter of the filter's
// name says what it does: `n` nothing, `h` the work of the plugin header-rewrite with the rules of `envoy-cpu`.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } slice;
typedef void *envoy_ptr;
typedef const void *module_ptr;

#define HOOK(name) envoy_dynamic_module_on_##name
#define ENVOY(name) envoy_dynamic_module_callback_##name
#define TEXT(text) ((slice){text, sizeof(text) - 1})

enum { REQUEST, REQUEST_TRAILERS, RESPONSE };

extern bool ENVOY(http_get_header)(envoy_ptr, int, slice, slice *, size_t, size_t *);
extern bool ENVOY(http_add_header)(envoy_ptr, int, slice, slice);
extern bool ENVOY(http_set_header)(envoy_ptr, int, slice, slice);
extern void ENVOY(http_clear_route_cache)(envoy_ptr);

static const slice NONE;
static const char nothing, headers;

static slice get(envoy_ptr envoy, slice name) {
  slice value = NONE;
  size_t count;
  ENVOY(http_get_header)(envoy, REQUEST, name, &value, 0, &count);
  return value;
}

const char *HOOK(program_init)(void) { return "v0.2.0"; }

module_ptr HOOK(http_filter_config_new)(envoy_ptr envoy, slice name, slice config) {
  return name.length > 0 && name.data[0] == 'h' ? &headers : &nothing;
}
void HOOK(http_filter_config_destroy)(module_ptr config) {}

// A filter needs no state of its own.
module_ptr HOOK(http_filter_new)(module_ptr config, envoy_ptr envoy) { return config; }
void HOOK(http_filter_destroy)(module_ptr filter) {}

int HOOK(http_filter_request_headers)(envoy_ptr envoy, module_ptr filter, bool end) {
  if (filter != &headers) return 0;
  slice method = get(envoy, TEXT(":method")), authority = get(envoy, TEXT(":authority")), path = get(envoy, TEXT(":path"));
  char *url = malloc(authority.length + path.length);
  memcpy(url, authority.data, authority.length);
  memcpy(url + authority.length, path.data, path.length);
  slice joined = {url, authority.length + path.length};
  ENVOY(http_add_header)(envoy, REQUEST, TEXT("x-original-method"), method);
  ENVOY(http_add_header)(envoy, REQUEST, TEXT("x-original-url"), joined);
  free(url);
  ENVOY(http_set_header)(envoy, REQUEST, TEXT("x-env"), TEXT("production"));
  ENVOY(http_set_header)(envoy, REQUEST, TEXT("x-internal"), NONE);
  // The route may depend on the headers.
  ENVOY(http_clear_route_cache)(envoy);
  return 0;
}
int HOOK(http_filter_request_body)(envoy_ptr envoy, module_ptr filter, bool end) { return 0; }
int HOOK(http_filter_request_trailers)(envoy_ptr envoy, module_ptr filter) { return 0; }

int HOOK(http_filter_response_headers)(envoy_ptr envoy, module_ptr filter, bool end) {
  if (filter != &headers) return 0;
  ENVOY(http_set_header)(envoy, RESPONSE, TEXT("x-frame-options"), TEXT("DENY"));
  ENVOY(http_set_header)(envoy, RESPONSE, TEXT("x-powered-by"), NONE);
  return 0;
}
int HOOK(http_filter_response_body)(envoy_ptr envoy, module_ptr filter, bool end) { return 0; }
int HOOK(http_filter_response_trailers)(envoy_ptr envoy, module_ptr filter) { return 0; }
void HOOK(http_filter_stream_complete)(envoy_ptr envoy, module_ptr filter) {}

// Envoy asks for these, and does not call them for filters without calls.
void HOOK(http_filter_http_callout_done)(void) {}
void HOOK(http_filter_http_stream_headers)(void) {}
void HOOK(http_filter_http_stream_data)(void) {}
void HOOK(http_filter_http_stream_trailers)(void) {}
void HOOK(http_filter_http_stream_complete)(void) {}
void HOOK(http_filter_http_stream_reset)(void) {}
void HOOK(http_filter_scheduled)(void) {}
void HOOK(http_filter_downstream_above_write_buffer_high_watermark)(void) {}
void HOOK(http_filter_downstream_below_write_buffer_low_watermark)(void) {}
