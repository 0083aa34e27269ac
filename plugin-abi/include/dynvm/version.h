// SPDX-License-Identifier: Apache-2.0
//
// Versions of these headers, and of the Proxy-Wasm ABI that a plugin was built for. The two are
// independent: the headers grow with descriptor, host table and extensions; the Proxy-Wasm ABI has
// its own history.

#ifndef DYNVM_VERSION_H
#define DYNVM_VERSION_H

#include "macros.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of these headers --------------------------------------------------------------------- */

/** Grows when something released changes or goes, which the policy in dynvm.h rules out. */
#define DYNVM_VERSION_MAJOR 1
/** Grows when something is added. */
#define DYNVM_VERSION_MINOR 0

/** A version as one number; usable in #if. */
#define DYNVM_MAKE_VERSION(major, minor) (((major) * 0x10000u) | (minor))
/** The major part of such a number. */
#define DYNVM_MAJOR_OF(version) ((version) / 0x10000u)
/** The minor part of such a number. */
#define DYNVM_MINOR_OF(version) ((version) % 0x10000u)

/** The version of these headers as one number. */
#define DYNVM_VERSION DYNVM_MAKE_VERSION(DYNVM_VERSION_MAJOR, DYNVM_VERSION_MINOR)

#define DYNVM_STRINGIZE_(text) #text
#define DYNVM_STRINGIZE(text) DYNVM_STRINGIZE_(text)
/** The version of these headers as text. */
#define DYNVM_VERSION_STRING \
  DYNVM_STRINGIZE(DYNVM_VERSION_MAJOR) "." DYNVM_STRINGIZE(DYNVM_VERSION_MINOR)

/**
 * Whether code built with these headers understands structs of code built with version `theirs`:
 * the one predicate, for both sides. The minor parts may differ either way, since every struct says
 * its size.
 */
#define DYNVM_VERSION_IS_COMPATIBLE(theirs) (DYNVM_MAJOR_OF(theirs) == DYNVM_VERSION_MAJOR)

/* Version of the Proxy-Wasm ABI ---------------------------------------------------------------- */

/** A version of the Proxy-Wasm ABI as one number, for comparison; usable in #if. */
#define DYNVM_PROXY_ABI_VERSION(major, minor, patch) \
  (((major) * 0x10000u) | ((minor) * 0x100u) | (patch))
#define DYNVM_PROXY_ABI_VERSION_0_1_0 DYNVM_PROXY_ABI_VERSION(0, 1, 0)
#define DYNVM_PROXY_ABI_VERSION_0_2_0 DYNVM_PROXY_ABI_VERSION(0, 2, 0)
#define DYNVM_PROXY_ABI_VERSION_0_2_1 DYNVM_PROXY_ABI_VERSION(0, 2, 1)

// The marker functions. A plugin defines exactly one, empty, to state the version that it was built
// for. The host looks at the name and never calls it. The descriptor does not repeat that version.

/**
 * Marks a plugin for Proxy-Wasm ABI 0.1.0. [never-called]
 */
DYNVM_CALLBACK(proxy_abi_version_0_1_0)
void proxy_abi_version_0_1_0(void);

/**
 * Marks a plugin for Proxy-Wasm ABI 0.2.0. [never-called]
 */
DYNVM_CALLBACK(proxy_abi_version_0_2_0)
void proxy_abi_version_0_2_0(void);

/**
 * Marks a plugin for Proxy-Wasm ABI 0.2.1. [never-called]
 */
DYNVM_CALLBACK(proxy_abi_version_0_2_1)
void proxy_abi_version_0_2_1(void);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_VERSION_H
