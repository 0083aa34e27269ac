// A plugin that allocates with `new`, of a library that the host has as well.
#include <new>

extern "C" void proxy_abi_version_0_2_1() {}

extern "C" void much() {
  for (int i = 0; i < 1024; i++) {
    *static_cast<volatile char *>(::operator new(1 << 16)) = 1;
  }
}
