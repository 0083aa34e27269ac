// SPDX-License-Identifier: Apache-2.0
//
// The loader in C: native Proxy-Wasm plugins for a host that has hostcalls of its own.
//
//     dynvm_loader_t      what may be loaded, and how it runs        loader/options.h
//     dynvm_module_t      a plugin, checked; nothing of it runs      loader/module.h
//     dynvm_hostcalls_t   the host's functions, by name              loader/hostcalls.h
//     dynvm_vm_t          one private image on one thread            loader/vm.h
//     dynvm_deployment_t  the version of a plugin that is current    loader/deployment.h
//     dynvm_error_t       what went wrong                            loader/error.h
//
// A host loads a module once, makes a VM of it on each thread, opens that, and calls the functions
// that the plugin exports (dynvm/callbacks.h has them). The plugin's hostcalls arrive at the
// functions that the host bound. A crash of the plugin fails its VM: the call returns false, and the
// host makes another VM.
//
// Link with libdynvm_loader.a (then also -lpthread -ldl -lm -lgcc_s) or libdynvm_loader.so. The
// plugin ABI's headers, dynvm/dynvm.h, are not needed to include this one.
//
//
// OWNERSHIP
//
// What a function named _new, _load, _clone, or one that returns through `out` gives is the
// caller's, to be freed by the _free of its type, once. _free takes null. Objects keep what they
// depend on alive: a loader may be freed before its modules, a module before its VMs.
//
// A string that is passed in ends with a NUL or comes with its length, is only read during the call,
// and is UTF-8 where it is text. A string that is returned belongs to the object it was asked of.
//
//
// ERRORS
//
// A function that can fail returns dynvm_error_t *: null if it succeeded, else an error to be read
// and freed. Nothing is written to `out` then. A null where an object is wanted is a mistake of the
// host's and ends the process with a message, as does a crash of the loader itself.
//
//
// TAGS
//
// [any-thread]  From any thread, by several at once.
// [one-thread]  From any thread, by one at a time for each object.
// [vm-thread]   On the thread that opened the VM; before that, on the one that made it.
// [in-call]     Also from within a hostcall of this VM.

#ifndef DYNVM_LOADER_H
#define DYNVM_LOADER_H

#include "loader/deployment.h"
#include "loader/error.h"
#include "loader/hostcalls.h"
#include "loader/module.h"
#include "loader/options.h"
#include "loader/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The loader's version, as in "0.1.0". Valid for ever. [any-thread] */
const char *dynvm_loader_version(void);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_H
