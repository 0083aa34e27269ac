// SPDX-License-Identifier: Apache-2.0
//
// The smallest host in C: loads a native plugin, runs one request through it, and prints the
// result.
//
//   cargo build --release -p dynvm-capi
//   cc -I loader/include -I plugin-abi/include -o c-host examples/hosts/c-embedding/host.c
//      target/release/libdynvm_loader.a -lpthread -ldl -lm -lgcc_s           (one command)
//   ./c-host plugin.so [configuration]
//
// With a plugin that is part of the program, which the crate dynvm-link has written to dist, the
// compiler gets -I dist -DLINKED_HEADER='"c-headers.h"' -DLINKED=dvn_c_headers and, before the
// loader's library, dist/libdvn_c_headers.a; then PLUGIN is its name.
//
// It provides the hostcalls that header plugins need: log, request headers, configuration. All
// others return UNIMPLEMENTED; an import of an unbound hostcall would be refused before the plugin
// runs.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynvm/callbacks.h"
#include "dynvm/loader.h"
#include "dynvm/types.h"

#ifdef LINKED
#include LINKED_HEADER
#endif

enum { ROOT = 1, STREAM = 2, MOST_HEADERS = 32 };

typedef struct {
  char *name;
  char *value;
} header_t;

// The request, and the VM that processes it. A host with threads keeps one of these for each.
static header_t headers[MOST_HEADERS];
static size_t header_count;
static const char *configuration = "";
static dynvm_vm_t *vm;

static char *copy(const void *bytes, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL) abort();
  if (size > 0) memcpy(text, bytes, size);
  text[size] = 0;
  return text;
}

static void append(const char *name, size_t name_size, const char *value, size_t value_size) {
  if (header_count == MOST_HEADERS) return;
  headers[header_count].name = copy(name, name_size);
  headers[header_count++].value = copy(value, value_size);
}

static size_t find(const char *name, size_t size) {
  size_t index = 0;
  while (index < header_count && (strlen(headers[index].name) != size ||
                                  memcmp(headers[index].name, name, size) != 0)) {
    index++;
  }
  return index;
}

// Returns bytes to the plugin, in memory that the plugin frees.
static uint64_t give(const char *bytes, size_t size, uint64_t return_data, uint64_t return_size) {
  uint64_t address = 0;
  if (size > 0) {
    address = dynvm_vm_allocate(vm, size, 0);
    if (address == 0) return PROXY_STATUS_INTERNAL_FAILURE;
    memcpy((void *)(uintptr_t)address, bytes, size);
  }
  *(uint64_t *)(uintptr_t)return_data = address;
  *(uint64_t *)(uintptr_t)return_size = size;
  return PROXY_STATUS_OK;
}

// Hostcalls: the parameters are those of dynvm/hostcalls.h, in 64 bits each.

static uint64_t proxy_log_(uint64_t level, uint64_t message, uint64_t size) {
  printf("log %u: %.*s\n", (unsigned)level, (int)size, (const char *)(uintptr_t)message);
  return PROXY_STATUS_OK;
}

static uint64_t get_log_level(uint64_t return_level) {
  *(uint32_t *)(uintptr_t)return_level = PROXY_LOG_LEVEL_INFO;
  return PROXY_STATUS_OK;
}

static uint64_t get_header(
    uint64_t map, uint64_t key, uint64_t key_size, uint64_t return_value, uint64_t return_size) {
  if (map != PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS) return PROXY_STATUS_NOT_FOUND;
  size_t index = find((const char *)(uintptr_t)key, key_size);
  if (index == header_count) return PROXY_STATUS_NOT_FOUND;
  const char *value = headers[index].value;
  return give(value, strlen(value), return_value, return_size);
}

static uint64_t add_header(
    uint64_t map, uint64_t key, uint64_t key_size, uint64_t value, uint64_t value_size) {
  if (map != PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS) return PROXY_STATUS_BAD_ARGUMENT;
  append((const char *)(uintptr_t)key, key_size, (const char *)(uintptr_t)value, value_size);
  return PROXY_STATUS_OK;
}

static uint64_t remove_header(uint64_t map, uint64_t key, uint64_t key_size) {
  if (map != PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS) return PROXY_STATUS_BAD_ARGUMENT;
  size_t index = find((const char *)(uintptr_t)key, key_size);
  if (index == header_count) return PROXY_STATUS_OK;
  free(headers[index].name);
  free(headers[index].value);
  headers[index] = headers[--header_count];
  return PROXY_STATUS_OK;
}

static uint64_t replace_header(
    uint64_t map, uint64_t key, uint64_t key_size, uint64_t value, uint64_t value_size) {
  uint64_t status = remove_header(map, key, key_size);
  return status == PROXY_STATUS_OK ? add_header(map, key, key_size, value, value_size) : status;
}

static uint64_t get_buffer(
    uint64_t type, uint64_t start, uint64_t size, uint64_t return_data, uint64_t return_size) {
  size_t length = strlen(configuration);
  if (type != PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION || length == 0) return PROXY_STATUS_NOT_FOUND;
  start = start < length ? start : length;
  size = size < length - start ? size : length - start;
  return give(configuration + start, size, return_data, return_size);
}

static uint64_t unimplemented(void) { return PROXY_STATUS_UNIMPLEMENTED; }

static const struct {
  const char *name;
  dynvm_hostcall_t function;
} HOSTCALLS[] = {
    {"proxy_log", (dynvm_hostcall_t)proxy_log_},
    {"proxy_get_log_level", (dynvm_hostcall_t)get_log_level},
    {"proxy_get_header_map_value", (dynvm_hostcall_t)get_header},
    {"proxy_add_header_map_value", (dynvm_hostcall_t)add_header},
    {"proxy_remove_header_map_value", (dynvm_hostcall_t)remove_header},
    {"proxy_replace_header_map_value", (dynvm_hostcall_t)replace_header},
    {"proxy_get_buffer_bytes", (dynvm_hostcall_t)get_buffer},
};

// Ends the program with an error.
static void check(dynvm_error_t *error) {
  if (error == NULL) return;
  fprintf(stderr, "error: %s\n", dynvm_error_text(error));
  dynvm_error_free(error);
  exit(3);
}

// Calls a function of the plugin; returns `missing` if the plugin does not export it.
static uint64_t call(const char *name, uint64_t a, uint64_t b, uint64_t c, uint64_t missing) {
  dynvm_function_t function = dynvm_vm_function(vm, name);
  if (function == 0) return missing;
  dynvm_result_t result = dynvm_vm_call(vm, function, a, b, c, 0, 0);
  if (result.code != 0) check(dynvm_vm_failure(vm));
  return result.value;
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: %s PLUGIN.so [CONFIGURATION]\n", argv[0]);
    return 2;
  }
  if (argc == 3) configuration = argv[2];

  dynvm_module_t *module;
#ifdef LINKED
  check(dynvm_linked_register(&LINKED));
  check(dynvm_module_linked(argv[1], &module));
#else
  dynvm_loader_t *loader;
  check(dynvm_loader_new(NULL, &loader));
  check(dynvm_module_load_file(loader, argv[1], &module));
  dynvm_loader_free(loader);
#endif

  dynvm_hostcalls_t *hostcalls = dynvm_hostcalls_new();
  for (size_t i = 0; i < sizeof HOSTCALLS / sizeof *HOSTCALLS; i++) {
    check(dynvm_hostcalls_bind(hostcalls, HOSTCALLS[i].name, HOSTCALLS[i].function));
  }
  for (size_t i = 0; i < dynvm_hostcall_count(); i++) {
    const char *name = dynvm_hostcall_name(i);
    if (dynvm_hostcalls_has(hostcalls, name)) continue;
    check(dynvm_hostcalls_bind(hostcalls, name, (dynvm_hostcall_t)unimplemented));
  }
  dynvm_vm_config_t *config = dynvm_vm_config_new(hostcalls);
  check(dynvm_vm_new(module, config, &vm));
  dynvm_vm_config_free(config);
  dynvm_hostcalls_free(hostcalls);
  dynvm_module_free(module);

  check(dynvm_vm_open(vm, 0));
  const char *start = dynvm_vm_function(vm, "_initialize") ? "_initialize" : "_start";
  call(start, 0, 0, 0, 0);
  call("proxy_on_context_create", ROOT, 0, 0, 0);
  // Only eight bits of a bool are defined.
  if ((uint8_t)call("proxy_on_vm_start", ROOT, 0, 0, 1) == 0 ||
      (uint8_t)call("proxy_on_configure", ROOT, strlen(configuration), 0, 1) == 0) {
    fprintf(stderr, "error: the plugin refuses its configuration\n");
    return 1;
  }

  append(":method", 7, "GET", 3);
  append(":path", 5, "/hello", 6);
  append(":authority", 10, "example.com", 11);
  call("proxy_on_context_create", STREAM, ROOT, 0, 0);
  uint32_t status = (uint32_t)call("proxy_on_request_headers", STREAM, header_count, 1, 0);
  printf("action %u\n", status);
  for (size_t i = 0; i < header_count; i++) printf("%s: %s\n", headers[i].name, headers[i].value);
  call("proxy_on_done", STREAM, 0, 0, 0);
  call("proxy_on_log", STREAM, 0, 0, 0);
  call("proxy_on_delete", STREAM, 0, 0, 0);

  dynvm_vm_free(vm);
  for (size_t i = 0; i < header_count; i++) {
    free(headers[i].name);
    free(headers[i].value);
  }
  return 0;
}
