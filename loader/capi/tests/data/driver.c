// Takes the API through what it promises, from C. Arguments: a plugin, another one that its restriction refuses, a file that is no plugin, a
// trust policy that refuses them.
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dynvm/loader.h"

static int failures;

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      failures++; \
    } \
  } while (0)

static const char *const *files;
static __thread dynvm_vm_t *vm;
static dynvm_vm_t *vm_of_slow_log;
static char logged[4096];

static void on_log(void *data, uint32_t level, const char *text, size_t size) {
  (void)data;
  snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%u %.*s\n", level, (int)size, text);
}

static uint64_t host_log(uint64_t level, uint64_t text, uint64_t size) {
  on_log(NULL, (uint32_t)level, (const char *)(uintptr_t)text, size);
  return 0;
}

static uint64_t host_time(uint64_t place) {
  *(uint64_t *)(uintptr_t)place = 1234567890123;
  return 0;
}

static uint64_t host_header(uint64_t map, uint64_t key, uint64_t key_size, uint64_t value, uint64_t size) {
  if (map != 0 || key_size != 4 || memcmp((const char *)(uintptr_t)key, "name", 4) != 0) return 1;
  uint64_t address = dynvm_vm_allocate(vm, 5, DYNVM_CALL_RESTRICTED);
  if (address == 0) return 10;
  memcpy((void *)(uintptr_t)address, "value", 5);
  *(uint64_t *)(uintptr_t)value = address;
  *(uint64_t *)(uintptr_t)size = 5;
  return 0;
}

static uint64_t host_tick(uint64_t period) { return period == 7 ? 12 : 0; }

static void on_trace(
    void *data, const char *name, size_t size, const uint64_t *arguments, size_t count, const uint64_t *result) {
  (void)data;
  (void)arguments;
  snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%.*s/%zu%s", (int)size, name, count, result == NULL ? " " : "\n");
}

static bool on_clock(void *data, bool monotonic, uint64_t *nanoseconds) {
  (void)data;
  *nanoseconds = (monotonic ? 5 : 7) * UINT64_C(1000000000);
  return true;
}

static const char *on_variable(void *data, const char *name) {
  (void)data;
  return strcmp(name, "OF_VM") == 0 ? "value" : NULL;
}

static uint64_t host_double(uint64_t value) { return 2 * value; }

static bool only_log(void *data, const char *name, size_t size) {
  (void)data;
  return size == 9 && memcmp(name, "proxy_log", 9) == 0;
}

// Succeeds, or fails the test with the error.
static void ok(dynvm_error_t *error) {
  if (error == NULL) return;
  fprintf(stderr, "error %u: %s\n", dynvm_error_code(error), dynvm_error_text(error));
  exit(1);
}

// Fails with this code and a text that has these words.
static void fails(dynvm_error_t *error, dynvm_code_t code, const char *words) {
  if (error == NULL) {
    fprintf(stderr, "no error, but one with %s was to be\n", words);
    failures++;
    return;
  }
  if (dynvm_error_code(error) != code || strstr(dynvm_error_text(error), words) == NULL) {
    fprintf(stderr, "error %u: %s\nnot %u with %s\n", dynvm_error_code(error), dynvm_error_text(error), code, words);
    failures++;
  }
  dynvm_error_free(error);
}

static dynvm_hostcalls_t *hostcalls(void) {
  dynvm_hostcalls_t *table = dynvm_hostcalls_new();
  ok(dynvm_hostcalls_bind(table, "proxy_log", (dynvm_hostcall_t)host_log));
  ok(dynvm_hostcalls_bind(table, "proxy_get_current_time_nanoseconds", (dynvm_hostcall_t)host_time));
  ok(dynvm_hostcalls_bind(table, "proxy_get_header_map_value", (dynvm_hostcall_t)host_header));
  ok(dynvm_hostcalls_bind(table, "proxy_set_tick_period_milliseconds", (dynvm_hostcall_t)host_tick));
  fails(dynvm_hostcalls_bind(table, "proxy_nope", (dynvm_hostcall_t)host_log), DYNVM_CODE_ARGUMENT, "proxy_nope");
  ok(dynvm_hostcalls_bind_own(table, "host_double", 1, (dynvm_hostcall_t)host_double));
  fails(dynvm_hostcalls_bind_own(table, "proxy_nope", 1, (dynvm_hostcall_t)host_log), DYNVM_CODE_ARGUMENT, "proxy_nope");
  fails(dynvm_hostcalls_bind_own(table, "host_many", 13, (dynvm_hostcall_t)host_log), DYNVM_CODE_ARGUMENT, "host_many");
  CHECK(dynvm_hostcalls_has(table, "host_double"));
  CHECK(dynvm_hostcalls_has(table, "proxy_log") && !dynvm_hostcalls_has(table, "proxy_done"));
  return table;
}

static dynvm_vm_t *vm_of(const dynvm_module_t *module, size_t memory_limit) {
  dynvm_hostcalls_t *table = hostcalls();
  dynvm_vm_config_t *config = dynvm_vm_config_new(table);
  ok(dynvm_vm_config_set_name(config, "test"));
  dynvm_vm_config_set_log(config, on_log, NULL);
  dynvm_vm_config_set_may_call(config, only_log, NULL);
  dynvm_vm_config_set_trace(config, on_trace, NULL);
  dynvm_vm_config_set_clock(config, on_clock, NULL);
  dynvm_vm_config_set_environment(config, on_variable, NULL);
  dynvm_vm_config_set_memory_limit(config, memory_limit);
  dynvm_vm_t *made = NULL;
  ok(dynvm_vm_new(module, config, &made));
  dynvm_vm_config_free(config);
  dynvm_hostcalls_free(table);
  return made;
}

// Calls are prepared: what is promised is the same.
static bool prepares;

static bool call(const char *name, uint64_t a, uint64_t *result) {
  dynvm_function_t function = dynvm_vm_function(vm, name);
  dynvm_prepared_t prepared;
  CHECK(function != 0 && dynvm_vm_prepare(vm, function, &prepared));
  dynvm_result_t returned =
      prepares ? prepared.call(a, 0, 0, 0, 0, &prepared) : dynvm_vm_call(vm, function, a, 0, 0, 0, 0);
  if (result != NULL) *result = returned.value;
  return returned.code == 0;
}

static uint64_t value(const char *name) {
  uint64_t result = 0;
  CHECK(call(name, 0, &result));
  return result;
}

static void failed_with(const char *words) {
  CHECK(dynvm_vm_has_failed(vm));
  fails(dynvm_vm_failure(vm), DYNVM_CODE_FAILED, words);
  CHECK(!call("counts", 0, NULL));
  CHECK(dynvm_vm_allocate(vm, 5, 0) == 0);
  dynvm_vm_free(vm);
  vm = NULL;
}

static void *fresh(const dynvm_module_t *module, size_t memory_limit) {
  vm = vm_of(module, memory_limit);
  ok(dynvm_vm_open(vm, 0));
  return vm;
}

struct half {
  double (*function)(float);
  double result;
};

static void call_half(void *data) {
  struct half *half = data;
  half->result = half->function(3.0f);
}

static void modules(const dynvm_loader_t *loader, const dynvm_module_t *module) {
  CHECK(strcmp(dynvm_module_name(module), files[1]) == 0);
  CHECK(strlen(dynvm_module_sha256(module)) == 64);
  CHECK(dynvm_module_abi_version(module) == DYNVM_ABI_0_2_1);
  CHECK(dynvm_module_defines(module, "counts") && !dynvm_module_defines(module, "malloc"));
  CHECK(dynvm_module_import_count(module) == 4 && dynvm_module_import(module, 4) == NULL);
  dynvm_module_t *none = NULL;
  fails(dynvm_module_load_file(loader, "/nonexistent.so", &none), DYNVM_CODE_IO, "/nonexistent.so");
  fails(dynvm_module_load_file(loader, files[3], &none), DYNVM_CODE_NOT_A_PLUGIN, files[3]);
  fails(dynvm_module_load_bytes(loader, "bytes", "nothing", 7, &none), DYNVM_CODE_NOT_A_PLUGIN, "bytes");
  fails(dynvm_module_load_file(loader, NULL, &none), DYNVM_CODE_ARGUMENT, "null");
  fails(dynvm_module_load_file(loader, "\xff", &none), DYNVM_CODE_ARGUMENT, "UTF-8");
  CHECK(none == NULL);
  CHECK(dynvm_hostcall_name(dynvm_hostcall_count()) == NULL);
  dynvm_hostcalls_t *empty = dynvm_hostcalls_new();
  dynvm_vm_config_t *config = dynvm_vm_config_new(empty);
  dynvm_vm_t *refused = NULL;
  fails(dynvm_vm_new(module, config, &refused), DYNVM_CODE_UNKNOWN_IMPORT, "proxy_get_header_map_value");
  dynvm_vm_config_free(config);
  dynvm_hostcalls_free(empty);
}

static void policies(void) {
  dynvm_options_t *options = dynvm_options_new();
  ok(dynvm_options_set_trust_policy_file(options, files[4]));
  dynvm_loader_t *loader = NULL;
  ok(dynvm_loader_new(options, &loader));
  dynvm_module_t *module = NULL;
  fails(dynvm_module_load_file(loader, files[1], &module), DYNVM_CODE_UNTRUSTED, "refused by the trust policy");
  fails(dynvm_options_set_trust_policy(options, "nonsense = 1", "/"), DYNVM_CODE_ARGUMENT, "nonsense");
  dynvm_loader_free(loader);
  ok(dynvm_options_set_trust_policy(options, "[native]\nallow = true\n", "/"));
  dynvm_options_set_interposed(options, DYNVM_INTERPOSE_ALL);
  dynvm_options_set_system_loader(options, true);
  ok(dynvm_loader_new(options, &loader));
  dynvm_options_free(options);
  ok(dynvm_module_load_file(loader, files[2], &module));
  dynvm_loader_free(loader);
  vm = vm_of(module, 0);
  // The system's loader knows the ABI's hostcalls, not those of the host's own.
  fails(dynvm_vm_open(vm, 0), DYNVM_CODE_IMAGE, "undefined symbol: host_double");
  dynvm_vm_free(vm);
  dynvm_module_free(module);
}

static void calls(const dynvm_module_t *module) {
  vm = vm_of(module, 0);
  CHECK(dynvm_vm_function(vm, "counts") == 0 && !dynvm_vm_has_failed(vm));
  logged[0] = 0;
  ok(dynvm_vm_open(vm, 0));
  CHECK(strcmp(logged, "2 constructed\n") == 0);
  fails(dynvm_vm_open(vm, 0), DYNVM_CODE_IMAGE, "opened before");
  CHECK(value("counts") == (uint64_t)1 << 32);
  CHECK(call("_initialize", 0, NULL) && call("_initialize", 0, NULL));
  CHECK((uint32_t)value("counts") == 2);
  CHECK(dynvm_vm_function(vm, "malloc") == 0 && dynvm_vm_function(vm, "proxy_on_tick") == 0);
  CHECK((uint8_t)value("wide_false") == 0 && value("wide_false") != 0);
  const uint64_t garbage = 0xdeadbeef00000000;
  dynvm_function_t sum = dynvm_vm_function(vm, "sum");
  dynvm_result_t returned =
      dynvm_vm_call(vm, sum, garbage | 1, garbage | 2, garbage | 3, garbage | 4, garbage | 5);
  CHECK(returned.code == 0 && returned.value == 15);
  dynvm_prepared_t prepared;
  CHECK(dynvm_vm_prepare(vm, sum, &prepared));
  returned = prepared.call(garbage | 1, garbage | 2, garbage | 3, garbage | 4, garbage | 5, &prepared);
  CHECK(returned.code == 0 && returned.value == 15);
  struct half half = {(double (*)(float))dynvm_vm_function(vm, "half"), 0};
  CHECK(dynvm_vm_call_through(vm, call_half, &half, 0) && half.result == 1.5);
  CHECK(value("time_of_host") == 1);
  CHECK(value("doubled") == 42);
  CHECK(value("seconds") == 7 && value("monotonic") == 5);
  CHECK(value("variable_size") == 5);
  logged[0] = 0;
  CHECK(dynvm_vm_call_in(vm, DYNVM_CALL_TRACED, dynvm_vm_function(vm, "time_of_host"), 0, 0, 0, 0, 0).value == 1);
  CHECK(strcmp(logged, "proxy_get_current_time_nanoseconds/1 proxy_get_current_time_nanoseconds/1\n") == 0);
  CHECK(!dynvm_vm_is_running(vm));
  CHECK((uint32_t)value("bad_pointer") == 6);
  CHECK(value("value_size") == 5);
  CHECK((uint32_t)value("unknown_status") == 10);
  CHECK(dynvm_vm_memory_size(vm) < 1 << 20);
  uint64_t address = dynvm_vm_allocate(vm, 1 << 20, 0);
  CHECK(dynvm_is_readable(address, 1 << 20) && dynvm_is_writable(address, 1 << 20));
  CHECK(!dynvm_is_readable(16, 1) && dynvm_is_readable(0, 0));
  CHECK(dynvm_vm_memory_size(vm) >= 1 << 20);
  logged[0] = 0;
  dynvm_vm_free(vm);
  CHECK(strcmp(logged, "2 destructed\n") == 0);
}

// A function of another VM, of the host, or of no one is not called, and the VM goes on.
static void functions_of_others(const dynvm_module_t *module) {
  dynvm_vm_t *other = vm_of(module, 0);
  ok(dynvm_vm_open(other, 0));
  fresh(module, 0);
  CHECK(call("_initialize", 0, NULL));
  const dynvm_function_t foreign[] = {
      dynvm_vm_function(other, "counts"), (dynvm_function_t)vm_of, 0, UINTPTR_MAX};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    CHECK(dynvm_vm_call(vm, foreign[i], 0, 0, 0, 0, 0).code == DYNVM_CODE_ARGUMENT);
    CHECK(dynvm_vm_call_in(vm, DYNVM_CALL_RESTRICTED, foreign[i], 0, 0, 0, 0, 0).code == DYNVM_CODE_ARGUMENT);
    dynvm_prepared_t prepared;
    CHECK(!dynvm_vm_prepare(vm, foreign[i], &prepared));
  }
  CHECK(!dynvm_vm_has_failed(vm) && (uint32_t)value("counts") == 1);
  dynvm_vm_free(other);
  CHECK(dynvm_vm_call(vm, foreign[0], 0, 0, 0, 0, 0).code == DYNVM_CODE_ARGUMENT);
  dynvm_vm_free(vm);
  vm = vm_of(module, 0);
  CHECK(dynvm_vm_call(vm, foreign[0], 0, 0, 0, 0, 0).code == DYNVM_CODE_ARGUMENT);
  dynvm_vm_free(vm);
}

static void crashes(const dynvm_module_t *module) {
  fresh(module, 0);
  CHECK(!call("crash", 0, NULL));
  failed_with("crash");
  fresh(module, 0);
  CHECK(!call("end", 0, NULL));
  failed_with("aborted");
  fresh(module, 1 << 20);
  CHECK(call("much", 1 << 10, NULL) && !call("much", 4 << 20, NULL));
  failed_with("memory");
  fresh(module, 0);
  CHECK(dynvm_vm_call_in(vm, DYNVM_CALL_RESTRICTED, dynvm_vm_function(vm, "time_of_host"), 0, 0, 0, 0, 0).code == DYNVM_CODE_FAILED);
  failed_with("proxy_get_current_time_nanoseconds");
  fresh(module, 0);
  dynvm_vm_fail(vm, "for a reason");
  failed_with("for a reason");
  dynvm_module_t *restless = NULL;
  dynvm_loader_t *loader = NULL;
  ok(dynvm_loader_new(NULL, &loader));
  ok(dynvm_module_load_file(loader, files[2], &restless));
  vm = vm_of(restless, 0);
  fails(dynvm_vm_open(vm, 0), DYNVM_CODE_FAILED, "proxy_get_current_time_nanoseconds");
  dynvm_vm_free(vm);
  dynvm_module_free(restless);
  dynvm_loader_free(loader);
}

static void *terminate(void *data) {
  usleep(50 * 1000);
  CHECK(dynvm_terminator_terminate(data, 10 * 1000));
  dynvm_terminator_free(data);
  return NULL;
}

static void *free_elsewhere(void *data) {
  dynvm_vm_free(data);
  return NULL;
}

static void *many(void *data) {
  for (int i = 0; i < 20; i++) {
    fresh(data, 0);
    CHECK(value("value_size") == 5);
    dynvm_vm_free(vm);
  }
  return NULL;
}

static void threads(dynvm_module_t *module) {
  pthread_t thread;
  fresh(module, 0);
  pthread_create(&thread, NULL, terminate, dynvm_vm_terminator(vm));
  CHECK(!call("forever", 0, NULL));
  pthread_join(thread, NULL);
  failed_with("terminated");
  // Not while it runs: then the next call fails.
  fresh(module, 0);
  dynvm_terminator_t *terminator = dynvm_vm_terminator(vm);
  CHECK(dynvm_terminator_terminate(terminator, 0));
  dynvm_terminator_free(terminator);
  CHECK(!call("counts", 0, NULL));
  failed_with("terminated");
  for (int i = 0; i < 50; i++) {
    fresh(module, 0);
    CHECK(value("value_size") == 5);
    pthread_create(&thread, NULL, free_elsewhere, vm);
    pthread_join(thread, NULL);
  }
  pthread_t all[8];
  for (int i = 0; i < 8; i++) pthread_create(&all[i], NULL, many, module);
  for (int i = 0; i < 8; i++) pthread_join(all[i], NULL);
}

// A log on the watchdog's thread that is slow, and may free the VM.
struct slow_log {
  sem_t entered, resume, left;
  bool frees;
  atomic_bool gone;
  char text[512];
};

static void on_slow_log(void *data, uint32_t level, const char *text, size_t size) {
  struct slow_log *slow = data;
  if (level != 4) return;
  snprintf(slow->text, sizeof slow->text, "%.*s", (int)size, text);
  sem_post(&slow->entered);
  sem_wait(&slow->resume);
  if (slow->frees) {
    dynvm_vm_free(vm_of_slow_log);
  } else {
    usleep(200 * 1000);
    CHECK(!slow->gone);
  }
  sem_post(&slow->left);
}

static struct slow_log slow;

// A hostcall that lasts until the overrun is being reported.
static uint64_t host_slow_time(uint64_t place) {
  (void)place;
  sem_wait(&slow.entered);
  return 1;
}

static void watchdog(const dynvm_module_t *module) {
  for (int frees = 0; frees < 2; frees++) {
    sem_init(&slow.entered, 0, 0);
    sem_init(&slow.resume, 0, 0);
    sem_init(&slow.left, 0, 0);
    slow.frees = frees;
    slow.gone = false;
    dynvm_hostcalls_t *table = hostcalls();
    ok(dynvm_hostcalls_bind(table, "proxy_get_current_time_nanoseconds", (dynvm_hostcall_t)host_slow_time));
    dynvm_vm_config_t *config = dynvm_vm_config_new(table);
    dynvm_vm_config_set_log(config, on_slow_log, &slow);
    dynvm_vm_config_set_budget(config, 20, DYNVM_BUDGET_REPORT);
    // Without checks, hostcalls go to the function directly.
    dynvm_vm_config_set_check_addresses(config, frees);
    ok(dynvm_vm_new(module, config, &vm));
    ok(dynvm_vm_open(vm, 0));
    CHECK(value("status_of_time") == 1);
    CHECK(strstr(slow.text, "has been in status_of_time for") != NULL);
    // The report is under way, and other VMs do not wait for it.
    dynvm_vm_t *other = NULL;
    ok(dynvm_vm_new(module, config, &other));
    ok(dynvm_vm_open(other, 0));
    dynvm_vm_free(other);
    dynvm_vm_config_free(config);
    dynvm_hostcalls_free(table);
    vm_of_slow_log = vm;
    sem_post(&slow.resume);
    if (!frees) {
      dynvm_vm_free(vm);
      slow.gone = true;
    }
    sem_wait(&slow.left);
    vm = NULL;
  }
}

static bool refuse(void *data, const dynvm_module_t *module) {
  CHECK(dynvm_module_defines(module, "counts"));
  ++*(int *)data;
  return false;
}

static void deployments(const dynvm_loader_t *loader) {
  dynvm_deployment_t *deployment = NULL;
  fails(dynvm_deployment_new(loader, files[3], NULL, NULL, &deployment), DYNVM_CODE_NOT_A_PLUGIN, files[3]);
  ok(dynvm_deployment_new(loader, files[1], NULL, NULL, &deployment));
  dynvm_module_t *first = dynvm_deployment_current(deployment);
  vm = vm_of(first, 0);
  dynvm_module_free(first);
  int tried = 0;
  fails(dynvm_deployment_reload(deployment, NULL, refuse, &tried), DYNVM_CODE_REFUSED, files[1]);
  fails(dynvm_deployment_reload(deployment, files[3], NULL, NULL), DYNVM_CODE_NOT_A_PLUGIN, files[3]);
  CHECK(tried == 1 && dynvm_deployment_version(deployment) == 1 && dynvm_deployment_retained(deployment) == 1);
  ok(dynvm_deployment_reload(deployment, files[2], NULL, NULL));
  CHECK(dynvm_deployment_version(deployment) == 2 && dynvm_deployment_retained(deployment) == 2);
  ok(dynvm_vm_open(vm, 0));
  CHECK(value("value_size") == 5);
  dynvm_vm_free(vm);
  CHECK(dynvm_deployment_retained(deployment) == 1);
  dynvm_deployment_free(deployment);
}

// Returns true; where its load faults, it goes on at `peek_landing`, and returns false.
bool peek(const void *address);
extern const char peek_load[], peek_landing[];
#if defined(__x86_64__)
__asm__(".text\npeek:\npeek_load: movb (%rdi), %al\nmovl $1, %eax\nret\npeek_landing: xorl %eax, %eax\nret\n");
#else
__asm__(".text\npeek:\npeek_load: ldrb w1, [x0]\nmov w0, #1\nret\npeek_landing: mov w0, #0\nret\n");
#endif

static void faults(void) {
  static const dynvm_fault_t table[] = {{peek_load, peek_landing}};
  static dynvm_fault_t others[8];
  CHECK(dynvm_catch_faults(NULL, 0) && dynvm_catch_faults(table, 1) && dynvm_catch_faults(table, 1));
  CHECK(peek(table) && !peek((const void *)16));
  for (int i = 0; i < 8; i++) {
    others[i] = table[0];
    CHECK(dynvm_catch_faults(&others[i], 1) == (i < 7));
  }
  CHECK(dynvm_catch_faults(&others[6], 1) && !peek((const void *)16));
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  files = (const char *const *)argv;
  CHECK(strcmp(dynvm_loader_version(), DYNVM_LOADER_VERSION) == 0);
  dynvm_loader_t *loader = NULL;
  ok(dynvm_loader_new(NULL, &loader));
  dynvm_module_t *module = NULL;
  ok(dynvm_module_load_file(loader, files[1], &module));
  dynvm_module_t *again = dynvm_module_clone(module);
  dynvm_module_free(module);
  modules(loader, again);
  policies();
  functions_of_others(again);
  for (int i = 0; i < 2; i++) {
    prepares = i != 0;
    calls(again);
    crashes(again);
    threads(again);
    watchdog(again);
  }
  faults();
  deployments(loader);
  dynvm_module_free(again);
  dynvm_loader_free(loader);
  dynvm_options_free(NULL);
  dynvm_module_free(NULL);
  dynvm_vm_free(NULL);
  dynvm_error_free(NULL);
  if (failures == 0) printf("all as promised\n");
  return failures == 0 ? 0 : 1;
}
