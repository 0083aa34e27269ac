// SPDX-License-Identifier: Apache-2.0
//
// Looks at addresses of plugins in a few instructions. False: dynvm_is_readable and dynvm_is_writable know.

#pragma once

#include <cstdint>

#include "dynvm/loader.h"

#if defined(__x86_64__) && defined(__linux__)

extern "C" {
// Made by the linker around the section. Each library that the shim is part of has its own.
[[gnu::visibility("hidden")]] extern const dynvm_fault_t __start_dynvm_shim_probe[];
[[gnu::visibility("hidden")]] extern const dynvm_fault_t __stop_dynvm_shim_probe[];
}

namespace dynvm {

// The instruction and its landing go to a section, of which catchFaults tells the loader.
#define DYNVM_PROBE(instruction, address, landing)                                                     \
  asm goto("1: " instruction "\n"                                                                      \
           ".pushsection dynvm_shim_probe, \"awR\"\n.balign 8\n.quad 1b, %l1\n.popsection"              \
           :                                                                                           \
           : "r"(address)                                                                              \
           : "cc", "memory"                                                                            \
           : landing)

/// True if these bytes, and the next one, are of one page, and not null.
inline bool isOfOnePage(uint64_t address, uint64_t size) {
  constexpr uint64_t PAGE = 4096;
  // The address, less the page's end, overflows with a larger size.
  const uint64_t less_the_end = address | ~(PAGE - 1);
  return address != 0 && less_the_end + size >= less_the_end;
}

namespace {

/// Tells the loader of the instructions below.
inline bool catchFaults() {
  return dynvm_catch_faults(__start_dynvm_shim_probe, __stop_dynvm_shim_probe - __start_dynvm_shim_probe);
}

[[gnu::always_inline]] inline bool isSurelyReadable(uint64_t address, uint64_t size) {
  if (isOfOnePage(address, size)) [[likely]] {
    DYNVM_PROBE("cmpb $0, (%0)", address, faulted);
    return true;
  }
faulted:
  return false;
}

/// Adds nothing to a byte, which changes it only if another thread of the plugin writes it now.
[[gnu::always_inline]] inline bool isSurelyWritable(uint64_t address, uint64_t size) {
  if (isOfOnePage(address, size)) [[likely]] {
    DYNVM_PROBE("addb $0, (%0)", address, faulted);
    return true;
  }
faulted:
  return false;
}

} // namespace

#undef DYNVM_PROBE

} // namespace dynvm

#else

namespace dynvm {

inline bool catchFaults() { return true; }
inline bool isSurelyReadable(uint64_t, uint64_t) { return false; }
inline bool isSurelyWritable(uint64_t, uint64_t) { return false; }

} // namespace dynvm

#endif
