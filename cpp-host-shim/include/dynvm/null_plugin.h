// SPDX-License-Identifier: Apache-2.0
//
// Linked plugins (docs/nullvm.md) as NullVM plugins of proxy-wasm-cpp-host. An embedder writes one line for each, in one source file:
//
//   #include "dynvm/null_plugin.h"
//   #include "header-rewrite.h"
//
//   static const dynvm::RegisterLinkedPlugin header_rewrite(dvn_header_rewrite);
//
// A configuration names it as any NullVM plugin: the runtime of NullVM, and "header-rewrite" as the code. Nothing else of the
// embedder changes.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "dynvm/cpp_host.h"
#include "dynvm/loader.h"
#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/exports.h"
#include "include/proxy-wasm/null_vm_plugin.h"
#include "include/proxy-wasm/wasm.h"

namespace dynvm {

/// One VM of a linked plugin, for the NullVM that owns it. RegisterLinkedPlugin creates them.
class LinkedPlugin final : public proxy_wasm::NullVmPlugin {
public:
  /// `refusal`: why the plugin was not registered, if it was not.
  LinkedPlugin(std::string name, const DynVmOptions &options, std::string refusal)
      : name_(std::move(name)), refusal_(std::move(refusal)), vm_(createDynVm(options)) {}

#define DYNVM_GET_FUNCTION(T)                                                                      \
  void getFunction(std::string_view name, T *function) override { get(name, function); }
  FOR_ALL_WASM_VM_EXPORTS(DYNVM_GET_FUNCTION)
#undef DYNVM_GET_FUNCTION

private:
  // The host starts its base VM only, not the clones of a NullVM. So each VM starts when the host first calls it, in that call's
  // context; the base VM, which is never called, then takes no slot.
  template <class R, class... Args>
  void get(std::string_view name, std::function<R(proxy_wasm::ContextBase *, Args...)> *function) {
    *function = nullptr;
    if (!load() || name == "_initialize" || name == "_start") {
      return;
    }
    std::function<R(proxy_wasm::ContextBase *, Args...)> exported;
    vm_->getFunction(name, &exported);
    if (exported) {
      *function = [this, exported = std::move(exported)](proxy_wasm::ContextBase *context, Args... args) -> R {
        if (!started_) [[unlikely]] {
          start(context);
        }
        return exported(context, args...);
      };
    }
  }

  // Not in the constructor, which runs before the NullVM is known.
  bool load() {
    if (!loaded_) {
      loaded_ = true;
      vm_->integration().reset(wasm_vm_->integration()->clone());
      vm_->addFailCallback([this](proxy_wasm::FailState state) { wasm_vm_->fail(state, "Linked plugin " + name_ + " failed"); });
      if (!refusal_.empty()) {
        vm_->fail(proxy_wasm::FailState::UnableToInitializeCode, refusal_);
      } else {
        vm_->load(name_, {}, {});
      }
    }
    return !vm_->isFailed();
  }

  void start(proxy_wasm::ContextBase *context) {
    started_ = true;
    bind(*context->wasm());
    if (vm_->isFailed() || !vm_->link(name_)) {
      return;
    }
    // As the host restricts what it starts.
    vm_->setRestrictedCallback(true, {"env.proxy_log"});
    proxy_wasm::WasmCallVoid<0> initialize;
    vm_->getFunction("_initialize", &initialize);
    initialize(context);
    proxy_wasm::WasmCallWord<2> main;
    vm_->getFunction("main", &main);
    if (main) {
      main(context, 0, 0);
    }
    vm_->setRestrictedCallback(false);
  }

  // The functions of every ABI: which one the plugin needs, the loader has checked.
  void bind(proxy_wasm::WasmBase &wasm) {
    namespace exports = proxy_wasm::exports;
#define DYNVM_BIND(module, prefix, export_prefix, function)                                        \
  vm_->registerCallback(module, prefix #function,                                                  \
                        wasm.capabilityAllowed(prefix #function)                                   \
                            ? &exports::export_prefix##function                                    \
                            : &exports::function##Stub<decltype(exports::export_prefix##function)>::stub, \
                        nullptr);
#define DYNVM_BIND_PROXY(function) DYNVM_BIND("env", "proxy_", , function)
#define DYNVM_BIND_WASI(function) DYNVM_BIND("wasi_snapshot_preview1", , wasi_unstable_, function)
    FOR_ALL_HOST_FUNCTIONS(DYNVM_BIND_PROXY)
    FOR_ALL_HOST_FUNCTIONS_ABI_SPECIFIC(DYNVM_BIND_PROXY)
    DYNVM_BIND_WASI(clock_time_get)
    DYNVM_BIND_WASI(environ_get)
    DYNVM_BIND_WASI(environ_sizes_get)
#undef DYNVM_BIND_WASI
#undef DYNVM_BIND_PROXY
#undef DYNVM_BIND
  }

  const std::string name_;
  const std::string refusal_;
  const std::unique_ptr<proxy_wasm::WasmVm> vm_;
  bool loaded_ = false;
  bool started_ = false;
};

/// Registers a linked plugin with the loader and with NullVM, under its name. Of the options, those of VMs apply: memory_limit and
/// budget_ms. An error, such as a second plugin of that name, is reported by its VMs. The plugin's description must live as long as
/// the process.
struct RegisterLinkedPlugin {
  explicit RegisterLinkedPlugin(const dynvm_linked_t &plugin, DynVmOptions options = {}) {
    // NullVM looks at no address.
    options.check_addresses = true;
    std::string refusal;
    if (dynvm_error_t *error = dynvm_linked_register(&plugin)) {
      refusal = dynvm_error_text(error);
      dynvm_error_free(error);
    }
    proxy_wasm::RegisterNullVmPluginFactory(plugin.name, [name = std::string(plugin.name), options, refusal] {
      return std::make_unique<LinkedPlugin>(name, options, refusal);
    });
  }
};

} // namespace dynvm
