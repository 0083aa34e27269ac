// SPDX-License-Identifier: Apache-2.0
//
// Plugins that are part of the program. The crate dynvm-link writes a static library and a header
// for each, which has its description as a dynvm_linked_t.

#ifndef DYNVM_LOADER_LINKED_H
#define DYNVM_LOADER_LINKED_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An exported function or object: its name in the plugin's source. */
typedef struct {
  const char *name;
  const void *address;
} dynvm_linked_export_t;

/** Consecutive variables, and what they hold when the program starts; null: zeros. */
typedef struct {
  const void *block;
  const void *initial;
  size_t size;
} dynvm_linked_variables_t;

/** One copy of a plugin. */
typedef struct {
  /** Its code. */
  const void *text_start;
  const void *text_stop;
  const dynvm_linked_export_t *exports;
  size_t export_count;
  /** Its statics; none if VMs share them. */
  const dynvm_linked_variables_t *statics;
  size_t static_count;
  /** The calling thread's block of its thread-local variables; null without any. */
  void *(*thread_locals)(void);
  const void *thread_locals_initial;
  size_t thread_locals_size;
  /** Arrays of addresses of functions. */
  const void *constructors;
  size_t constructor_count;
  const void *destructors;
  size_t destructor_count;
} dynvm_linked_slot_t;

/** A plugin. The generated header defines one. */
typedef struct {
  /** sizeof(dynvm_linked_t), by which the library knows the header's version. */
  size_t struct_size;
  const char *name;
  uint8_t sha256[32];
  size_t size;
  dynvm_abi_version_t abi_version;
  /** A dynvm_state_model_t. */
  uint32_t state_model;
  /** The names that it leaves undefined. */
  const char *const *imports;
  size_t import_count;
  const dynvm_linked_slot_t *slots;
  size_t slot_count;
} dynvm_linked_t;

/**
 * Makes a linked plugin known by its name, once in the process. The description stays as it is for
 * ever. An error if another plugin has the name. [any-thread]
 */
dynvm_error_t *dynvm_linked_register(const dynvm_linked_t *plugin);

/**
 * The module of the linked plugin with this name. An error names those that are registered. No
 * trust policy applies, since the plugin is as trusted as the program. [any-thread]
 */
dynvm_error_t *dynvm_module_linked(const char *name, dynvm_module_t **out);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_LINKED_H
