// The version macros, the derived ones too, proved at compile time.
#include "dynvm/version.h"

#if DYNVM_VERSION_MAJOR != EXPECTED_MAJOR || DYNVM_VERSION_MINOR != EXPECTED_MINOR
#error "major or minor differs from the Rust mirror"
#endif
#if DYNVM_VERSION != EXPECTED_MAJOR * 65536 + EXPECTED_MINOR
#error "DYNVM_VERSION is not made of major and minor"
#endif
#if DYNVM_MAKE_VERSION(3, 7) != 0x30007 || DYNVM_MAKE_VERSION(1 + 2, 8 - 1) != 0x30007
#error "DYNVM_MAKE_VERSION"
#endif
#if DYNVM_MAKE_VERSION(0xffff, 0xffff) != 0xffffffff
#error "DYNVM_MAKE_VERSION at its limits"
#endif
#if DYNVM_MAJOR_OF(0x30007) != 3 || DYNVM_MINOR_OF(0x30007) != 7
#error "DYNVM_MAJOR_OF or DYNVM_MINOR_OF"
#endif
#if DYNVM_MAJOR_OF(DYNVM_VERSION) != DYNVM_VERSION_MAJOR || DYNVM_MINOR_OF(DYNVM_VERSION) != DYNVM_VERSION_MINOR
#error "DYNVM_VERSION does not come apart again"
#endif
#if !DYNVM_VERSION_IS_COMPATIBLE(DYNVM_VERSION)
#error "not compatible with itself"
#endif
#if !DYNVM_VERSION_IS_COMPATIBLE(DYNVM_MAKE_VERSION(DYNVM_VERSION_MAJOR, DYNVM_VERSION_MINOR + 1))
#error "not compatible with a later minor version"
#endif
#if DYNVM_VERSION_IS_COMPATIBLE(DYNVM_MAKE_VERSION(DYNVM_VERSION_MAJOR + 1, DYNVM_VERSION_MINOR))
#error "compatible with another major version"
#endif
#if DYNVM_PROXY_ABI_VERSION_0_1_0 != EXPECTED_0_1_0 || DYNVM_PROXY_ABI_VERSION_0_2_0 != EXPECTED_0_2_0 || \
    DYNVM_PROXY_ABI_VERSION_0_2_1 != EXPECTED_0_2_1
#error "a Proxy-Wasm version differs from the Rust mirror"
#endif
#if !(DYNVM_PROXY_ABI_VERSION_0_1_0 < DYNVM_PROXY_ABI_VERSION_0_2_0 && \
      DYNVM_PROXY_ABI_VERSION_0_2_0 < DYNVM_PROXY_ABI_VERSION_0_2_1)
#error "Proxy-Wasm versions do not compare"
#endif

// The string cannot be looked at by the preprocessor: its size can, and the program prints it.
#include <stdio.h>
int main(void) { return puts(DYNVM_VERSION_STRING) < 0; }
