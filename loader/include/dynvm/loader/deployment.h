// SPDX-License-Identifier: Apache-2.0
//
// Deployments: the current version of a plugin, and its replacement.
//
// New VMs use the current version; VMs of earlier versions continue until the host frees them. A
// version that does not load, or that the host refuses, never replaces a good one.

#ifndef DYNVM_LOADER_DEPLOYMENT_H
#define DYNVM_LOADER_DEPLOYMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "module.h"
#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A plugin whose file can be loaded again while VMs of earlier versions run. */
typedef struct dynvm_deployment dynvm_deployment_t;

/**
 * Tries a new version before any other thread sees it: typically creates a VM, starts a plugin and
 * frees the VM again. Returning false refuses the version. Null accepts every version that loads.
 */
typedef bool (*dynvm_try_t)(void *data, const dynvm_module_t *module);

/** Loads the first version, number 1, and tries it. [any-thread] */
dynvm_error_t *dynvm_deployment_new(
    const dynvm_loader_t *loader, const char *path, dynvm_try_t try_version, void *data,
    dynvm_deployment_t **out);

/** Frees a deployment. Modules that it returned stay valid. [any-thread] */
void dynvm_deployment_free(dynvm_deployment_t *deployment);

/**
 * Loads the file again, or another file if `path` is not null, tries it, and makes it the current
 * version. On an error the current version does not change. [any-thread]
 */
dynvm_error_t *dynvm_deployment_reload(
    dynvm_deployment_t *deployment, const char *path, dynvm_try_t try_version, void *data);

/** A reference to the current version, which the caller frees. [any-thread] */
dynvm_module_t *dynvm_deployment_current(const dynvm_deployment_t *deployment);

/** The number of the current version, counted from 1. [any-thread] */
uint64_t dynvm_deployment_version(const dynvm_deployment_t *deployment);

/**
 * The number of versions in memory: the current one, and those with modules or VMs. [any-thread]
 */
size_t dynvm_deployment_retained(const dynvm_deployment_t *deployment);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_DEPLOYMENT_H
