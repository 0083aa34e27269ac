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

/** Functions of the C library that the host replaces in an image; dynvm_options_set_interposed. */
enum {
  /** Standard output and error that the image itself writes go to the VM's log. */
  DYNVM_INTERPOSE_OUTPUT = 1 << 0,
  /** Calls of the image for the time get the host's time. */
  DYNVM_INTERPOSE_CLOCK = 1 << 1,
  /** Calls of the image for random bytes get the host's. */
  DYNVM_INTERPOSE_RANDOM = 1 << 2,
  /** Calls of the image for environment variables get the VM's first. */
  DYNVM_INTERPOSE_ENVIRONMENT = 1 << 3,
  /** All of them. */
  DYNVM_INTERPOSE_ALL = (1 << 4) - 1
};

/**
 * Options with their defaults: crash containment, private heap and DYNVM_INTERPOSE_ALL on, no trust policy.
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

/** Selects the functions that are replaced: DYNVM_INTERPOSE_*. Default all. [one-thread] */
void dynvm_options_set_interposed(dynvm_options_t *options, uint32_t functions);

/** Tells debuggers about images, so that gdb finds their symbols. Default false. [one-thread] */
void dynvm_options_set_debugger(dynvm_options_t *options, bool debugger);

/**
 * Maps the plugin's file instead of a private copy, so that perf and valgrind find its symbols. For
 * development: a file that is overwritten in place changes running VMs. Default false.
 * [one-thread]
 */
void dynvm_options_set_map_file(dynvm_options_t *options, bool map_file);

/**
 * Leaves plugins to the system's loader (dlopen): one image for the process, so one VM of a plugin
 * at a time, without containment, private heap and replaced functions. For plugins that cannot be
 * loaded otherwise. Default false. [one-thread]
 */
void dynvm_options_set_system_loader(dynvm_options_t *options, bool system_loader);

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
