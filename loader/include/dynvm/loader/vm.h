// SPDX-License-Identifier: Apache-2.0
//
// VMs: one private image of a module on one thread.

#ifndef DYNVM_LOADER_VM_H
#define DYNVM_LOADER_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "hostcalls.h"
#include "module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Configuration of VMs. */
typedef struct dynvm_vm_config dynvm_vm_config_t;

/** A VM: a private image, owned by the thread that opened it. */
typedef struct dynvm_vm dynvm_vm_t;

/** A handle that ends a plugin from another thread. */
typedef struct dynvm_terminator dynvm_terminator_t;

/** The address of a function of one VM's image; 0 for no function. Other VMs refuse to call it. */
typedef uintptr_t dynvm_function_t;

/**
 * Receives a message: standard output (level 2, info) or standard error (level 4, error) of the
 * plugin, or a message of the loader about it. The text does not end with a NUL and need not be
 * UTF-8. Called on the VM's thread; on the watchdog's, if there is a budget; and on threads of the
 * plugin's own that have a context (proxy_dyn_set_limited_thread_context).
 */
typedef void (*dynvm_log_t)(void *data, uint32_t level, const char *text, size_t size);

/**
 * Decides whether the plugin may make a hostcall now. Called before each hostcall during a
 * restricted call; returning false fails the VM. The name does not end with a NUL.
 */
typedef bool (*dynvm_may_call_t)(void *data, const char *name, size_t size);

/**
 * Receives a hostcall of a traced call: its name, which does not end with a NUL, and its arguments.
 * Called twice, first with a null result, then with the result. Not called for a hostcall that was
 * refused because of an address.
 */
typedef void (*dynvm_trace_t)(
    void *data, const char *name, size_t size, const uint64_t *arguments, size_t count,
    const uint64_t *result);

/**
 * Reads the host's clock for the plugin: the time of day, since 1970, or a monotonic one. If it
 * returns false, the plugin gets the system's time. Called on the VM's thread.
 */
typedef bool (*dynvm_clock_t)(void *data, bool monotonic, uint64_t *nanoseconds);

/**
 * Looks up an environment variable for the plugin. Null: the plugin gets the process's. Otherwise
 * the text must be valid for as long as the VM. Called on the VM's thread.
 */
typedef const char *(*dynvm_variable_t)(void *data, const char *name);

/** How the plugin's hostcalls are made during a call: 0, or a set of bits. */
enum {
  /** The host decides about each first: dynvm_vm_config_set_may_call. */
  DYNVM_CALL_RESTRICTED = 1 << 0,
  /** The host receives each: dynvm_vm_config_set_trace. */
  DYNVM_CALL_TRACED = 1 << 1
};

/** How a budget is enforced; dynvm_vm_config_set_budget. */
enum {
  /** An overrun is logged while the call runs. */
  DYNVM_BUDGET_REPORT = 0,
  /** The call is aborted as well, and the VM fails, as soon as that is sound. */
  DYNVM_BUDGET_FAIL = 1
};

/**
 * A configuration with these hostcalls, which are copied, and defaults for the rest. [any-thread]
 */
dynvm_vm_config_t *dynvm_vm_config_new(const dynvm_hostcalls_t *hostcalls);

/** Frees a configuration. VMs created with it have their own copy. [one-thread] */
void dynvm_vm_config_free(dynvm_vm_config_t *config);

/** Sets the name of the VM in messages. [one-thread] */
dynvm_error_t *dynvm_vm_config_set_name(dynvm_vm_config_t *config, const char *name);

/** Limits the plugin's heap, in bytes; 0, the default: no limit. [one-thread] */
void dynvm_vm_config_set_memory_limit(dynvm_vm_config_t *config, size_t bytes);

/** Limits the time of a call, in milliseconds; 0, the default: no limit. [one-thread] */
void dynvm_vm_config_set_budget(dynvm_vm_config_t *config, uint64_t milliseconds, uint32_t action);

/**
 * Sets the function that receives messages; by default they go to standard error. `data` is passed
 * to it, and must be valid until the last VM of this configuration has been freed. [one-thread]
 */
void dynvm_vm_config_set_log(dynvm_vm_config_t *config, dynvm_log_t log, void *data);

/**
 * Sets the function that decides during restricted calls; by default all hostcalls are allowed.
 * [one-thread]
 */
void dynvm_vm_config_set_may_call(dynvm_vm_config_t *config, dynvm_may_call_t may_call, void *data);

/**
 * Sets whether the loader checks addresses in hostcalls; default true. Without it the host's
 * functions get them as the plugin passed them, and check them with dynvm_is_readable and
 * dynvm_is_writable. [one-thread]
 */
void dynvm_vm_config_set_check_addresses(dynvm_vm_config_t *config, bool check);

/**
 * Sets the function that receives the hostcalls of traced calls; by default none does. [one-thread]
 */
void dynvm_vm_config_set_trace(dynvm_vm_config_t *config, dynvm_trace_t trace, void *data);

/**
 * Sets the clock that the plugin reads through the C library, with DYNVM_EDIT_CLOCK; by default the
 * system's. [one-thread]
 */
void dynvm_vm_config_set_clock(dynvm_vm_config_t *config, dynvm_clock_t clock, void *data);

/**
 * Sets the function that looks up environment variables for the plugin, with
 * DYNVM_EDIT_ENVIRONMENT; by default there are only the process's. [one-thread]
 */
void dynvm_vm_config_set_environment(
    dynvm_vm_config_t *config, dynvm_variable_t variable, void *data);

/**
 * Creates a VM that is not open yet: no code of the plugin runs. Fails with
 * DYNVM_CODE_UNKNOWN_IMPORT if the module imports hostcalls that are not bound; the text names
 * them. [any-thread]
 */
dynvm_error_t *dynvm_vm_new(
    const dynvm_module_t *module, const dynvm_vm_config_t *config, dynvm_vm_t **out);

/**
 * Opens the image and runs its constructors, which precede _initialize, main and _start; the host
 * calls those. Hostcalls of constructors are restricted, whatever the mode. The VM belongs to this
 * thread from now on. [vm-thread]
 */
dynvm_error_t *dynvm_vm_open(dynvm_vm_t *vm, uint32_t mode);

/**
 * Waits until the watchdog has left the log of this VM, unless called inside that log; the log must
 * therefore not wait for a lock that the caller holds.
 *
 * Runs the destructors of the plugin's variables, unless the plugin failed, and unmaps the image.
 * Their hostcalls do not reach the host; their messages go to the VM's log. On another thread than
 * the VM's, once no thread uses the VM, unmaps the image without running them. Not callable inside
 * a hostcall of this VM. [one-thread]
 */
void dynvm_vm_free(dynvm_vm_t *vm);

/**
 * A function that the image itself exports; 0 if it exports none of this name, or is not open.
 * Messages about calls of it have this name.
 * [vm-thread] [in-call]
 */
dynvm_function_t dynvm_vm_function(const dynvm_vm_t *vm, const char *name);

/** The outcome of a call. Fits in registers, because every event of every stream needs one. */
typedef struct {
  /**
   * The result's register. Only the bits of the function's type are defined: for a bool the low 8,
   * because Rust returns bool where C++ returns uint32_t.
   */
  uint64_t value;
  /**
   * 0 if the plugin returned. DYNVM_CODE_FAILED: it failed, now or before; see dynvm_vm_failure.
   * DYNVM_CODE_ARGUMENT: the function is not in this VM's image, or the image is not open; nothing
   * was called, and the VM has not failed.
   */
  dynvm_code_t code;
} dynvm_result_t;

/**
 * Calls a function of the image: at most five arguments, each an integer or a pointer; 0 for
 * parameters that the function does not have. The upper halves of narrower parameters are ignored.
 * [vm-thread] [in-call]
 */
dynvm_result_t dynvm_vm_call(
    dynvm_vm_t *vm, dynvm_function_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
    uint64_t e);

/**
 * A function of a VM's image, prepared for calls. It may be copied, and is valid until the VM is freed.
 *
 * `call` takes the function's arguments, as dynvm_vm_call does, and the prepared function itself. It
 * calls the function with fewer instructions than dynvm_vm_call where it can: on x86-64 Linux, in a
 * VM that has not failed, outside of calls of any VM. Elsewhere it does what dynvm_vm_call does.
 * [vm-thread] [in-call]
 */
typedef struct dynvm_prepared {
  dynvm_result_t (*call)(
      uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
      const struct dynvm_prepared *prepared);
  /** The loader's. */
  const void *internal[4];
} dynvm_prepared_t;

/**
 * Prepares calls of a function of the image. False if it is not in this VM's image, or the image is
 * not open; then there is nothing to call. [vm-thread] [in-call]
 */
bool dynvm_vm_prepare(dynvm_vm_t *vm, dynvm_function_t function, dynvm_prepared_t *prepared);

/** Like dynvm_vm_call, in a mode: DYNVM_CALL_*. [vm-thread] [in-call] */
dynvm_result_t dynvm_vm_call_in(
    dynvm_vm_t *vm, uint32_t mode, dynvm_function_t function, uint64_t a, uint64_t b, uint64_t c,
    uint64_t d, uint64_t e);

/**
 * Calls a function of the host with crash containment, as if it were the plugin's: for calls with
 * parameters that are not integers. If the plugin fails in it, its frames are abandoned without
 * running destructors. [vm-thread] [in-call]
 */
bool dynvm_vm_call_through(dynvm_vm_t *vm, void (*function)(void *), void *data, uint32_t mode);

/**
 * Allocates memory that the plugin will free: with its proxy_on_memory_allocate or malloc if the
 * image defines one, otherwise with the allocator of its free. 0 if there is no memory, or the
 * plugin failed. [vm-thread] [in-call]
 */
uint64_t dynvm_vm_allocate(dynvm_vm_t *vm, size_t size, uint32_t mode);

/** True while a function of the plugin runs, also inside a hostcall. [vm-thread] [in-call] */
bool dynvm_vm_is_running(const dynvm_vm_t *vm);

/** True if the plugin has failed. [vm-thread] [in-call] */
bool dynvm_vm_has_failed(const dynvm_vm_t *vm);

/**
 * The failure, with a backtrace where one is available; null if the plugin has not failed. The
 * caller frees it. [vm-thread] [in-call]
 */
dynvm_error_t *dynvm_vm_failure(const dynvm_vm_t *vm);

/**
 * Fails the VM for a reason of the host. Inside a hostcall this ends the plugin's call: control
 * does not return to the plugin. [vm-thread] [in-call]
 */
void dynvm_vm_fail(dynvm_vm_t *vm, const char *text);

/** Bytes of the plugin's private heap; 0 if it has none. [vm-thread] [in-call] */
uint64_t dynvm_vm_memory_size(const dynvm_vm_t *vm);

/**
 * True if these bytes can be read. Needs a VM with crash containment in the process, open or not.
 * [any-thread]
 */
bool dynvm_is_readable(uint64_t address, uint64_t size);

/** True if these bytes can be written. No other thread may write them meanwhile. [any-thread] */
bool dynvm_is_writable(uint64_t address, uint64_t size);

/** An instruction of the host that may access memory that is not there, and where to go on then. */
typedef struct {
  const void *instruction;
  const void *landing;
} dynvm_fault_t;

/**
 * Makes these instructions go on at their landings if they fault, for hosts that look at addresses
 * themselves, in fewer instructions than the functions above. Needs what those need. The array must
 * stay as it is; naming it again has no effect. False if there are 8 others. [any-thread]
 */
bool dynvm_catch_faults(const dynvm_fault_t *faults, size_t count);

/** A handle that ends this VM's plugin from another thread. [vm-thread] */
dynvm_terminator_t *dynvm_vm_terminator(const dynvm_vm_t *vm);

/**
 * Aborts the plugin's running call and makes every later one fail. Blocks for at most
 * `milliseconds`. Returns false if the plugin still runs, inside a hostcall or a library that it
 * called. [any-thread]
 */
bool dynvm_terminator_terminate(const dynvm_terminator_t *terminator, uint64_t milliseconds);

/** Frees the handle; the VM continues. [any-thread] */
void dynvm_terminator_free(dynvm_terminator_t *terminator);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_VM_H
