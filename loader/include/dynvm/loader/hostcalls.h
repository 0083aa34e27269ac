// SPDX-License-Identifier: Apache-2.0
//
// Hostcalls: functions of the host, bound to the names of the ABI.

#ifndef DYNVM_LOADER_HOSTCALLS_H
#define DYNVM_LOADER_HOSTCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A table of the host's functions. */
typedef struct dynvm_hostcalls dynvm_hostcalls_t;

/**
 * A function of the host, cast to this type. It is
 *
 *     uint64_t function(uint64_t, ...)
 *
 * not variadic, with the hostcall's parameters (dynvm/hostcalls.h) in order, each widened to 64
 * bits: numbers with zeros, a bool to 0 or 1, addresses unchanged. The low 32 bits of the result
 * are the status. It is called on the VM's thread, inside dynvm_vm_call or dynvm_vm_open.
 *
 * The loader has checked the addresses: bytes that the plugin passes can be read, and places for
 * results can be written; otherwise the plugin gets INVALID_MEMORY_ACCESS and the function is not
 * called. The place for a pointer or a size has 8 bytes.
 *
 * It must not unwind: a C++ exception is caught inside it, or ends the process.
 */
typedef void (*dynvm_hostcall_t)(void);

/** A table without functions. [any-thread] */
dynvm_hostcalls_t *dynvm_hostcalls_new(void);

/** Frees a table. VMs created with it have their own copy. [one-thread] */
void dynvm_hostcalls_free(dynvm_hostcalls_t *hostcalls);

/**
 * Binds a hostcall; a null function unbinds it. Fails with DYNVM_CODE_ARGUMENT if no version of the
 * ABI has a hostcall of this name. [one-thread]
 */
dynvm_error_t *dynvm_hostcalls_bind(
    dynvm_hostcalls_t *hostcalls, const char *name, dynvm_hostcall_t function);

/**
 * Binds a function that no version of the ABI has, of at most 12 parameters: the plugin's undefined
 * symbol of this name, even if a library defines one. Parameters are integers or pointers, and
 * arrive as the plugin passed them: the upper half of a narrower one is undefined, and addresses are
 * not looked at. It returns an integer, a pointer or nothing. At most 16 such functions can be
 * bound. [one-thread]
 */
dynvm_error_t *dynvm_hostcalls_bind_own(
    dynvm_hostcalls_t *hostcalls, const char *name, size_t parameters, dynvm_hostcall_t function);

/** True if a hostcall is bound. [one-thread] */
bool dynvm_hostcalls_has(const dynvm_hostcalls_t *hostcalls, const char *name);

/** The number of hostcalls in all versions of the ABI. [any-thread] */
size_t dynvm_hostcall_count(void);

/** The name of a hostcall, a static string; null if `index` is not below the count. [any-thread] */
const char *dynvm_hostcall_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_HOSTCALLS_H
