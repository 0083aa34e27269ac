// SPDX-License-Identifier: Apache-2.0
//
// Modules: loaded and checked plugins. None of their code runs before dynvm_vm_open.

#ifndef DYNVM_LOADER_MODULE_H
#define DYNVM_LOADER_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A module. Immutable; many VMs on many threads can run it. */
typedef struct dynvm_module dynvm_module_t;

/** Versions of the Proxy-Wasm ABI. */
typedef uint32_t dynvm_abi_version_t;
enum {
  DYNVM_ABI_0_1_0 = 1,
  DYNVM_ABI_0_2_0 = 2,
  DYNVM_ABI_0_2_1 = 3
};

/**
 * Loads a file: a shared object, or a fat plugin with an image for this machine. The file is read
 * once, here; replacing it afterwards has no effect. [any-thread]
 */
dynvm_error_t *dynvm_module_load_file(
    const dynvm_loader_t *loader, const char *path, dynvm_module_t **out);

/**
 * Loads from memory, which is copied. The name is used in messages. A trust policy with rules about
 * files refuses the artifact. [any-thread]
 */
dynvm_error_t *dynvm_module_load_bytes(
    const dynvm_loader_t *loader, const char *name, const void *bytes, size_t size,
    dynvm_module_t **out);

/** Another reference to the same module. [any-thread] */
dynvm_module_t *dynvm_module_clone(const dynvm_module_t *module);

/** Frees a reference. [any-thread] */
void dynvm_module_free(dynvm_module_t *module);

/** The path of the file, or the name passed in. Valid until the module is freed. [any-thread] */
const char *dynvm_module_name(const dynvm_module_t *module);

/** SHA-256 of the artifact, in hexadecimal; empty if its file was overwritten before this was first asked for. Valid until the module is
 * freed. [any-thread] */
const char *dynvm_module_sha256(const dynvm_module_t *module);

/** The newest ABI version that the plugin declares. [any-thread] */
dynvm_abi_version_t dynvm_module_abi_version(const dynvm_module_t *module);

/**
 * True if the image itself defines a function or object of this name; its libraries do not count.
 * [any-thread]
 */
bool dynvm_module_defines(const dynvm_module_t *module, const char *name);

/** The number of hostcalls that the plugin imports. [any-thread] */
size_t dynvm_module_import_count(const dynvm_module_t *module);

/**
 * The name of an imported hostcall, a static string; null if `index` is not below the count.
 * [any-thread]
 */
const char *dynvm_module_import(const dynvm_module_t *module, size_t index);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_MODULE_H
