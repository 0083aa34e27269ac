// SPDX-License-Identifier: Apache-2.0
//
// The ABI between a Proxy-Wasm host and a native plugin: the Proxy-Wasm ABI lowered to C, with a
// few additions. This header includes every stable header; drafts, if any, are in ext/draft/ and
// are included one by one.
//
//
// COMPATIBILITY POLICY
//
// 1. A released entity never changes in place. That covers names, parameters, widths, order and
//    offsets of members, numbers of enumerators, and meaning. Released entities are those of a
//    tagged release outside ext/draft/.
// 2. The specification defines the Proxy-Wasm ABI (version.h, types.h, hostcalls.h, callbacks.h).
//    A new version of it adds functions; a function that a later version drops stays here and
//    works for plugins of its version.
// 3. An addition is a new symbol, a new extension (ext/extension.h), or a member at the end
//    of a struct that begins with `struct_size`. Each can be absent, and the other side must work
//    without it: symbols are resolved optionally, extensions may be null, members are read only if
//    `struct_size` covers them.
// 4. An enumerator may be added only where the policy defines how the receiver treats an unknown
//    number.
// 5. DYNVM_VERSION is for diagnosis and for DYNVM_VERSION_IS_COMPATIBLE; hosts do not require
//    equal versions.
// 6. A deprecated entity is marked for at least four minor versions before hosts may refuse it;
//    its declaration and its number are never reused.
// 7. Only fixed-width integers, size_t and pointers cross the border; no bool, no C enum, no
//    bit-field, no struct by value.
//
// Native code has the privileges of the process. Nothing in this ABI confines a plugin; run
// untrusted plugins as wasm.
//
//
// TAGS
//
// Every function carries tags that say when it may be called:
//
// [vm-thread]      On the thread that runs the VM. A host runs all functions of one VM on the
//                  thread that started it, unless it moves the plugin's thread-locals along; on
//                  a thread of its own, a plugin makes the hostcalls that
//                  proxy_dyn_set_limited_thread_context lists.
// [any-thread]     From any thread, by several threads at once.
// [in-callback]    Only while a callback of this VM runs, between the host's call and the plugin's
//                  return.
// [in-start]       Also while an entry point runs: _initialize, _start, main, or the allocator.
// [not-reentrant]  A hostcall with this tag does not call back into the plugin before it returns,
//                  the allocator excepted: its effects happen after the callback returned. A
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
