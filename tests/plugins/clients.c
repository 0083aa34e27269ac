// A plugin that keeps the state of each client: its name, from the header "user", and its pending calls. An answer is added to the
// request of its client, which the plugin finds by the number of the call.
//
// A request body of 666 bytes makes it fail.
#include <dynvm/hostcalls.h>

DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

// Memory for the values that one callback reads; the next callback reuses it.
static uint8_t heap[1 << 12];
static size_t used;
DYNVM_CALLBACK(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) {
  size_t at = used;
  if (size > sizeof heap - at) return 0;
  used = (at + size + 15) & ~(size_t)15;
  return heap + at;
}

#define TEXT(text) (const uint8_t *)text, sizeof text - 1

#define MOST 512
static struct client {
  uint32_t context;
  size_t size;
  uint8_t name[32];
} clients[MOST];
static struct call {
  uint32_t token, context;
} calls[MOST];

static struct client *find_client(uint32_t context) {
  for (int i = 0; i < MOST; i++)
    if (clients[i].context == context) return clients + i;
  return 0;
}

static struct call *find_call(uint32_t token) {
  for (int i = 0; i < MOST; i++)
    if (calls[i].token == token) return calls + i;
  return 0;
}

static void remember(uint32_t token, uint32_t context) {
  struct call *call = find_call(0);
  if (!call) __builtin_trap();
  call->token = token, call->context = context;
}

static void answer(uint32_t token, proxy_buffer_type_t buffer, size_t size) {
  used = 0;
  struct call *call = find_call(token);
  if (!call) {
    proxy_log(PROXY_LOG_LEVEL_INFO, TEXT("stray answer"));
    return;
  }
  uint32_t context = call->context;
  call->token = 0;
  uint8_t *body = 0;
  proxy_get_buffer_bytes(buffer, 0, size, &body, &size);
  // A client that has left meanwhile has no context.
  if (proxy_set_effective_context(context) != PROXY_STATUS_OK) return;
  proxy_log(PROXY_LOG_LEVEL_INFO, body, size);
  proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, TEXT("answer"), body, size);
  proxy_continue_stream(PROXY_STREAM_TYPE_HTTP_REQUEST);
}

DYNVM_CALLBACK(proxy_on_configure) uint32_t proxy_on_configure(uint32_t context, size_t size) {
  (void)context, (void)size;
  uint32_t queue;
  proxy_set_tick_period_milliseconds(1000);
  return proxy_register_shared_queue(TEXT("jobs"), &queue) == PROXY_STATUS_OK;
}

DYNVM_CALLBACK(proxy_on_request_headers)
uint32_t proxy_on_request_headers(uint32_t context, size_t count, uint32_t end) {
  (void)count, (void)end;
  used = 0;
  struct client *client = find_client(context);
  if (!client) client = find_client(0);
  if (!client) __builtin_trap();
  uint8_t *name;
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, TEXT("user"), &name, &client->size) != PROXY_STATUS_OK ||
      client->size > sizeof client->name)
    __builtin_trap();
  client->context = context;
  for (size_t i = 0; i < client->size; i++) client->name[i] = name[i];
  uint32_t token;
  if (proxy_http_call(TEXT("up"), 0, 0, client->name, client->size, 0, 0, 0, &token) == PROXY_STATUS_OK) remember(token, context);
  if (proxy_grpc_call(TEXT("up"), TEXT("s"), TEXT("m"), 0, 0, client->name, client->size, 0, &token) == PROXY_STATUS_OK)
    remember(token, context);
  return 4;
}

DYNVM_CALLBACK(proxy_on_request_body)
uint32_t proxy_on_request_body(uint32_t context, size_t size, uint32_t end) {
  (void)context, (void)end;
  if (size == 666) __builtin_trap();
  return 0;
}

DYNVM_CALLBACK(proxy_on_response_headers)
uint32_t proxy_on_response_headers(uint32_t context, size_t count, uint32_t end) {
  (void)count, (void)end;
  struct client *client = find_client(context);
  if (client) proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_RESPONSE_HEADERS, TEXT("seen"), client->name, client->size);
  return 0;
}

DYNVM_CALLBACK(proxy_on_http_call_response)
void proxy_on_http_call_response(uint32_t root, uint32_t token, size_t headers, size_t body, size_t trailers) {
  (void)root, (void)headers, (void)trailers;
  answer(token, PROXY_BUFFER_TYPE_HTTP_CALL_RESPONSE_BODY, body);
}

DYNVM_CALLBACK(proxy_on_grpc_receive) void proxy_on_grpc_receive(uint32_t root, uint32_t token, size_t size) {
  (void)root;
  answer(token, PROXY_BUFFER_TYPE_GRPC_RECEIVE_BUFFER, size);
}

DYNVM_CALLBACK(proxy_on_tick) void proxy_on_tick(uint32_t root) {
  (void)root;
  proxy_log(PROXY_LOG_LEVEL_INFO, TEXT("tick"));
}

DYNVM_CALLBACK(proxy_on_queue_ready) void proxy_on_queue_ready(uint32_t root, uint32_t queue) {
  (void)root, (void)queue;
  proxy_log(PROXY_LOG_LEVEL_INFO, TEXT("queue"));
}

DYNVM_CALLBACK(proxy_on_log) void proxy_on_log(uint32_t context) {
  struct client *client = find_client(context);
  if (client) proxy_log(PROXY_LOG_LEVEL_INFO, client->name, client->size);
}

DYNVM_CALLBACK(proxy_on_delete) void proxy_on_delete(uint32_t context) {
  struct client *client = find_client(context);
  if (client) client->context = 0;
}
