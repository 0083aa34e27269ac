// SPDX-License-Identifier: Apache-2.0
//
// The ABI between a Proxy-Wasm host and a native plugin: the Proxy-Wasm ABI lowered to C, and the
// little that is added to it. This header includes all that is stable; drafts, where there are any,
// are in ext/draft/ and are included one by one.
//
//
// COMPATIBILITY POLICY
//
// 1. A released entity never changes in place. That covers names, parameters, widths, order and
//    offsets of members, numbers of enumerators, and meaning. Released is what a tagged release has
//    outside of ext/draft/.
// 2. The Proxy-Wasm ABI (version.h, types.h, hostcalls.h, callbacks.h) is the specification's. A
//    new version of it adds functions; a function that a later version drops stays here and works
//    for plugins of its version.
// 3. What is new comes as a new symbol, a new extension (ext/extension.h), or a member at the end
//    of a struct that begins with `struct_size`. Each can be absent, and the other side must work
//    without it: symbols are resolved optionally, extensions may be null, members are read only if
//    `struct_size` covers them.
// 4. An enumerator may be added only where the side that receives it was told what to do with a
//    number it does not know.
// 5. DYNVM_VERSION is for diagnosis and for DYNVM_VERSION_IS_COMPATIBLE; it is not a gate that asks
//    for equality.
// 6. What is deprecated says so for four minor versions at least before hosts may refuse it; its
//    declaration and its number are never used for anything else.
// 7. Only fixed-width integers, size_t and pointers cross the border; no bool, no C enum, no
//    bit-field, no struct by value.
//
// Native code has the privileges of the process. Nothing in this ABI confines a plugin; whoever
// needs that runs the wasm.
//
//
// TAGS
//
// Every function carries tags that say when it may be called:
//
// [vm-thread]      On the thread that runs the VM. A host runs all functions of one VM on the
//                  thread that started it, unless it moves the plugin's thread-locals along; a
//                  plugin makes hostcalls from no other thread.
// [any-thread]     From any thread, by several at once.
// [in-callback]    Only while a callback of this VM runs, between the host's call and the plugin's
//                  return.
// [in-start]       Also while an entry point runs: _initialize, _start, main, or the allocator.
// [not-reentrant]  A hostcall with this tag does not call back into the plugin before it returns,
//                  the allocator excepted: what it causes happens after the callback returned. A
//                  callback with this tag is not called while another one of the same VM runs.
// [never-called]   Only the name counts.

#ifndef DYNVM_DYNVM_H
#define DYNVM_DYNVM_H

#include "callbacks.h"
#include "descriptor.h"
#include "ext/extension.h"
#include "host.h"
#include "hostcalls.h"
#include "macros.h"
#include "types.h"
#include "version.h"

#endif // DYNVM_DYNVM_H
