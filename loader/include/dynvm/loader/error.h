// SPDX-License-Identifier: Apache-2.0
//
// Errors.

#ifndef DYNVM_LOADER_ERROR_H
#define DYNVM_LOADER_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An error. Immutable. */
typedef struct dynvm_error dynvm_error_t;

/** The kind of an error. Later versions may add numbers. */
typedef uint32_t dynvm_code_t;
enum {
  /** An argument is invalid: not UTF-8, an unknown name, an option out of range. */
  DYNVM_CODE_ARGUMENT = 1,
  /** A file cannot be read. */
  DYNVM_CODE_IO = 2,
  /** The artifact is not a plugin, damaged, for another machine, or of an unknown ABI version. */
  DYNVM_CODE_NOT_A_PLUGIN = 3,
  /** The plugin imports hostcalls that its ABI version, or this host, does not have. */
  DYNVM_CODE_UNKNOWN_IMPORT = 4,
  /** The trust policy refuses the artifact, or native plugins are not allowed. */
  DYNVM_CODE_UNTRUSTED = 5,
  /** The system rejects the image: a library is missing, a directory does not allow execution. */
  DYNVM_CODE_IMAGE = 6,
  /** The plugin failed, now or before. */
  DYNVM_CODE_FAILED = 7,
  /** The host tried a new version and refused it. */
  DYNVM_CODE_REFUSED = 8,
  /** A bug in the loader. */
  DYNVM_CODE_INTERNAL = 9
};

/** The kind of the error. [any-thread] */
dynvm_code_t dynvm_error_code(const dynvm_error_t *error);

/**
 * The text: the file or plugin, the fact, and the remedy. It may have several lines, and does not
 * end with a newline. Valid until the error is freed. [any-thread]
 */
const char *dynvm_error_text(const dynvm_error_t *error);

/** Frees an error. [any-thread] */
void dynvm_error_free(dynvm_error_t *error);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_ERROR_H
