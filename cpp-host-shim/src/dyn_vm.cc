// SPDX-License-Identifier: Apache-2.0

#include "dyn_vm.h"

#include <algorithm>
#include <cstring>

#include "calls.h"

namespace dynvm {

using proxy_wasm::AbiVersion;
using proxy_wasm::FailState;
using proxy_wasm::LogLevel;
using proxy_wasm::SaveRestoreContext;

std::unique_ptr<proxy_wasm::WasmVm> createDynVm() { return createDynVm({}); }

std::unique_ptr<proxy_wasm::WasmVm> createDynVm(const DynVmOptions &options) {
  return std::make_unique<DynVm>(std::make_shared<Loading>(options));
}

NativeLoad loadNative(proxy_wasm::WasmVm *vm, std::string_view code, AbiVersion *abi_version) {
  auto *dyn_vm = dynamic_cast<DynVm *>(vm);
  if (dyn_vm == nullptr || isWasm(code)) {
    return NativeLoad::NotNative;
  }
  if (!dyn_vm->loadNative(code)) {
    return NativeLoad::Failed;
  }
  *abi_version = dyn_vm->abiVersion();
  return NativeLoad::Loaded;
}

std::unique_ptr<proxy_wasm::WasmVm> DynVm::clone() {
  auto clone = std::make_unique<DynVm>(loading_);
  if (integration()) {
    clone->integration().reset(integration()->clone());
  }
  clone->module_ = module_;
  return clone;
}

bool DynVm::load(std::string_view bytecode, std::string_view precompiled,
                 const std::unordered_map<uint32_t, std::string> &) {
  if (isWasm(bytecode) && precompiled.empty()) {
    refuse(FailState::UnableToInitializeCode,
           "Native plugins: the module carries no native image, or precompiled code is not allowed (allow_precompiled); "
           "`dynvm bundle` puts an image into a module");
    return false;
  }
  return loadNative(bytecode);
}

bool DynVm::loadNative(std::string_view code) {
  std::string error;
  module_ = loading_->load(code, &error);
  if (!module_) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: " + error);
  }
  return module_ != nullptr;
}

AbiVersion DynVm::abiVersion() const {
  switch (module_ ? dynvm_module_abi_version(module_.get()) : 0) {
  case DYNVM_ABI_0_1_0:
    return AbiVersion::ProxyWasm_0_1_0;
  case DYNVM_ABI_0_2_0:
    return AbiVersion::ProxyWasm_0_2_0;
  case DYNVM_ABI_0_2_1:
    return AbiVersion::ProxyWasm_0_2_1;
  default:
    return AbiVersion::Unknown;
  }
}

bool DynVm::link(std::string_view debug_name) {
  if (!module_) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: nothing was loaded");
    return false;
  }
  VmConfig config(dynvm_vm_config_new(hostcalls_.get()));
  const auto &options = loading_->options();
  // A name that is not text is no reason to fail: it only appears in messages.
  textOf(dynvm_vm_config_set_name(config.get(), std::string(debug_name).c_str()));
  dynvm_vm_config_set_memory_limit(config.get(), options.memory_limit);
  dynvm_vm_config_set_budget(config.get(), options.budget_ms, DYNVM_BUDGET_FAIL);
  dynvm_vm_config_set_log(config.get(), log, this);
  dynvm_vm_config_set_may_call(config.get(), mayCall, this);
  dynvm_vm_t *vm = nullptr;
  const std::string error = textOf(dynvm_vm_new(module_.get(), config.get(), &vm));
  if (!error.empty()) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: " + error);
    return false;
  }
  vm_.reset(vm);
  return true;
}

std::optional<std::string_view> DynVm::getMemory(uint64_t pointer, uint64_t size) {
  if (pointer == 0 && size != 0) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char *>(pointer), size);
}

bool DynVm::setMemory(uint64_t pointer, uint64_t size, const void *data) {
  if (size == 0) {
    return true;
  }
  if (pointer == 0 || data == nullptr) {
    return false;
  }
  std::memcpy(reinterpret_cast<void *>(pointer), data, size);
  return true;
}

bool DynVm::getWord(uint64_t pointer, Word *word) {
  if (pointer == 0) {
    return false;
  }
  std::memcpy(&word->u64_, reinterpret_cast<const void *>(pointer), sizeof(word->u64_));
  return true;
}

bool DynVm::setWord(uint64_t pointer, Word word) { return setMemory(pointer, sizeof(word.u64_), &word.u64_); }

// Called on a thread other than the VM's.
void DynVm::terminate() {
  constexpr uint64_t PATIENCE_MS = 1000;
  std::lock_guard lock(terminator_mutex_);
  if (terminator_) {
    dynvm_terminator_terminate(terminator_.get(), PATIENCE_MS);
  }
}

DynVm::Export *DynVm::exported(std::string_view name) {
  const auto known =
      std::find_if(exports_.begin(), exports_.end(), [&](const Export &function) { return function.name == name; });
  if (known != exports_.end()) {
    return &*known;
  }
  const std::string owned(name);
  if (!module_ || !dynvm_module_defines(module_.get(), owned.c_str())) {
    return nullptr;
  }
  const dynvm_function_t address = vm_ ? dynvm_vm_function(vm_.get(), owned.c_str()) : 0;
  return &exports_.emplace_back(Export{this, owned, address, definedBits(name)});
}

// The host calls this as `_initialize`, whether or not the plugin exports it.
void DynVm::start(ContextBase *context) {
  if (isFailed()) {
    return;
  }
  SaveRestoreContext saved(context);
  if (!open()) {
    return;
  }
  for (const char *name : {"_initialize", "_start"}) {
    if (auto *function = exported(name)) {
      call<void>(*function, context);
      return;
    }
  }
}

bool DynVm::open() {
  if (!vm_) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: the VM was not linked");
    return false;
  }
  const std::string error = textOf(dynvm_vm_open(vm_.get()));
  if (!error.empty()) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: " + error);
    return false;
  }
  {
    std::lock_guard lock(terminator_mutex_);
    terminator_.reset(dynvm_vm_terminator(vm_.get()));
  }
  for (auto &function : exports_) {
    function.address = dynvm_vm_function(vm_.get(), function.name.c_str());
  }
  return true;
}

Word DynVm::allocate(ContextBase *context, Word size) {
  if (isFailed()) {
    return 0;
  }
  SaveRestoreContext saved(context);
  const uint64_t address = dynvm_vm_allocate(vm_.get(), size, isRestricted());
  if (address == 0) {
    failedIn("malloc");
    return 0;
  }
  // A plugin's allocator may return any address.
  return dynvm_is_writable(address, size) ? address : 0;
}

const std::string DynVm::NEVER_ALLOWED;

bool DynVm::mayCall(void *vm, size_t hostcall) {
  static const std::vector<std::string> NAMES = [] {
    std::vector<std::string> names;
    for (size_t index = 0; index < dynvm_hostcall_count(); index++) {
      names.push_back(std::string("env.") + dynvm_hostcall_name(index));
    }
    return names;
  }();
  return static_cast<DynVm *>(vm)->isHostFunctionAllowed(NAMES[hostcall]);
}

// Standard output and error of the plugin, and the loader's messages about it, become messages of
// the plugin while one of its contexts runs.
void DynVm::log(void *vm, uint32_t level, const char *text, size_t size) {
  auto *self = static_cast<DynVm *>(vm);
  if (proxy_wasm::current_context_ != nullptr && self->log_ != nullptr) {
    self->log_(level, reinterpret_cast<uint64_t>(text), size);
  } else if (self->integration()) {
    const std::string_view message(text, size);
    if (level >= static_cast<uint32_t>(LogLevel::warn)) {
      self->integration()->error(message);
    } else {
      self->integration()->trace(message);
    }
  }
}

void DynVm::trace(const Export &function, std::initializer_list<uint64_t> arguments) {
  std::string text = "[host->vm] " + function.name + "(";
  for (const uint64_t argument : arguments) {
    text += (text.back() == '(' ? "" : ", ") + std::to_string(argument);
  }
  function.vm->integration()->trace(text + ")");
}

void DynVm::refuse(FailState state, const std::string &text) {
  if (integration()) {
    fail(state, text);
  } else {
    failed_ = state;
  }
}

void DynVm::failedIn(std::string_view function) {
  if (isFailed() || !dynvm_vm_has_failed(vm_.get())) {
    return;
  }
  const std::string why = textOf(dynvm_vm_failure(vm_.get()));
  refuse(FailState::RuntimeError, "Function: " + std::string(function) + " failed: " + why);
}

} // namespace dynvm
