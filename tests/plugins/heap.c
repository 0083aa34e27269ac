// A plugin that allocates memory in every way of the C library, and frees it. It exports no allocator.
#define _GNU_SOURCE
#include <dynvm/hostcalls.h>
#include <stdlib.h>
#include <string.h>

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

DYNVM_CALLBACK(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
  (void)context_id, (void)num_headers, (void)end_of_stream;
#ifdef ABORTS
  abort();
#endif
  uint8_t *value = NULL;
  size_t size = 0;
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, (const uint8_t *)"k", 1, &value, &size)) return 0;
  char *copy = strndup((char *)value, size);
  char *path = realpath("/usr/.", NULL);
  void *aligned = NULL;
  if (posix_memalign(&aligned, 64, 100)) return 0;
  memset(aligned, 1, 100);
  char *text = calloc(1, 8);
  text = realloc(text, 100);
  strcpy(text, copy);
  strcat(text, " ");
  strcat(text, path);
  proxy_log(PROXY_LOG_LEVEL_INFO, (uint8_t *)text, strlen(text));
  free(value);
  free(copy);
  free(path);
  free(aligned);
  free(text);
  free(NULL);
  return 0;
}
