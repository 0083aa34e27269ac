// SPDX-License-Identifier: Apache-2.0

#include "dyn_vm.h"

#include <algorithm>
#include <cstring>

#include "calls.h"
#include "probe.h"
#include "include/proxy-wasm/signature_util.h"

namespace dynvm {

using proxy_wasm::AbiVersion;
using proxy_wasm::FailState;
using proxy_wasm::LogLevel;
using proxy_wasm::SaveRestoreContext;

std::unique_ptr<proxy_wasm::WasmVm> createDynVm() { return createDynVm({}); }

std::unique_ptr<proxy_wasm::WasmVm> createDynVm(const DynVmOptions &options) {
  return std::make_unique<DynVm>(std::make_shared<Loading>(options));
}

NativeLoad loadNative(proxy_wasm::WasmVm *vm, std::string_view name, std::string_view code, AbiVersion *abi_version) {
  auto *dyn_vm = dynamic_cast<DynVm *>(vm);
  if (dyn_vm == nullptr || isWasm(code)) {
    return NativeLoad::NotNative;
  }
  if (!dyn_vm->checkSignature(code) || !dyn_vm->loadNative(name, code)) {
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
  clone->path_ = path_;
  clone->stamp_ = stamp_;
  if (!path_.empty() && stampOf(path_) != stamp_ && integration()) {
    integration()->error("Native plugins: " + path_ +
                         " was replaced after its base VM had loaded it; this VM runs what was loaded. A VM key made with "
                         "dynvm::codeForKey changes with the file");
  }
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
  // The host has checked the signature, unless it takes this for a NullVM.
  return (!loading_->options().as_null || checkSignature(bytecode)) && loadNative({}, bytecode);
}

// What the host does before it loads a WebAssembly module. Only a fat plugin can carry a signature,
// so with a key nothing else is loaded, unless a trust policy decides. What is linked is part of the host.
bool DynVm::checkSignature(std::string_view code) {
  std::string message;
  if (isName(code) || !loading_->options().trust_policy_file.empty() || proxy_wasm::SignatureUtil::verifySignature(code, message)) {
    return true;
  }
  refuse(FailState::UnableToInitializeCode,
         "Native plugins: this host loads only what its key signed (" + message +
             "): pass the bytes of a signed fat plugin, or set DynVmOptions::trust_policy_file");
  return false;
}

bool DynVm::loadNative(std::string_view name, std::string_view code) {
  std::string error;
  if (isPath(code)) {
    path_ = code;
    stamp_ = stampOf(path_);
  }
  module_ = loading_->load(name, code, &error);
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
  if (!catchFaults()) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: too many libraries of this process have a copy of the shim");
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
  // The host follows no address of a plugin but through getMemory and its like, which check it. As
  // in wasm, it then sees hostcalls with a bad address of a result.
  dynvm_vm_config_set_check_addresses(config.get(), options.check_addresses);
  dynvm_vm_config_set_trace(config.get(), traceHostcall, this);
  dynvm_vm_config_set_clock(config.get(), clock, this);
  dynvm_vm_config_set_environment(config.get(), variable, this);
  dynvm_vm_t *vm = nullptr;
  const std::string error = textOf(dynvm_vm_new(module_.get(), config.get(), &vm));
  if (!error.empty()) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: " + error);
    return false;
  }
  vm_.reset(vm);
  std::lock_guard lock(terminator_mutex_);
  terminator_.reset(dynvm_vm_terminator(vm));
  if (terminated_) {
    dynvm_terminator_terminate(terminator_.get(), 0);
  }
  return true;
}

namespace {

// Kept apart from the functions below, which are called for each value of a hostcall.
[[gnu::noinline, gnu::cold]] std::optional<std::string_view> memoryAt(uint64_t pointer, uint64_t size) {
  if (!dynvm_is_readable(pointer, size)) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char *>(pointer), size);
}

[[gnu::noinline, gnu::cold]] bool write(uint64_t pointer, uint64_t size, const void *data) {
  if (size == 0) {
    return true;
  }
  if (data == nullptr || !dynvm_is_writable(pointer, size)) {
    return false;
  }
  std::memcpy(reinterpret_cast<void *>(pointer), data, size);
  return true;
}

[[gnu::noinline, gnu::cold]] bool writeWord(uint64_t pointer, uint64_t word) { return write(pointer, sizeof(word), &word); }

} // namespace

std::optional<std::string_view> DynVm::getMemory(uint64_t pointer, uint64_t size) {
  if (!isSurelyReadable(pointer, size)) [[unlikely]] {
    return memoryAt(pointer, size);
  }
  return std::string_view(reinterpret_cast<const char *>(pointer), size);
}

bool DynVm::setMemory(uint64_t pointer, uint64_t size, const void *data) {
  if (data == nullptr || !isSurelyWritable(pointer, size)) [[unlikely]] {
    return write(pointer, size, data);
  }
  std::memcpy(reinterpret_cast<void *>(pointer), data, size);
  return true;
}

bool DynVm::getWord(uint64_t pointer, Word *word) {
  const auto memory = getMemory(pointer, sizeof(word->u64_));
  if (memory) {
    std::memcpy(&word->u64_, memory->data(), sizeof(word->u64_));
  }
  return memory.has_value();
}

bool DynVm::setWord(uint64_t pointer, Word word) {
  if (!isSurelyWritable(pointer, sizeof(word.u64_))) [[unlikely]] {
    return writeWord(pointer, word.u64_);
  }
  std::memcpy(reinterpret_cast<void *>(pointer), &word.u64_, sizeof(word.u64_));
  return true;
}

// Called on a thread other than the VM's.
void DynVm::terminate() {
  constexpr uint64_t PATIENCE_MS = 1000;
  std::lock_guard lock(terminator_mutex_);
  terminated_ = true;
  if (terminator_ && !dynvm_terminator_terminate(terminator_.get(), PATIENCE_MS) && integration()) {
    integration()->error("Native plugins: the terminated plugin is in a hostcall or in a library; it ends when that returns");
  }
}

bool DynVm::defines(std::string_view name) const {
  return module_ && dynvm_module_defines(module_.get(), std::string(name).c_str());
}

DynVm::Export *DynVm::exported(std::string_view name) {
  const auto known =
      std::find_if(exports_.begin(), exports_.end(), [&](const Export &function) { return function.name == name; });
  if (known != exports_.end()) {
    return &*known;
  }
  if (!defines(name)) {
    return nullptr;
  }
  Export &function = exports_.emplace_back(Export{this, std::string(name), definedBits(name)});
  find(function);
  return &function;
}

void DynVm::find(Export &function) {
  function.address = vm_ ? dynvm_vm_function(vm_.get(), function.name.c_str()) : 0;
  if (function.address != 0) {
    dynvm_vm_prepare(vm_.get(), function.address, &function.prepared);
  }
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
  const std::string error = textOf(dynvm_vm_open(vm_.get(), mode(isTraced())));
  if (!error.empty()) {
    refuse(FailState::UnableToInitializeCode, "Native plugins: " + error);
    return false;
  }
  for (auto &function : exports_) {
    find(function);
  }
  thread_ = {thisThread(), &proxy_wasm::current_context_, &proxy_wasm::effective_context_id_};
  return true;
}

Word DynVm::allocate(ContextBase *context, Word size) {
  if (isFailed()) {
    return 0;
  }
  // The host restricts its calls of the allocator in any case; mayCall asks it.
  const uint32_t mode = DYNVM_CALL_RESTRICTED | (isTraced() ? DYNVM_CALL_TRACED : 0);
  if (thread_.id != thisThread()) [[unlikely]] {
    SaveRestoreContext saved(context);
    return allocateIn(size, mode);
  }
  const Current current(*thread_.context, *thread_.effective_context_id, context);
  return allocateIn(size, mode);
}

Word DynVm::allocateIn(Word size, uint32_t mode) {
  const uint64_t address = dynvm_vm_allocate(vm_.get(), size, mode);
  if (address == 0) {
    failedIn(defines("proxy_on_memory_allocate") ? "proxy_on_memory_allocate" : "malloc");
    return 0;
  }
  // A plugin's allocator may return any address.
  return isSurelyWritable(address, size) || dynvm_is_writable(address, size) ? address : 0;
}

const std::string DynVm::NEVER_ALLOWED;

bool DynVm::mayCall(void *vm, const char *name, size_t size) {
  return static_cast<DynVm *>(vm)->isHostFunctionAllowed("env." + std::string(name, size));
}

// Through the host's function for WASI, which asks the current context. False where there is none:
// the plugin then gets the system's time.
bool DynVm::clock(void *vm, bool monotonic, uint64_t *nanoseconds) {
  auto *self = static_cast<DynVm *>(vm);
  if (proxy_wasm::current_context_ == nullptr || self->clock_ == nullptr || !dynvm_vm_is_running(self->vm_.get())) {
    return false;
  }
  // As the C library for WASI does: the clock, a precision of 1 ns, the place.
  constexpr std::string_view NAME = "wasi_snapshot_preview1.clock_time_get";
  const std::array<uint64_t, 3> arguments = {monotonic, 1, reinterpret_cast<uint64_t>(nanoseconds)};
  const bool traced = self->isTraced();
  if (traced) {
    self->trace("[vm->host] ", NAME, arguments.data(), arguments.size());
  }
  const uint64_t result = self->clock_(arguments[0], arguments[1], arguments[2]);
  if (traced) {
    self->traceReturn("[vm<-host] ", NAME, &result);
  }
  return result == 0;
}

const char *DynVm::variable(void *vm, const char *name) {
  auto *self = static_cast<DynVm *>(vm);
  if (!self->environment_variables_ && proxy_wasm::current_context_ != nullptr) {
    self->readEnvironment();
  }
  if (!self->environment_variables_) {
    return nullptr;
  }
  const auto found = self->environment_variables_->find(std::string_view(name));
  return found == self->environment_variables_->end() ? nullptr : found->second.c_str();
}

// From the host's functions for WASI, as a module would read them.
void DynVm::readEnvironment() {
  environment_variables_.emplace();
  Word count, size;
  if (environment_sizes_ == nullptr || environment_ == nullptr ||
      environment_sizes_(reinterpret_cast<uint64_t>(&count.u64_), reinterpret_cast<uint64_t>(&size.u64_)) != 0) {
    return;
  }
  std::vector<const char *> variables(count.u64_);
  std::vector<char> text(size.u64_);
  if (environment_(reinterpret_cast<uint64_t>(variables.data()), reinterpret_cast<uint64_t>(text.data())) != 0) {
    return;
  }
  for (const std::string_view variable : variables) {
    const size_t name = std::min(variable.find('='), variable.size());
    environment_variables_->emplace(variable.substr(0, name), variable.substr(std::min(name + 1, variable.size())));
  }
}

// Standard output and error of the plugin, and the loader's messages about it, become messages of
// the plugin while one of its functions runs: at other times the current context, if there is one,
// is another VM's.
void DynVm::log(void *vm, uint32_t level, const char *text, size_t size) {
  auto *self = static_cast<DynVm *>(vm);
  if (proxy_wasm::current_context_ != nullptr && self->log_ != nullptr && self->vm_ && dynvm_vm_is_running(self->vm_.get())) {
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

// The format of the host's other engines.
void DynVm::trace(const char *direction, std::string_view function, const uint64_t *arguments, size_t count) {
  std::string text = direction + std::string(function) + "(";
  for (size_t index = 0; index < count; index++) {
    text += (index == 0 ? "" : ", ") + std::to_string(arguments[index]);
  }
  integration()->trace(text + ")");
}

void DynVm::traceReturn(const char *direction, std::string_view function, const uint64_t *result) {
  integration()->trace(direction + std::string(function) + " return: " + (result == nullptr ? "void" : std::to_string(*result)));
}

void DynVm::traceHostcall(void *vm, const char *name, size_t size, const uint64_t *arguments, size_t count,
                          const uint64_t *result) {
  auto *self = static_cast<DynVm *>(vm);
  const std::string function = "env." + std::string(name, size);
  if (result == nullptr) {
    self->trace("[vm->host] ", function, arguments, count);
  } else {
    self->traceReturn("[vm<-host] ", function, result);
  }
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
