// SPDX-License-Identifier: Apache-2.0
//
// Plumbing: how a symbol is imported and exported, and compile-time checks. No types, no functions.

#ifndef DYNVM_MACROS_H
#define DYNVM_MACROS_H

#include <stddef.h>
#include <stdint.h>

// One C source builds to a .wasm and to a shared object, so linkage is stated once, in the
// declaration, and the plugin's definitions need no attribute.
//
// DYNVM_HOSTCALL(name)  a function that the host defines: an import of module "env" in wasm, an
//                       undefined symbol natively
// DYNVM_CALLBACK(name)  a function that the plugin defines: an export, also under
//                       -fvisibility=hidden
// DYNVM_EXPORT          an object or function that only a native plugin exports
#if defined(__wasm__)
#define DYNVM_HOSTCALL(name) __attribute__((import_module("env"), import_name(#name)))
#define DYNVM_CALLBACK(name) __attribute__((export_name(#name)))
#define DYNVM_EXPORT
#elif defined(__GNUC__)
#define DYNVM_HOSTCALL(name) __attribute__((visibility("default")))
#define DYNVM_CALLBACK(name) __attribute__((visibility("default")))
#define DYNVM_EXPORT __attribute__((visibility("default")))
#else
#define DYNVM_HOSTCALL(name)
#define DYNVM_CALLBACK(name)
#define DYNVM_EXPORT
#endif

// A check at compile time, without a semicolon after it; C99 has none, and the other standards
// check the same source.
#if defined(__cplusplus)
#define DYNVM_STATIC_ASSERT(condition, message) static_assert(condition, message);
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define DYNVM_STATIC_ASSERT(condition, message) _Static_assert(condition, message);
#else
#define DYNVM_STATIC_ASSERT(condition, message)
#endif

// Asserts the offset of a member on platforms with 64-bit pointers, where native plugins run.
#if UINTPTR_MAX == 0xffffffffffffffffu
#define DYNVM_ASSERT_OFFSET(type, member, offset) \
  DYNVM_STATIC_ASSERT(offsetof(type, member) == (offset), #type "." #member " has moved")
#define DYNVM_ASSERT_SIZE(type, size) \
  DYNVM_STATIC_ASSERT(sizeof(type) == (size), #type " has changed its size")
#else
#define DYNVM_ASSERT_OFFSET(type, member, offset)
#define DYNVM_ASSERT_SIZE(type, size)
#endif

// Whether the struct at `pointer`, which the other side filled, is long enough to have `member`:
// false where the other side was built with an older header. `struct_size` must be its first
// member.
#define DYNVM_HAS_MEMBER(type, pointer, member) \
  ((pointer)->struct_size >= offsetof(type, member) + sizeof(((const type *)0)->member))

#endif // DYNVM_MACROS_H
