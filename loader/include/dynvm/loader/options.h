// SPDX-License-Identifier: Apache-2.0
//
// The loader: what may be loaded, and how it runs.

#ifndef DYNVM_LOADER_OPTIONS_H
#define DYNVM_LOADER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Options of a loader. */
typedef struct dynvm_options dynvm_options_t;

/** A loader. Immutable. */
typedef struct dynvm_loader dynvm_loader_t;

/** Changes to the private copy of an image; dynvm_options_set_edits. */
enum {
  /** abort, exit, assert and the stack protector end the VM, not the process. */
  DYNVM_EDIT_EXITS = 1 << 0,
  /** Destructors of thread-local variables run when the VM ends. */
  DYNVM_EDIT_THREAD_DESTRUCTORS = 1 << 1,
  /** Destructors of static variables run when the VM ends well. */
  DYNVM_EDIT_STATIC_DESTRUCTORS = 1 << 2,
  /** Constructors run guarded, on the VM's thread, when hostcalls can be made. */
  DYNVM_EDIT_CONSTRUCTORS = 1 << 3,
  /** What the image writes to standard output and error itself goes to the VM's log. */
  DYNVM_EDIT_OUTPUT = 1 << 4,
  /** Unique symbols of C++ are the image's own. */
  DYNVM_EDIT_UNIQUE_SYMBOLS = 1 << 5,
  /** The time that the image asks the C library or libstdc++ for is the host's. */
  DYNVM_EDIT_CLOCK = 1 << 6,
  /** The random bytes that the image asks the C library for are the host's. */
  DYNVM_EDIT_RANDOM = 1 << 7,
  /** The environment variables that the image asks the C library for are first the VM's. */
  DYNVM_EDIT_ENVIRONMENT = 1 << 8,
  /** All of them. */
  DYNVM_EDIT_ALL = (1 << 9) - 1
};

/** Options with their defaults: guard and heap on, all edits, no trust policy. [any-thread] */
dynvm_options_t *dynvm_options_new(void);

/** Frees options. [one-thread] */
void dynvm_options_free(dynvm_options_t *options);

/**
 * Whether crashes of plugins are contained, on x86-64 Linux. Installs handlers for SIGSEGV, SIGBUS,
 * SIGFPE and SIGILL when the first VM is opened, which pass on what is not a plugin's. Default true.
 * [one-thread]
 */
void dynvm_options_set_contain_crashes(dynvm_options_t *options, bool contain_crashes);

/** Whether each VM has a heap of its own in place of the C library's. Default true. [one-thread] */
void dynvm_options_set_heap(dynvm_options_t *options, bool heap);

/** Which changes are made to the private copy of an image: DYNVM_EDIT_*. [one-thread] */
void dynvm_options_set_edits(dynvm_options_t *options, uint32_t edits);

/**
 * The directory for private copies, which are removed as soon as they are open. It must allow
 * execution. Default: the system's for temporary files. [one-thread]
 */
dynvm_error_t *dynvm_options_set_image_dir(dynvm_options_t *options, const char *directory);

/** Whether private copies are kept while they are in use, for debuggers. Default false. [one-thread] */
void dynvm_options_set_keep_images(dynvm_options_t *options, bool keep);

/**
 * What may be loaded: a trust policy file (docs/trust-policy.md). Without one, whatever the host
 * hands in. [one-thread]
 */
dynvm_error_t *dynvm_options_set_trust_policy_file(dynvm_options_t *options, const char *path);

/**
 * The same from text in TOML. Relative paths in it start at `base_directory`. [one-thread]
 */
dynvm_error_t *dynvm_options_set_trust_policy(
    dynvm_options_t *options, const char *text, const char *base_directory);

/**
 * A loader. Options may be null, for the defaults, and stay the caller's. Native plugins are allowed:
 * that is what this API is for; a trust policy says which. [any-thread]
 */
dynvm_error_t *dynvm_loader_new(const dynvm_options_t *options, dynvm_loader_t **out);

/** Frees a loader. [any-thread] */
void dynvm_loader_free(dynvm_loader_t *loader);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_OPTIONS_H
