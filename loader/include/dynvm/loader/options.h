// SPDX-License-Identifier: Apache-2.0
//
// Loaders: options of images, and the trust policy.

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
  /** Destructors of static variables run when a VM that has not failed ends. */
  DYNVM_EDIT_STATIC_DESTRUCTORS = 1 << 2,
  /** Constructors run with crash containment, on the VM's thread, and can make hostcalls. */
  DYNVM_EDIT_CONSTRUCTORS = 1 << 3,
  /** Standard output and error that the image itself writes go to the VM's log. */
  DYNVM_EDIT_OUTPUT = 1 << 4,
  /** Unique symbols of C++ are private to the image. */
  DYNVM_EDIT_UNIQUE_SYMBOLS = 1 << 5,
  /** Calls of the image to the C library or libstdc++ for the time get the host's time. */
  DYNVM_EDIT_CLOCK = 1 << 6,
  /** Calls of the image to the C library for random bytes get the host's. */
  DYNVM_EDIT_RANDOM = 1 << 7,
  /** Calls of the image to the C library for environment variables get the VM's first. */
  DYNVM_EDIT_ENVIRONMENT = 1 << 8,
  /** All of them. */
  DYNVM_EDIT_ALL = (1 << 9) - 1
};

/**
 * Options with their defaults: crash containment and private heap on, all edits, no trust policy.
 * [any-thread]
 */
dynvm_options_t *dynvm_options_new(void);

/** Frees options. [one-thread] */
void dynvm_options_free(dynvm_options_t *options);

/**
 * Contains crashes of plugins, on x86-64 Linux. Installs handlers for SIGSEGV, SIGBUS, SIGFPE and
 * SIGILL when the first VM is opened; they forward signals that plugins did not cause. Default
 * true. [one-thread]
 */
void dynvm_options_set_contain_crashes(dynvm_options_t *options, bool contain_crashes);

/** Gives each VM a private heap instead of the C library's. Default true. [one-thread] */
void dynvm_options_set_heap(dynvm_options_t *options, bool heap);

/** Selects the changes to the private copy of an image: DYNVM_EDIT_*. [one-thread] */
void dynvm_options_set_edits(dynvm_options_t *options, uint32_t edits);

/**
 * Sets the directory for private copies, which are removed as soon as they are open. It must allow
 * execution. Default: the system's directory for temporary files. [one-thread]
 */
dynvm_error_t *dynvm_options_set_image_dir(dynvm_options_t *options, const char *directory);

/** Keeps private copies while they are in use, for debuggers. Default false. [one-thread] */
void dynvm_options_set_keep_images(dynvm_options_t *options, bool keep);

/**
 * Sets a trust policy from a file (docs/trust-policy.md). Without a policy every native plugin is
 * allowed. [one-thread]
 */
dynvm_error_t *dynvm_options_set_trust_policy_file(dynvm_options_t *options, const char *path);

/**
 * Sets a trust policy from text in TOML. Relative paths in it start at `base_directory`.
 * [one-thread]
 */
dynvm_error_t *dynvm_options_set_trust_policy(
    dynvm_options_t *options, const char *text, const char *base_directory);

/**
 * Creates a loader. Null options are the defaults; the caller keeps ownership of options. The
 * loader allows native plugins, subject to the trust policy. [any-thread]
 */
dynvm_error_t *dynvm_loader_new(const dynvm_options_t *options, dynvm_loader_t **out);

/** Frees a loader. [any-thread] */
void dynvm_loader_free(dynvm_loader_t *loader);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_OPTIONS_H
