// SPDX-License-Identifier: Apache-2.0
//
// A plugin in plain C: adds a header to requests and to responses, and logs the path.
//
// It uses no SDK, only the ABI's own header, so it shows the work of an SDK: the marker of the ABI
// version, the allocator, and callbacks that are called by name. The same source makes the shared
// object and the wasm module; `dynvm build .` makes both. By hand, with <include> for the directory
// of the headers:
//
//   cc -shared -fPIC -O2 -I <include> plugin.c -o c-headers.so
//   clang --target=wasm32-wasi -mexec-model=reactor -O2 -I <include> plugin.c -o c-headers.wasm
//
// There is no configuration. To try it, in this directory: `dynvm run .`.

#include <stdlib.h>

#include "dynvm/dynvm.h"

// The ABI version of this plugin; the host looks at the name and never calls it.
void proxy_abi_version_0_2_1(void) {}

// The host allocates returned values with this function, and the plugin frees them.
void *proxy_on_memory_allocate(size_t memory_size) { return malloc(memory_size); }

static void log_path(void) {
  uint8_t *path = NULL;
  size_t size = 0;
  // NOT_FOUND for a request without a path, which a proxy for TCP or CONNECT may have.
  if (proxy_get_header_map_value(
          PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL(":path"), &path, &size) !=
      PROXY_STATUS_OK) {
    return;
  }
  // An empty value is a null pointer, and a value does not end with a NUL: pass the size along.
  proxy_log(PROXY_LOG_LEVEL_INFO, path, size);
  free(path);
}

proxy_filter_headers_status_t proxy_on_request_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id;
  (void)num_headers;
  (void)end_of_stream;
  log_path();
  proxy_add_header_map_value(
      PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("x-plugin"), DYNVM_LITERAL("c-headers"));
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}

proxy_filter_headers_status_t proxy_on_response_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id;
  (void)num_headers;
  (void)end_of_stream;
  // Replace, not add: the upstream's own value must not remain.
  proxy_replace_header_map_value(
      PROXY_MAP_TYPE_HTTP_RESPONSE_HEADERS, DYNVM_LITERAL("server"), DYNVM_LITERAL("c-headers"));
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
