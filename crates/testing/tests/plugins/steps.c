// A plugin whose request's path says what it does with the stream.
#include <dynvm/dynvm.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(text) (const uint8_t *)(text), sizeof(text) - 1

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

static uint32_t stream_of_call;

static void add(const char *name, const uint8_t *value, size_t size) {
  proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, (const uint8_t *)name, strlen(name), value, size);
}

static uint32_t call(uint32_t context, proxy_status_t status) {
  stream_of_call = context;
  return status == PROXY_STATUS_OK;
}

static uint32_t act(uint32_t context, const char *path) {
  uint8_t *data = 0;
  size_t size = 0;
  uint32_t token = 0;
  if (!strcmp(path, "/unary"))
    return call(context, proxy_grpc_call(TEXT("ratings"), TEXT("shop.Ratings"), TEXT("Get"), 0, 0, TEXT("which"), 1000, &token));
  if (!strcmp(path, "/stream")) {
    uint32_t paused = call(context, proxy_grpc_stream(TEXT("ratings"), TEXT("shop.Ratings"), TEXT("Watch"), 0, 0, &token));
    proxy_grpc_send(token, TEXT("first"), 0);
    proxy_grpc_send(token, TEXT("second"), 1);
    return paused;
  }
  if (!strcmp(path, "/foreign") && proxy_call_foreign_function(TEXT("upper"), TEXT("quiet"), &data, &size) == PROXY_STATUS_OK)
    add("x-foreign", data, size);
  if (!strcmp(path, "/property") && proxy_get_property(TEXT("source\0address"), &data, &size) == PROXY_STATUS_OK)
    add("x-source", data, size);
  if (!strcmp(path, "/hold")) return 1;
  if (!strcmp(path, "/crash")) __builtin_trap();
  if (!strcmp(path, "/close")) proxy_close_stream(PROXY_STREAM_TYPE_HTTP_REQUEST);
  if (!strcmp(path, "/count")) {
    proxy_define_metric(PROXY_METRIC_TYPE_COUNTER, TEXT("counted"), &token);
    proxy_increment_metric(token, 3);
  }
  free(data);
  return 0;
}

DYNVM_CALLBACK(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  (void)count, (void)end;
  uint8_t *data = 0;
  size_t size = 0;
  char path[64] = "";
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, TEXT(":path"), &data, &size) == PROXY_STATUS_OK && size < sizeof path)
    memcpy(path, data, size);
  free(data);
  return act(context, path);
}

// Keeps the body until its end, and then says so in front of it.
DYNVM_CALLBACK(proxy_on_request_body)
uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  (void)context, (void)size;
  if (!end) return 1;
  proxy_set_buffer_bytes(PROXY_BUFFER_TYPE_HTTP_REQUEST_BODY, 0, 0, TEXT("whole: "));
  return 0;
}

DYNVM_CALLBACK(proxy_on_response_headers)
uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  (void)context, (void)count, (void)end;
  proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_RESPONSE_HEADERS, TEXT("x-seen"), TEXT("yes"));
  return 0;
}

DYNVM_CALLBACK(proxy_on_grpc_receive)
void proxy_on_grpc_receive(uint32_t context, uint32_t token, size_t size) {
  (void)context, (void)token;
  uint8_t *data = 0;
  proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_GRPC_RECEIVE_BUFFER, 0, size, &data, &size);
  proxy_set_effective_context(stream_of_call);
  add("x-grpc", data, size);
  proxy_continue_stream(PROXY_STREAM_TYPE_HTTP_REQUEST);
  free(data);
}

DYNVM_CALLBACK(proxy_on_grpc_close)
void proxy_on_grpc_close(uint32_t context, uint32_t token, uint32_t status) {
  (void)context, (void)token;
  proxy_set_effective_context(stream_of_call);
  if (status) proxy_send_local_response(502, 0, 0, TEXT("no ratings"), 0, 0, (int32_t)status);
}
