// SPDX-License-Identifier: Apache-2.0
//
// The loader's C API: native Proxy-Wasm plugins for a host that implements the hostcalls itself.
//
//     dynvm_loader_t      options of images, and the trust policy    loader/options.h
//     dynvm_module_t      a checked plugin, not running              loader/module.h
//     dynvm_linked_t      a plugin that is part of the program       loader/linked.h
//     dynvm_hostcalls_t   the host's functions, by name              loader/hostcalls.h
//     dynvm_vm_t          one private image on one thread            loader/vm.h
//     dynvm_deployment_t  the current version of a plugin            loader/deployment.h
//     dynvm_error_t       an error, with its code and text           loader/error.h
//
// A host loads a module once, creates and opens a VM of it on each thread, and calls the functions
// that the plugin exports (dynvm/callbacks.h lists them). The plugin's hostcalls call the functions
// that the host bound. A crash of the plugin fails its VM: the result of the call says so, and the
// host creates another VM.
//
// Link with libdynvm_loader.a (then also -lpthread -ldl -lm -lgcc_s) or libdynvm_loader.so;
// loader/capi/CMakeLists.txt builds and installs both, with a package for CMake and a file for
// pkg-config. This header does not need those of the plugin ABI (dynvm/dynvm.h).
//
//
// OWNERSHIP
//
// The caller owns the result of a function named _new, _load or _clone, and of one that returns
// through `out`, and frees it once with the _free of its type. _free ignores null. Objects keep
// their dependencies alive: a loader may be freed before its modules, a module before its VMs.
//
// A string argument ends with a NUL or comes with its length, is only read during the call, and is
// UTF-8 if it is text. A returned string belongs to the object that returned it.
//
//
// ERRORS
//
// A function that can fail returns dynvm_error_t *: null on success, otherwise an error, which the
// caller reads and frees. On an error nothing is written to `out`. Passing null for an object is a
// bug in the host and ends the process with a message, as does a crash of the loader itself.
//
//
// TAGS
//
// [any-thread]  Callable on any thread, on several at once.
// [one-thread]  Callable on any thread, on one at a time for each object.
// [vm-thread]   Callable on the thread that opened the VM; before that, on the one that created it.
// [in-call]     Callable also inside a hostcall of this VM.

#ifndef DYNVM_LOADER_H
#define DYNVM_LOADER_H

#include "loader/deployment.h"
#include "loader/error.h"
#include "loader/hostcalls.h"
#include "loader/linked.h"
#include "loader/module.h"
#include "loader/options.h"
#include "loader/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The version of these headers. Before 1.0, only a library of the same major and minor version has
 * the same functions; the name of the shared library (SONAME) has both.
 */
#define DYNVM_LOADER_VERSION_MAJOR 0
#define DYNVM_LOADER_VERSION_MINOR 1
#define DYNVM_LOADER_VERSION_PATCH 0
#define DYNVM_LOADER_VERSION "0.1.0"

/**
 * The library's version, a static string. Equal to DYNVM_LOADER_VERSION if headers and library
 * belong together. [any-thread]
 */
const char *dynvm_loader_version(void);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_H
