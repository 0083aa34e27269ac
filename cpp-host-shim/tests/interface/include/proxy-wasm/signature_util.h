// SPDX-License-Identifier: Apache-2.0
//
// The part of proxy-wasm-cpp-host's interface that the shim uses; see wasm_vm.h.

#pragma once

#include <string>
#include <string_view>

namespace proxy_wasm {

class SignatureUtil {
public:
  static bool verifySignature(std::string_view bytecode, std::string &message);
};

} // namespace proxy_wasm
