// SPDX-License-Identifier: Apache-2.0
//
// Native plugins in proxy-wasm-cpp-host: a WasmVm that runs shared objects instead of WebAssembly.
//
// An unmodified host uses it in one of three ways; docs/cpp-host.md describes them and their
// limits:
//
//   A  a WasmBase of the embedder's, whose load() is NativeWasm's        shared objects
//   B  DynVmOptions::as_null: the host takes it for a NullVM             shared objects, ABI 0.2.1
//   C  nothing but createDynVm(), with allow_precompiled                 fat plugins
//
// Include directories: this one, the loader's (loader/include), the plugin ABI's (plugin-abi/include), and
// the root of proxy-wasm-cpp-host.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "include/proxy-wasm/wasm_vm.h"

namespace dynvm {

/// Options of native plugins. Each has the loader's default; see dynvm/loader/options.h.
struct DynVmOptions {
  /// The plugin's name in messages; if empty, its path, or the VM's id.
  std::string name;
  /// A trust policy file. If empty, everything that the host passes is loaded, unless the host was
  /// compiled with a key (PROXY_WASM_VERIFY_WITH_ED25519_PUBKEY): then only what that key signed.
  std::string trust_policy_file;
  /// Contain crashes of plugins.
  bool contain_crashes = true;
  /// Give each VM a private heap.
  bool heap = true;
  /// Limit of that heap in bytes; 0: no limit.
  std::size_t memory_limit = 0;
  /// Time limit of a call in milliseconds, after which its VM fails; 0: no limit.
  std::uint64_t budget_ms = 0;
  /// Tell debuggers about images, so that gdb finds their symbols.
  bool debugger = false;
  /// Check addresses that the plugin passes to hostcalls, for a host whose VM does not.
  bool check_addresses = false;
  /// Report "null" as the engine's name, so that WasmBase::load passes the code on unchanged (way
  /// B).
  bool as_null = false;
};

/// A VM for native plugins. Never null: load() reports an error in the options, and fails.
std::unique_ptr<proxy_wasm::WasmVm> createDynVm();
std::unique_ptr<proxy_wasm::WasmVm> createDynVm(const DynVmOptions &options);

/// Result of loadNative.
enum class NativeLoad {
  /// The plugin is loaded and its ABI version is known.
  Loaded,
  /// The code is native and cannot be loaded. The VM's integration has received the error.
  Failed,
  /// The code is a WebAssembly module, or the VM is of another kind. WasmBase::load handles it.
  NotNative,
};

/// Loads a shared object into a VM of createDynVm: `code` is its bytes, or an absolute path. Messages
/// about bytes have the name.
NativeLoad loadNative(proxy_wasm::WasmVm *vm, std::string_view name, std::string_view code,
                      proxy_wasm::AbiVersion *abi_version);

/// What stands for the code in proxy_wasm::makeVmKey: for an absolute path, the path and what is in
/// the file now, so that a replaced file gets a new base VM; otherwise the code itself.
std::string codeForKey(std::string_view code);

/// A WasmBase, or a class derived from it, that loads shared objects as well (way A).
template <class Base> class NativeWasm : public Base {
public:
  using Base::Base;

  bool load(const std::string &code, bool allow_precompiled = false) override {
    switch (loadNative(this->wasm_vm(), this->vm_id(), code, &this->abi_version_)) {
    case NativeLoad::Loaded:
      return true;
    case NativeLoad::Failed:
      this->fail(proxy_wasm::FailState::UnableToInitializeCode, "Failed to load native plugin");
      return false;
    case NativeLoad::NotNative:
      break;
    }
    return Base::load(code, allow_precompiled);
  }
};

} // namespace dynvm
