// Two copies of the loader in one process, one of which is closed and opened again. Arguments: two files of the library, a plugin.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynvm/loader.h"

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

// A copy of the library, with a VM.
struct copy {
  void *library;
  dynvm_loader_t *loader;
  dynvm_module_t *module;
  dynvm_vm_t *vm;
  size_t logs;
};

static struct copy copies[2];

static void *symbol(const struct copy *copy, const char *name) {
  void *found = dlsym(copy->library, name);
  CHECK(found != NULL);
  return found;
}

// The function of a copy.
#define OF(copy, name) ((__typeof__(name) *)symbol(copy, #name))

static uint64_t call(const struct copy *copy, const char *name, dynvm_code_t code) {
  dynvm_function_t function = OF(copy, dynvm_vm_function)(copy->vm, name);
  dynvm_result_t returned = OF(copy, dynvm_vm_call)(copy->vm, function, 0, 0, 0, 0, 0);
  CHECK(returned.code == code);
  return returned.value;
}

static uint64_t log_of_first(uint64_t level, uint64_t text, uint64_t size) {
  (void)level, (void)text, (void)size;
  copies[0].logs++;
  return 0;
}

static uint64_t log_of_second(uint64_t level, uint64_t text, uint64_t size) {
  (void)level, (void)text, (void)size;
  copies[1].logs++;
  return 0;
}

static uint64_t time_of_second(uint64_t place) {
  *(uint64_t *)(uintptr_t)place = 1234567890123;
  return 0;
}

// Calls a VM of the other copy before it returns.
static uint64_t time_of_first(uint64_t place) {
  CHECK((uint32_t)call(&copies[1], "time_of_host", 0) == 1);
  *(uint64_t *)(uintptr_t)place = 5;
  return 0;
}

static uint64_t nothing(uint64_t argument) {
  (void)argument;
  return 1;
}

static void open_copy(struct copy *copy, const char *library, const char *plugin, dynvm_hostcall_t log, dynvm_hostcall_t time) {
  copy->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  CHECK(copy->library != NULL);
  CHECK(OF(copy, dynvm_loader_new)(NULL, &copy->loader) == NULL);
  CHECK(OF(copy, dynvm_module_load_file)(copy->loader, plugin, &copy->module) == NULL);
  dynvm_hostcalls_t *table = OF(copy, dynvm_hostcalls_new)();
  CHECK(OF(copy, dynvm_hostcalls_bind)(table, "proxy_log", log) == NULL);
  CHECK(OF(copy, dynvm_hostcalls_bind)(table, "proxy_get_current_time_nanoseconds", time) == NULL);
  CHECK(OF(copy, dynvm_hostcalls_bind)(table, "proxy_get_header_map_value", (dynvm_hostcall_t)nothing) == NULL);
  CHECK(OF(copy, dynvm_hostcalls_bind)(table, "proxy_set_tick_period_milliseconds", (dynvm_hostcall_t)nothing) == NULL);
  CHECK(OF(copy, dynvm_hostcalls_bind_own)(table, "host_double", 1, (dynvm_hostcall_t)nothing) == NULL);
  dynvm_vm_config_t *config = OF(copy, dynvm_vm_config_new)(table);
  copy->logs = 0;
  CHECK(OF(copy, dynvm_vm_new)(copy->module, config, &copy->vm) == NULL);
  CHECK(OF(copy, dynvm_vm_open)(copy->vm, 0) == NULL);
  OF(copy, dynvm_vm_config_free)(config);
  OF(copy, dynvm_hostcalls_free)(table);
  CHECK(copy->logs == 1);
}

static void close_copy(struct copy *copy) {
  OF(copy, dynvm_vm_free)(copy->vm);
  OF(copy, dynvm_module_free)(copy->module);
  OF(copy, dynvm_loader_free)(copy->loader);
  dlclose(copy->library);
}

int main(int count, char **arguments) {
  CHECK(count == 4);
  const char *const plugin = arguments[3];
  open_copy(&copies[0], arguments[1], plugin, (dynvm_hostcall_t)log_of_first, (dynvm_hostcall_t)time_of_first);
  open_copy(&copies[1], arguments[2], plugin, (dynvm_hostcall_t)log_of_second, (dynvm_hostcall_t)time_of_second);
  // Each plugin is bound to its own loader, also where one's hostcall calls the other's plugin.
  CHECK(copies[0].logs == 1 && copies[1].logs == 1);
  CHECK((uint32_t)call(&copies[1], "time_of_host", 0) == 1);
  CHECK((uint32_t)call(&copies[0], "time_of_host", 0) == 0);
  // A crash of one's plugin is contained, whichever copy's handlers came first.
  CHECK(OF(&copies[0], dynvm_vm_has_failed)(copies[0].vm) == false);
  call(&copies[0], "crash", DYNVM_CODE_FAILED);
  CHECK(OF(&copies[0], dynvm_vm_has_failed)(copies[0].vm));
  CHECK((uint32_t)call(&copies[1], "time_of_host", 0) == 1);
  // One is unloaded and loaded again.
  for (int i = 0; i < 3; i++) {
    close_copy(&copies[0]);
    CHECK((uint32_t)call(&copies[1], "time_of_host", 0) == 1);
    open_copy(&copies[0], arguments[1], plugin, (dynvm_hostcall_t)log_of_first, (dynvm_hostcall_t)time_of_first);
    CHECK((uint32_t)call(&copies[0], "time_of_host", 0) == 0);
    call(&copies[0], "crash", DYNVM_CODE_FAILED);
  }
  close_copy(&copies[0]);
  call(&copies[1], "crash", DYNVM_CODE_FAILED);
  close_copy(&copies[1]);
  puts("independent");
  return 0;
}
