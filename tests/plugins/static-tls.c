// A plugin with a thread-local variable of the initial-exec model, which counts streams, and a thread that has its own.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <dynvm/dynvm.h>

void proxy_abi_version_0_2_1(void) {}

static __attribute__((tls_model("initial-exec"))) _Thread_local unsigned count = 10;

static void *thread(void *seen) {
  *(unsigned *)seen = count;
  return 0;
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t id, size_t headers, uint32_t end) {
  (void)id, (void)headers, (void)end;
  unsigned seen = 0;
  pthread_t other;
  count++;
  if (pthread_create(&other, 0, thread, &seen) == 0) pthread_join(other, 0);
  char text[64];
  snprintf(text, sizeof text, "here %u, in a thread %u", count, seen);
  proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)text, strlen(text));
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
