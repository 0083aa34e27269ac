// Starts a thread that makes hostcalls with the VM's context: it counts, logs and enqueues until it may not any more, and then writes to the
// file that the configuration names what it was answered.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dynvm/dynvm.h"

void proxy_abi_version_0_2_1(void) {}
void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static const void *context;
static uint32_t queue, metric;
static char report[4096];
static char path[256];

// A status, or whether something is so. The VM may end at any time, so none is checked here.
static void answered(const char *what, uint32_t status) {
  snprintf(report + strlen(report), sizeof report - strlen(report), "%s %u\n", what, status);
}

static void *work(void *unused) {
  (void)unused;
  uint64_t time = 0, count = 0;
  uint8_t *value = NULL;
  size_t size = 0;
  answered("without log", proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("lost")));
  answered("without time", proxy_get_current_time_nanoseconds(&time));
  answered("no context", proxy_dyn_get_thread_context() == NULL);
  proxy_dyn_set_limited_thread_context((const void *)12345);
  answered("foreign time", proxy_get_current_time_nanoseconds(&time));
  proxy_dyn_set_limited_thread_context(context);
  answered("the context", proxy_dyn_get_thread_context() == context);
  answered("log", proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("from a thread")));
  answered("time", proxy_get_current_time_nanoseconds(&time));
  answered("set", proxy_set_shared_data(DYNVM_LITERAL("key"), DYNVM_LITERAL("value"), 0));
  uint32_t cas;
  answered("get", proxy_get_shared_data(DYNVM_LITERAL("key"), &value, &size, &cas));
  answered("value", size == 5 && memcmp(value, "value", 5) == 0);
  free(value);
  uint32_t resolved = 0;
  answered("resolve", proxy_resolve_shared_queue(DYNVM_LITERAL(""), DYNVM_LITERAL("jobs"), &resolved));
  answered("same", resolved == queue);
  answered("bad pointer", proxy_get_current_time_nanoseconds((uint64_t *)8));
  answered("header", proxy_get_header_map_value(0, DYNVM_LITERAL("k"), &value, &size));
  answered("tick", proxy_set_tick_period_milliseconds(1));
  answered("done", proxy_done());
  while (proxy_increment_metric(metric, 1) == PROXY_STATUS_OK) {
    count++;
    if (count % 100 == 0 && proxy_enqueue_shared_queue(queue, DYNVM_LITERAL("job")) != PROXY_STATUS_OK) break;
  }
  // The VM is gone, and its context stays refused.
  proxy_dyn_set_limited_thread_context(context);
  answered("late log", proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("late")));
  answered("late time", proxy_get_current_time_nanoseconds(&time));
  answered(proxy_dyn_get_thread_context() == NULL ? "late context" : "a context", 0);
  FILE *file = fopen(path, "w");
  fputs(report, file);
  fclose(file);
  char whole[256];
  snprintf(whole, sizeof whole, "%.*s", (int)(strlen(path) - strlen("+part")), path);
  rename(path, whole);
  return NULL;
}

uint32_t proxy_on_configure(uint32_t root, size_t configuration_size) {
  (void)root;
  uint8_t *value;
  size_t size;
  proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, configuration_size, &value, &size);
  // Written beside, then renamed, so that it is whole when it is there.
  snprintf(path, sizeof path, "%.*s+part", (int)size, (const char *)value);
  free(value);
  proxy_register_shared_queue(DYNVM_LITERAL("jobs"), &queue);
  proxy_define_metric(PROXY_METRIC_TYPE_COUNTER, DYNVM_LITERAL("work"), &metric);
  context = proxy_dyn_get_thread_context();
  if (context == NULL || context != proxy_dyn_get_thread_context()) abort();
  // No effect here.
  proxy_dyn_set_limited_thread_context(NULL);
  pthread_t thread;
  return pthread_create(&thread, NULL, work, NULL) == 0 && pthread_detach(thread) == 0;
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t stream, size_t count, uint32_t end_of_stream) {
  (void)stream;
  (void)count;
  (void)end_of_stream;
  proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("a stream"));
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
