// SPDX-License-Identifier: Apache-2.0
//
// Native plugins in proxy-wasm-cpp-host: a WasmVm that runs shared objects instead of WebAssembly.
//
// An unmodified host takes it in one of three ways; docs/cpp-host.md has them with their limits:
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

/// How native plugins run. Each has the loader's default: dynvm/loader/options.h has more on them.
struct DynVmOptions {
  /// A trust policy file; empty: whatever the host hands in is loaded.
  std::string trust_policy_file;
  /// Contain crashes of plugins.
  bool contain_crashes = true;
  /// Give each VM a heap of its own.
  bool heap = true;
  /// Most bytes of that heap; 0: no limit.
  std::size_t memory_limit = 0;
  /// How long a call may take before its VM is failed, in milliseconds; 0: as long as it likes.
  std::uint64_t budget_ms = 0;
  /// Where private copies of images are written; empty: the directory for temporary files.
  std::string image_dir;
  /// Keep them while they are in use, for debuggers.
  bool keep_images = false;
  /// Give "null" as the engine's name, so that WasmBase::load hands on what it is given (way B).
  bool as_null = false;
};

/// A VM for native plugins. Never null: what is wrong with the options, load() says, and fails.
std::unique_ptr<proxy_wasm::WasmVm> createDynVm();
std::unique_ptr<proxy_wasm::WasmVm> createDynVm(const DynVmOptions &options);

/// What came of loadNative.
enum class NativeLoad {
  /// The plugin is loaded, and its ABI version known.
  Loaded,
  /// It is native, and cannot be loaded. The VM's integration was told why.
  Failed,
  /// It is not for this: a WebAssembly module, or another kind of VM. WasmBase::load knows what to do.
  NotNative,
};

/// Loads a shared object into a VM of createDynVm: `code` is its bytes, or an absolute path.
NativeLoad loadNative(proxy_wasm::WasmVm *vm, std::string_view code, proxy_wasm::AbiVersion *abi_version);

/// A WasmBase, or a class derived from it, that loads shared objects as well (way A).
template <class Base> class NativeWasm : public Base {
public:
  using Base::Base;

  bool load(const std::string &code, bool allow_precompiled = false) override {
    switch (loadNative(this->wasm_vm(), code, &this->abi_version_)) {
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
