// SPDX-License-Identifier: Apache-2.0
//
// Hostcalls: the host's functions, by the names of the ABI.

#ifndef DYNVM_LOADER_HOSTCALLS_H
#define DYNVM_LOADER_HOSTCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A set of functions of the host. */
typedef struct dynvm_hostcalls dynvm_hostcalls_t;

/**
 * A function of the host, cast to this type. It is
 *
 *     uint64_t function(uint64_t, ...)
 *
 * not variadic, with the hostcall's parameters (dynvm/hostcalls.h) in their order, each widened to
 * 64 bits: numbers with zeros, a bool to 0 or 1, addresses as they are; of what it returns the low
 * 32 bits are the status. It is called on the VM's thread, from within dynvm_vm_call or
 * dynvm_vm_open.
 *
 * The loader has made sure of addresses: bytes that the plugin passes can be read, and places where
 * the host returns something can be written to; else the plugin has got INVALID_MEMORY_ACCESS. Where a
 * pointer or a size is returned, the place has 8 bytes.
 *
 * It must not unwind: a C++ exception ends in it, or ends the process.
 */
typedef void (*dynvm_hostcall_t)(void);

/** An empty set. [any-thread] */
dynvm_hostcalls_t *dynvm_hostcalls_new(void);

/** Frees a set. VMs that were made with it have their own copy. [one-thread] */
void dynvm_hostcalls_free(dynvm_hostcalls_t *hostcalls);

/**
 * Binds a hostcall, or with null unbinds it. Fails with DYNVM_CODE_ARGUMENT if no version of the ABI
 * has one of this name. [one-thread]
 */
dynvm_error_t *dynvm_hostcalls_bind(
    dynvm_hostcalls_t *hostcalls, const char *name, dynvm_hostcall_t function);

/** Whether a hostcall is bound. [one-thread] */
bool dynvm_hostcalls_has(const dynvm_hostcalls_t *hostcalls, const char *name);

/** How many hostcalls all versions of the ABI have. [any-thread] */
size_t dynvm_hostcall_count(void);

/** The name of one of them; null if there are not so many. Valid for ever. [any-thread] */
const char *dynvm_hostcall_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_HOSTCALLS_H
