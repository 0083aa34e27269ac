// SPDX-License-Identifier: Apache-2.0
//
// The part of proxy-wasm-cpp-host's interface that the shim implements and uses: names, types and
// order of members. With it the shim compiles and is tested without the host. If the host is given,
// the same shim and tests are compiled against its own headers.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace proxy_wasm {

enum class LogLevel : int { trace, debug, info, warn, error, critical };

enum class WasmResult : uint32_t { Ok = 0, NotFound = 1, BadArgument = 2, InternalFailure = 10, Unimplemented = 12 };

struct Word {
  Word() = default;
  Word(uint64_t value) : u64_(value) {}
  Word(WasmResult result) : u64_(static_cast<uint64_t>(result)) {}
  operator uint64_t() const { return u64_; }
  uint32_t u32() const { return static_cast<uint32_t>(u64_); }
  uint64_t u64_ = 0;
};

class ContextBase;

namespace interface {

template <class T> struct Narrow { using type = T; };
template <> struct Narrow<Word> { using type = uint32_t; };

// Function types of N equal parameters.
template <class R, class Sequence, class... First> struct OfWords;
template <class R, size_t... I, class... First> struct OfWords<R, std::index_sequence<I...>, First...> {
  template <size_t> using Each = Word;
  using type = R(First..., Each<I>...);
};

} // namespace interface

template <class F> struct ConvertFunctionTypeWordToUint32;
template <class R, class... Args> struct ConvertFunctionTypeWordToUint32<R (*)(Args...)> {
  using type = typename interface::Narrow<R>::type (*)(typename interface::Narrow<Args>::type...);
};

template <size_t N>
using WasmCallVoid = std::function<typename interface::OfWords<void, std::make_index_sequence<N>, ContextBase *>::type>;
template <size_t N>
using WasmCallWord = std::function<typename interface::OfWords<Word, std::make_index_sequence<N>, ContextBase *>::type>;
using WasmCall_WWlfd = std::function<Word(ContextBase *, Word, uint64_t, float, double)>;
using WasmCall_lf = std::function<uint64_t(ContextBase *, float)>;
using WasmCall_fff = std::function<float(ContextBase *, float, float)>;
using WasmCall_dfff = std::function<double(ContextBase *, float, float, float)>;

#define FOR_ALL_WASM_VM_EXPORTS(f)                                                                 \
  f(proxy_wasm::WasmCallVoid<0>) f(proxy_wasm::WasmCallVoid<1>) f(proxy_wasm::WasmCallVoid<2>) f(proxy_wasm::WasmCallVoid<3>) f(proxy_wasm::WasmCallVoid<5>)   \
  f(proxy_wasm::WasmCallWord<0>) f(proxy_wasm::WasmCallWord<1>) f(proxy_wasm::WasmCallWord<2>) f(proxy_wasm::WasmCallWord<3>)                      \
  f(proxy_wasm::WasmCall_WWlfd) f(proxy_wasm::WasmCall_lf) f(proxy_wasm::WasmCall_fff) f(proxy_wasm::WasmCall_dfff)

template <size_t N>
using WasmCallbackVoid = typename interface::OfWords<void, std::make_index_sequence<N>>::type *;
template <size_t N>
using WasmCallbackWord = typename interface::OfWords<Word, std::make_index_sequence<N>>::type *;
using WasmCallback_WWl = Word (*)(Word, int64_t);
using WasmCallback_WWlWW = Word (*)(Word, int64_t, Word, Word);
using WasmCallback_WWm = Word (*)(Word, uint64_t);
using WasmCallback_WWmW = Word (*)(Word, uint64_t, Word);
using WasmCallback_WWWWWWllWW = Word (*)(Word, Word, Word, Word, Word, int64_t, int64_t, Word, Word);
using WasmCallback_WWWWmm = Word (*)(Word, Word, Word, Word, uint64_t, uint64_t);
using WasmCallback_WWWWmmW = Word (*)(Word, Word, Word, Word, uint64_t, uint64_t, Word);
using WasmCallback_WWmm = Word (*)(Word, uint64_t, uint64_t);
using WasmCallback_WWmmW = Word (*)(Word, uint64_t, uint64_t, Word);
using WasmCallback_WWWWmW = Word (*)(Word, Word, Word, uint64_t, Word);
using WasmCallback_dd = double (*)(double);

#define FOR_ALL_WASM_VM_IMPORTS(f)                                                                 \
  f(proxy_wasm::WasmCallbackVoid<0>) f(proxy_wasm::WasmCallbackVoid<1>) f(proxy_wasm::WasmCallbackVoid<2>) f(proxy_wasm::WasmCallbackVoid<3>)      \
  f(proxy_wasm::WasmCallbackVoid<4>) f(proxy_wasm::WasmCallbackWord<0>) f(proxy_wasm::WasmCallbackWord<1>) f(proxy_wasm::WasmCallbackWord<2>)      \
  f(proxy_wasm::WasmCallbackWord<3>) f(proxy_wasm::WasmCallbackWord<4>) f(proxy_wasm::WasmCallbackWord<5>) f(proxy_wasm::WasmCallbackWord<6>)      \
  f(proxy_wasm::WasmCallbackWord<7>) f(proxy_wasm::WasmCallbackWord<8>) f(proxy_wasm::WasmCallbackWord<9>) f(proxy_wasm::WasmCallbackWord<10>)     \
  f(proxy_wasm::WasmCallbackWord<12>) f(proxy_wasm::WasmCallback_WWl) f(proxy_wasm::WasmCallback_WWlWW) f(proxy_wasm::WasmCallback_WWm)            \
  f(proxy_wasm::WasmCallback_WWmW) f(proxy_wasm::WasmCallback_WWWWWWllWW) f(proxy_wasm::WasmCallback_WWWWmm) f(proxy_wasm::WasmCallback_WWWWmmW)   \
  f(proxy_wasm::WasmCallback_WWmm) f(proxy_wasm::WasmCallback_WWmmW) f(proxy_wasm::WasmCallback_WWWWmW) f(proxy_wasm::WasmCallback_dd)

enum class Cloneable { NotCloneable, CompiledBytecode, InstantiatedModule };

enum class AbiVersion { ProxyWasm_0_1_0, ProxyWasm_0_2_0, ProxyWasm_0_2_1, Unknown };

enum class FailState : int {
  Ok,
  UnableToCreateVm,
  UnableToCloneVm,
  MissingFunction,
  UnableToInitializeCode,
  StartFailed,
  ConfigureFailed,
  RuntimeError,
};

class NullPlugin;

struct WasmVmIntegration {
  virtual ~WasmVmIntegration() = default;
  virtual WasmVmIntegration *clone() = 0;
  virtual LogLevel getLogLevel() = 0;
  virtual void error(std::string_view message) = 0;
  virtual void error(FailState, std::string_view message) { error(message); }
  virtual void trace(std::string_view message) = 0;
  virtual bool getNullVmFunction(std::string_view, bool, int, NullPlugin *, void *) = 0;
};

class WasmVm {
public:
  virtual ~WasmVm() = default;
  virtual std::string_view getEngineName() = 0;
  virtual Cloneable cloneable() = 0;
  virtual std::unique_ptr<WasmVm> clone() = 0;
  virtual bool load(std::string_view bytecode, std::string_view precompiled,
                    const std::unordered_map<uint32_t, std::string> &function_names) = 0;
  virtual std::optional<std::string> serialize(std::string_view bytecode) = 0;
  virtual bool link(std::string_view debug_name) = 0;
  virtual uint64_t getMemorySize() = 0;
  virtual std::optional<std::string_view> getMemory(uint64_t pointer, uint64_t size) = 0;
  virtual bool setMemory(uint64_t pointer, uint64_t size, const void *data) = 0;
  virtual bool getWord(uint64_t pointer, Word *data) = 0;
  virtual bool setWord(uint64_t pointer, Word data) = 0;
  virtual size_t getWordSize() = 0;
  virtual std::string_view getPrecompiledSectionName() = 0;

#define INTERFACE_GET(T) virtual void getFunction(std::string_view name, T *function) = 0;
  FOR_ALL_WASM_VM_EXPORTS(INTERFACE_GET)
#undef INTERFACE_GET

#define INTERFACE_REGISTER(T)                                                                      \
  virtual void registerCallback(std::string_view module, std::string_view name, T function,        \
                                typename ConvertFunctionTypeWordToUint32<T>::type) = 0;
  FOR_ALL_WASM_VM_IMPORTS(INTERFACE_REGISTER)
#undef INTERFACE_REGISTER

  virtual void terminate() = 0;
  virtual bool usesWasmByteOrder() = 0;
  virtual void warm() {}

  bool isFailed() { return failed_ != FailState::Ok; }
  void fail(FailState state, std::string_view message) {
    integration()->error(state, message);
    failed_ = state;
    for (auto &tell : fail_callbacks_) {
      tell(state);
    }
  }
  void addFailCallback(std::function<void(FailState)> tell) { fail_callbacks_.push_back(std::move(tell)); }

  bool isHostFunctionAllowed(const std::string &name) { return !restricted_callback_ || allowed_hostcalls_.count(name) > 0; }
  void setRestrictedCallback(bool restricted, std::unordered_set<std::string> allowed = {}) {
    restricted_callback_ = restricted;
    allowed_hostcalls_ = std::move(allowed);
  }

  std::unique_ptr<WasmVmIntegration> &integration() { return integration_; }
  bool cmpLogLevel(LogLevel level) { return integration_->getLogLevel() <= level; }

protected:
  std::unique_ptr<WasmVmIntegration> integration_;
  FailState failed_ = FailState::Ok;
  std::vector<std::function<void(FailState)>> fail_callbacks_;

private:
  bool restricted_callback_ = false;
  std::unordered_set<std::string> allowed_hostcalls_;
};

extern thread_local ContextBase *current_context_;
extern thread_local uint32_t effective_context_id_;

struct SaveRestoreContext {
  explicit SaveRestoreContext(ContextBase *context)
      : saved_context(std::exchange(current_context_, context)),
        saved_effective_context_id_(std::exchange(effective_context_id_, 0)) {}
  ~SaveRestoreContext() {
    current_context_ = saved_context;
    effective_context_id_ = saved_effective_context_id_;
  }
  ContextBase *saved_context;
  uint32_t saved_effective_context_id_;
};

} // namespace proxy_wasm
