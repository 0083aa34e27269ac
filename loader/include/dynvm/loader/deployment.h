// SPDX-License-Identifier: Apache-2.0
//
// Deployments: which version of a plugin is current.
//
// New VMs are made of the current version; those of earlier ones go on, until the host frees them. A
// version that does not load, or that the host refuses, never displaces a good one.

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

/** A deployment. */
typedef struct dynvm_deployment dynvm_deployment_t;

/**
 * Tries a new version, before anybody else sees it: makes a VM of it, starts a plugin, and frees it
 * again. False refuses it. May be null, to take whatever loads.
 */
typedef bool (*dynvm_try_t)(void *data, const dynvm_module_t *module);

/** Loads the first version, number 1, and tries it. [any-thread] */
dynvm_error_t *dynvm_deployment_new(
    const dynvm_loader_t *loader, const char *path, dynvm_try_t try_version, void *data,
    dynvm_deployment_t **out);

/** Frees it. Modules that it gave live on. [any-thread] */
void dynvm_deployment_free(dynvm_deployment_t *deployment);

/**
 * Loads the file again, or another one if `path` is not null, tries it, and makes it the current
 * version. On an error the current version stays. [any-thread]
 */
dynvm_error_t *dynvm_deployment_reload(
    dynvm_deployment_t *deployment, const char *path, dynvm_try_t try_version, void *data);

/** The current version; the caller frees the reference. [any-thread] */
dynvm_module_t *dynvm_deployment_current(const dynvm_deployment_t *deployment);

/** The number of the current version: each has the next. [any-thread] */
uint64_t dynvm_deployment_version(const dynvm_deployment_t *deployment);

/** How many versions are in memory: the current one, and those that have modules or VMs. [any-thread] */
size_t dynvm_deployment_retained(const dynvm_deployment_t *deployment);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_LOADER_DEPLOYMENT_H
