// SPDX-License-Identifier: Apache-2.0
//
// The descriptor: the metadata of a native plugin. Optional: a plugin without one works, with the
// defaults named below.
//
// It is a data symbol, not a function, so that it can be read from the file before any decision to
// load it, without running code of the plugin. Therefore every pointer in it points into the
// plugin's own image and every string ends with a NUL: the linker then leaves relative relocations,
// and a reader finds the strings at the addends.
//
// It describes and grants nothing. A host checks trust on the bytes of the file, and trusts the
// descriptor no more than the rest of them.
//
// A wasm module has no descriptor: its metadata is in custom sections. The same source compiles to
// wasm with the object left out or unused.
//
//     const dynvm_plugin_descriptor_t dynvm_plugin_descriptor = {
//         sizeof(dynvm_plugin_descriptor_t), DYNVM_VERSION, DYNVM_STATE_PER_IMAGE, 0,
//         "my-plugin", "1.2.3", NULL, NULL};

#ifndef DYNVM_DESCRIPTOR_H
#define DYNVM_DESCRIPTOR_H

#include <stddef.h>
#include <stdint.h>

#include "macros.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where a plugin keeps its state, which decides how many VMs one image in memory can serve. */
typedef uint32_t dynvm_state_model_t;
enum {
  /**
   * In plain statics: one VM per image. Every VM gets a private image. The default, and always
   * right.
   */
  DYNVM_STATE_PER_IMAGE = 0,
  /**
   * In thread-locals only: one VM per thread. A host may share one image between threads, with at
   * most one VM on each; it still runs the start functions of one image one after the other.
   */
  DYNVM_STATE_PER_THREAD = 1
};

/**
 * Offsets are those of 64-bit platforms. New members come at the end; a reader checks `struct_size`
 * before it reads one, and ignores bytes after the members it knows.
 */
typedef struct dynvm_plugin_descriptor_t {
  /** Offset 0. sizeof of this struct as the plugin knows it. */
  uint32_t struct_size;
  /** Offset 4. DYNVM_VERSION of the headers that the plugin was built with. */
  uint32_t header_version;
  /** Offset 8. A reader treats an unknown value as DYNVM_STATE_PER_IMAGE. */
  dynvm_state_model_t state_model;
  /** Offset 12. Reserved, 0. A reader ignores unknown bits. */
  uint32_t flags;
  /** Offset 16. The name of the plugin in UTF-8, for logs and tools; not null. */
  const char *name;
  /** Offset 24. The version of the plugin, free text in UTF-8, or null. */
  const char *version;
  /** Offset 32. The SDK and its version, free text in UTF-8, or null. */
  const char *sdk;
  /**
   * Offset 40. The ids of the extensions that the plugin would use, ending with a null pointer; or
   * null for none. They are wanted, not required: a host that lacks one says so to its operator and
   * loads the plugin.
   */
  const char *const *wanted_extensions;
} dynvm_plugin_descriptor_t;

DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, struct_size, 0)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, header_version, 4)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, state_model, 8)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, flags, 12)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, name, 16)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, version, 24)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, sdk, 32)
DYNVM_ASSERT_OFFSET(dynvm_plugin_descriptor_t, wanted_extensions, 40)
DYNVM_ASSERT_SIZE(dynvm_plugin_descriptor_t, 48)

/**
 * The descriptor of a plugin, which the plugin defines. Constant for the life of the image.
 * [any-thread]
 */
extern DYNVM_EXPORT const dynvm_plugin_descriptor_t dynvm_plugin_descriptor;

#ifdef __cplusplus
}
#endif

#endif // DYNVM_DESCRIPTOR_H
