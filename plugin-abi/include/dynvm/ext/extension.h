// SPDX-License-Identifier: Apache-2.0
//
// Extensions: additions beyond the Proxy-Wasm ABI.
//
// An extension is a struct of function pointers and constants, defined in a separate header in this
// directory, and has an id: `dynvm.<name>/<revision>`, name in lower case with hyphens, revision a
// decimal number from 1. A plugin asks the host for the id (host.h) and gets a pointer to the
// struct, or null if this host lacks it. The plugin must work in both cases.
//
// Rules:
// - A released extension never changes, neither its struct nor its meaning. What would change it is
//   a new revision: a new id and a new struct beside the old one.
// - A draft has a header in ext/draft/ and an id that begins with `dynvm.draft.`; it may change or
//   vanish at any time.
// - Third parties use their reversed domain as the prefix: `com.example.<name>/<revision>`.
// - An extension is for native plugins. Its wasm twin would be a set of imports, which the ABI's
//   specification governs, or a foreign function (proxy_call_foreign_function), which works for
//   both and is to be preferred where its cost allows.
//
// No extension has been released yet.

#ifndef DYNVM_EXT_EXTENSION_H
#define DYNVM_EXT_EXTENSION_H

/** The id of an extension as a literal: `DYNVM_EXTENSION_ID("name", 1)` is "dynvm.name/1". */
#define DYNVM_EXTENSION_ID(name, revision) "dynvm." name "/" #revision

#endif // DYNVM_EXT_EXTENSION_H
