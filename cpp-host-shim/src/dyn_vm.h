// SPDX-License-Identifier: Apache-2.0
//
// The VM.

#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "handle.h"
#include "loading.h"

namespace dynvm {

using proxy_wasm::ContextBase;
using proxy_wasm::Word;

/// A VM whose code is a shared object. Its image is private, and is opened when the host starts the
/// VM: the plugin's constructors then run with a context, under the host's restrictions, as start
/// functions do.
class DynVm final : public proxy_wasm::WasmVm {
public:
  explicit DynVm(std::shared_ptr<const Loading> loading) : loading_(std::move(loading)) {}
  DynVm(const DynVm &) = delete;
  DynVm &operator=(const DynVm &) = delete;

  std::string_view getEngineName() override { return loading_->options().as_null ? "null" : "dyn"; }

  // A clone shares the module and maps a private image.
  proxy_wasm::Cloneable cloneable() override { return proxy_wasm::Cloneable::CompiledBytecode; }
  std::unique_ptr<WasmVm> clone() override;

  bool load(std::string_view bytecode, std::string_view precompiled,
            const std::unordered_map<uint32_t, std::string> &function_names) override;
  bool loadNative(std::string_view name, std::string_view code);
  bool checkSignature(std::string_view code);
  proxy_wasm::AbiVersion abiVersion() const;
  std::optional<std::string> serialize(std::string_view) override { return std::nullopt; }
  std::string_view getPrecompiledSectionName() override { return "dynvm.native"; }
  bool link(std::string_view debug_name) override;

  // Memory is the process's. The host follows addresses of the plugin through these only, so they
  // check them.
  uint64_t getMemorySize() override { return vm_ ? dynvm_vm_memory_size(vm_.get()) : 0; }
  std::optional<std::string_view> getMemory(uint64_t pointer, uint64_t size) override;
  bool setMemory(uint64_t pointer, uint64_t size, const void *data) override;
  bool getWord(uint64_t pointer, Word *word) override;
  bool setWord(uint64_t pointer, Word word) override;
  size_t getWordSize() override { return sizeof(uint64_t); }
  bool usesWasmByteOrder() override { return false; }

#define DYNVM_GET_FUNCTION(T)                                                                      \
  void getFunction(std::string_view name, T *function) override { get(name, function); }
  FOR_ALL_WASM_VM_EXPORTS(DYNVM_GET_FUNCTION)
#undef DYNVM_GET_FUNCTION

#define DYNVM_REGISTER_CALLBACK(T)                                                                 \
  void registerCallback(std::string_view module, std::string_view name, T function,                \
                        typename proxy_wasm::ConvertFunctionTypeWordToUint32<T>::type) override {  \
    bind(module, name, function);                                                                  \
  }
  FOR_ALL_WASM_VM_IMPORTS(DYNVM_REGISTER_CALLBACK)
#undef DYNVM_REGISTER_CALLBACK

  void terminate() override;

private:
  /// A function of the plugin that the host requested.
  struct Export {
    DynVm *vm;
    std::string name;
    /// The defined bits of a result.
    uint64_t mask;
    /// 0 until the image is open.
    dynvm_function_t address = 0;
    dynvm_prepared_t prepared = {};
  };

  /// The thread on which the VM was opened: what the host keeps for it.
  struct Thread {
    /// No thread's before.
    uintptr_t id = 0;
    ContextBase **context = nullptr;
    uint32_t *effective_context_id = nullptr;
  };

  template <class R, class... Args>
  void get(std::string_view name, std::function<R(ContextBase *, Args...)> *function);
  template <class R, class... Args> void bind(std::string_view module, std::string_view name, R (*function)(Args...));

  bool defines(std::string_view name) const;
  Export *exported(std::string_view name);
  void find(Export &function);
  template <class R, class... Numbers> static R call(Export &function, ContextBase *context, Numbers... numbers);
  template <class R> static R callSlowly(Export &function, ContextBase *context, std::array<uint64_t, 5> numbers, size_t count);
  template <class R, class... Args> static R callThrough(Export &function, ContextBase *context, Args... args);
  Word allocate(ContextBase *context, Word size);
  Word allocateIn(Word size, uint32_t mode);
  void start(ContextBase *context);
  bool open();

  /// Whether the host currently restricts hostcalls.
  bool isRestricted() { return !isHostFunctionAllowed(NEVER_ALLOWED); }
  static const std::string NEVER_ALLOWED;
  /// Whether calls are traced now; the host may change the level at any time.
  bool isTraced() { return integration() && cmpLogLevel(proxy_wasm::LogLevel::trace); }
  uint32_t mode(bool traced) {
    return (isRestricted() ? uint32_t{DYNVM_CALL_RESTRICTED} : 0) | (traced ? uint32_t{DYNVM_CALL_TRACED} : 0);
  }
  static bool mayCall(void *vm, const char *name, size_t size);
  static void log(void *vm, uint32_t level, const char *text, size_t size);
  static void traceHostcall(void *vm, const char *name, size_t size, const uint64_t *arguments, size_t count,
                            const uint64_t *result);
  static bool clock(void *vm, bool monotonic, uint64_t *nanoseconds);
  static const char *variable(void *vm, const char *name);
  void readEnvironment();
  void trace(const char *direction, std::string_view function, const uint64_t *arguments, size_t count);
  void traceReturn(const char *direction, std::string_view function, const uint64_t *result);
  void refuse(proxy_wasm::FailState state, const std::string &text);
  void failedIn(std::string_view function);

  const std::shared_ptr<const Loading> loading_;
  Hostcalls hostcalls_{dynvm_hostcalls_new()};
  Word (*log_)(Word, Word, Word) = nullptr;
  // The host's functions of WASI, through which a context's time and the VM's environment variables
  // can be read.
  Word (*clock_)(Word, uint64_t, Word) = nullptr;
  Word (*environment_sizes_)(Word, Word) = nullptr;
  Word (*environment_)(Word, Word) = nullptr;
  // Read when the plugin asks for the first variable, as WASI's C library does.
  std::optional<std::map<std::string, std::string, std::less<>>> environment_variables_;
  std::shared_ptr<const dynvm_module_t> module_;
  // Of a module that was loaded from a file: its path, and what tells its versions apart.
  std::string path_;
  std::string stamp_;
  Thread thread_;
  // Must not move: the host's functions point into it.
  std::deque<Export> exports_;
  std::mutex terminator_mutex_;
  Terminator terminator_;
  // terminate() came before there was something to terminate.
  bool terminated_ = false;
  // Last member, since its destruction may run destructors of the plugin, which log.
  Vm vm_;
};

} // namespace dynvm
