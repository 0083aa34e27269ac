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

/** How VMs run. */
typedef struct dynvm_vm_config dynvm_vm_config_t;

/** A VM: a private image, which belongs to the thread that opened it. */
typedef struct dynvm_vm dynvm_vm_t;

/** What ends a plugin from another thread. */
typedef struct dynvm_terminator dynvm_terminator_t;

/** The address of a function; 0: none. */
typedef uintptr_t dynvm_function_t;

/**
 * Takes a message: what the plugin wrote to standard output (level 2, info) or standard error (4,
 * error), or what the loader has to say of it. The text does not end with a NUL and need not be
 * UTF-8. Called on the VM's thread, or on that of the watchdog if there is a budget.
 */
typedef void (*dynvm_log_t)(void *data, uint32_t level, const char *text, size_t size);

/**
 * Whether the plugin may make a hostcall now. Asked before each during a restricted call; if it may
 * not, the VM fails. `index` is that of dynvm_hostcall_name.
 */
typedef bool (*dynvm_may_call_t)(void *data, size_t index);

/** How a budget is enforced; dynvm_vm_config_set_budget. */
enum {
  /** Reported to the log, while the call runs. */
  DYNVM_BUDGET_REPORT = 0,
  /** The plugin is made to leave its call as well, and its VM fails, where that is sound. */
  DYNVM_BUDGET_FAIL = 1
};

/** A configuration: these hostcalls, which are copied, and nothing else. [any-thread] */
dynvm_vm_config_t *dynvm_vm_config_new(const dynvm_hostcalls_t *hostcalls);

/** Frees a configuration. VMs that were made with it have their own copy. [one-thread] */
void dynvm_vm_config_free(dynvm_vm_config_t *config);

/** A name for messages. [one-thread] */
dynvm_error_t *dynvm_vm_config_set_name(dynvm_vm_config_t *config, const char *name);

/** Most bytes of the plugin's heap; 0, the default: no limit. [one-thread] */
void dynvm_vm_config_set_memory_limit(dynvm_vm_config_t *config, size_t bytes);

/** How long a call may take, in milliseconds; 0, the default: as long as it likes. [one-thread] */
void dynvm_vm_config_set_budget(dynvm_vm_config_t *config, uint64_t milliseconds, uint32_t action);

/**
 * Who takes messages; without it they go to standard error. `data` is passed on, and must be valid
 * for as long as there are VMs. [one-thread]
 */
void dynvm_vm_config_set_log(dynvm_vm_config_t *config, dynvm_log_t log, void *data);

/** Who is asked during restricted calls; without it, every hostcall may be made. [one-thread] */
void dynvm_vm_config_set_may_call(dynvm_vm_config_t *config, dynvm_may_call_t may_call, void *data);

/**
 * A VM that is not open yet: nothing of the plugin runs. Fails with DYNVM_CODE_UNKNOWN_IMPORT if the
 * module imports hostcalls that are not bound; the text names them. [any-thread]
 */
dynvm_error_t *dynvm_vm_new(
    const dynvm_module_t *module, const dynvm_vm_config_t *config, dynvm_vm_t **out);

/**
 * Opens the image and runs its constructors: what runs before _initialize, main and _start, which
 * are the host's to call. Makes restricted hostcalls. The VM belongs to this thread from now on.
 * [vm-thread]
 */
dynvm_error_t *dynvm_vm_open(dynvm_vm_t *vm);

/**
 * Runs the destructors of the plugin's variables, unless it failed, and unmaps the image. No hostcall
 * of theirs reaches the host; what they log goes to the VM's log. On another thread than the VM's, when
 * nobody uses it any more, the image is unmapped without them. Not from within a hostcall of this VM.
 * [one-thread]
 */
void dynvm_vm_free(dynvm_vm_t *vm);

/** A function that the image itself exports; 0 if it does not, or is not open. [vm-thread] [in-call] */
dynvm_function_t dynvm_vm_function(const dynvm_vm_t *vm, const char *name);

/** What a call gave. Returned in registers: it is made for each event of each stream. */
typedef struct {
  /**
   * The register of the result. Only the bits that the function's type has are defined: for a bool the
   * low 8, since Rust returns bool where C++ returns uint32_t.
   */
  uint64_t value;
  /** Whether the plugin returned. If not, it failed, now or before: dynvm_vm_failure tells how. */
  bool returned;
} dynvm_result_t;

/**
 * Calls a function of the image: five arguments at most, each an integer or a pointer; 0 for those that
 * it does not have. Garbage in the upper halves of narrower parameters does no harm.
 * [vm-thread] [in-call]
 */
dynvm_result_t dynvm_vm_call(
    dynvm_vm_t *vm, dynvm_function_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
    uint64_t e);

/**
 * The same, restricted: hostcalls are asked about first (dynvm_vm_config_set_may_call).
 * [vm-thread] [in-call]
 */
dynvm_result_t dynvm_vm_call_restricted(
    dynvm_vm_t *vm, dynvm_function_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
    uint64_t e);

/**
 * Calls a function of the host's, guarded as if it were the plugin's: for calls that have other
 * parameters than integers. If the plugin fails in it, its frames are left without destructors being
 * run. [vm-thread] [in-call]
 */
bool dynvm_vm_call_through(dynvm_vm_t *vm, void (*function)(void *), void *data, bool restricted);

/**
 * Memory that the plugin will free: from its proxy_on_memory_allocate or malloc if the image defines
 * one, else from what its free takes. 0 if there is none, or the plugin failed. [vm-thread] [in-call]
 */
uint64_t dynvm_vm_allocate(dynvm_vm_t *vm, size_t size, bool restricted);

/** Whether the plugin failed. [vm-thread] [in-call] */
bool dynvm_vm_has_failed(const dynvm_vm_t *vm);

/**
 * How it failed, with a backtrace where there is one; null if it did not. The caller frees it.
 * [vm-thread] [in-call]
 */
dynvm_error_t *dynvm_vm_failure(const dynvm_vm_t *vm);

/**
 * Fails the VM for a reason of the host's. A hostcall that does so is not returned from: the
 * plugin's call ends with it. [vm-thread] [in-call]
 */
void dynvm_vm_fail(dynvm_vm_t *vm, const char *text);

/** Bytes of the plugin's heap, 0 where it has none of its own. [vm-thread] [in-call] */
uint64_t dynvm_vm_memory_size(const dynvm_vm_t *vm);

/** Whether these bytes can be read, once a VM with the guard is open in the process. [any-thread] */
bool dynvm_is_readable(uint64_t address, uint64_t size);

/** Whether they can be written to; nobody else may write to them meanwhile. [any-thread] */
bool dynvm_is_writable(uint64_t address, uint64_t size);

/** What ends this VM's plugin from another thread. [vm-thread] */
dynvm_terminator_t *dynvm_vm_terminator(const dynvm_vm_t *vm);

/**
 * Has the plugin's call under way left, and every later one fail. Waits for at most so many
 * milliseconds; false if the plugin still runs: in a hostcall, or in a library that it called.
 * [any-thread]
 */
bool dynvm_terminator_terminate(const dynvm_terminator_t *terminator, uint64_t milliseconds);

/** Frees it; the VM goes on. [any-thread] */
void dynvm_terminator_free(dynvm_terminator_t *terminator);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_VM_H
