// SPDX-License-Identifier: Apache-2.0
//
// Calls between host and plugin, for every function type that the host uses.

#pragma once

#include <array>
#include <tuple>
#include <type_traits>
#include <utility>

#include "dyn_vm.h"

namespace dynvm {

/// The bits of a result that the ABI defines: Rust plugins return bool, C++ plugins uint32_t.
inline uint64_t definedBits(std::string_view name) {
  for (const std::string_view boolean :
       {"proxy_on_vm_start", "proxy_on_configure", "proxy_on_done", "proxy_validate_configuration"}) {
    if (name == boolean) {
      return 0xff;
    }
  }
  return 0xffffffff;
}

template <class T> inline constexpr bool isWord = std::is_same_v<T, Word>;

// A Word is passed like the number in it (x86-64 and AArch64, but not Microsoft's C++), so the
// loader can call functions of Words.
static_assert(sizeof(Word) == sizeof(uint64_t) && std::is_trivially_copy_constructible_v<Word> &&
              std::is_trivially_destructible_v<Word>);

template <class R, class... Args>
void DynVm::get(std::string_view name, std::function<R(ContextBase *, Args...)> *function) {
  constexpr bool returns_nothing = std::is_void_v<R>;
  if constexpr (returns_nothing && sizeof...(Args) == 0) {
    if (name == "_initialize") {
      *function = [this](ContextBase *context) { start(context); };
      return;
    }
    if (name == "_start") {
      // start() runs it.
      *function = nullptr;
      return;
    }
  }
  if constexpr (isWord<R> && std::is_same_v<std::tuple<Args...>, std::tuple<Word>>) {
    // The host looks up malloc first. Every shared object would seem to have it, because the C
    // library does.
    if (name == "malloc" || name == "proxy_on_memory_allocate") {
      if (defines("malloc") || defines("proxy_on_memory_allocate")) {
        *function = [this](ContextBase *context, Word size) { return allocate(context, size); };
      } else {
        // The loader allocates, and no code of the plugin runs.
        *function = [this](ContextBase *, Word size) { return isFailed() ? Word(0) : allocateIn(size, 0); };
      }
      return;
    }
  }
  // In a plugin that begins with _start, as a program does, the host must not call main.
  const bool is_main = name == "main" || name == "__main_void";
  Export *found = is_main && exported("_initialize") == nullptr && exported("_start") != nullptr ? nullptr : exported(name);
  if (found == nullptr) {
    *function = nullptr;
    return;
  }
  constexpr bool of_words = (isWord<Args> && ...) && (isWord<R> || returns_nothing) && sizeof...(Args) <= 5;
  if constexpr (!of_words) {
    *function = [found](ContextBase *context, Args... args) -> R { return callThrough<R>(*found, context, args...); };
  } else {
    *function = [found](ContextBase *context, Args... args) -> R { return call<R>(*found, context, args.u64_...); };
  }
}

/// The calling thread. Unlike the system's number of it, one instruction.
inline uintptr_t thisThread() {
#ifdef __x86_64__
  uintptr_t thread;
  asm("mov %%fs:0, %0" : "=r"(thread));
  return thread;
#else
  return reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
#endif
}

/// SaveRestoreContext on the VM's thread, whose variables were looked up when it was opened.
class Current {
public:
  Current(ContextBase *&context, uint32_t &effective, ContextBase *now)
      : context_(context), effective_(effective), saved_context_(std::exchange(context_, now)),
        saved_effective_(std::exchange(effective_, 0)) {}
  Current(const Current &) = delete;
  Current &operator=(const Current &) = delete;
  ~Current() {
    context_ = saved_context_;
    effective_ = saved_effective_;
  }

private:
  ContextBase *&context_;
  uint32_t &effective_;
  ContextBase *const saved_context_;
  const uint32_t saved_effective_;
};

template <class R, class... Numbers> [[gnu::always_inline]] inline R DynVm::call(Export &function, ContextBase *context, Numbers... numbers) {
  DynVm &vm = *function.vm;
  if (vm.thread_.id != thisThread() || vm.isFailed() || vm.isRestricted() || vm.isTraced()) [[unlikely]] {
    return callSlowly<R>(function, context, {numbers...}, sizeof...(numbers));
  }
  const Current current(*vm.thread_.context, *vm.thread_.effective_context_id, context);
  const auto make = [&](uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0) {
    return function.prepared.call(a, b, c, d, e, &function.prepared);
  };
  const dynvm_result_t result = make(numbers...);
  if (result.code != 0) [[unlikely]] {
    vm.failedIn(function.name);
  }
  if constexpr (isWord<R>) {
    return result.value & function.mask;
  }
}

/// Before the VM is open, in calls that are restricted or traced, and on another thread than the VM's.
template <class R> R DynVm::callSlowly(Export &function, ContextBase *context, std::array<uint64_t, 5> numbers, size_t count) {
  DynVm &vm = *function.vm;
  if (vm.isFailed() || function.address == 0) {
    return R();
  }
  const proxy_wasm::SaveRestoreContext saved(context);
  const bool traced = vm.isTraced();
  if (traced) {
    vm.trace("[host->vm] ", function.name, numbers.data(), count);
  }
  const auto [a, b, c, d, e] = numbers;
  const dynvm_result_t result = dynvm_vm_call_in(vm.vm_.get(), vm.mode(traced), function.address, a, b, c, d, e);
  if (result.code != 0) {
    vm.failedIn(function.name);
    return R();
  }
  const uint64_t value = result.value & function.mask;
  if (traced) {
    vm.traceReturn("[host<-vm] ", function.name, isWord<R> ? &value : nullptr);
  }
  if constexpr (isWord<R>) {
    return value;
  }
}

// Function types that no plugin exports; the host's tests use them.
template <class R, class... Args> R DynVm::callThrough(Export &function, ContextBase *context, Args... args) {
  DynVm &vm = *function.vm;
  if (vm.isFailed() || function.address == 0) {
    return R();
  }
  proxy_wasm::SaveRestoreContext saved(context);
  struct Call {
    dynvm_function_t address;
    std::tuple<Args...> arguments;
    R result;
    static void make(void *data) {
      auto *call = static_cast<Call *>(data);
      auto *native = reinterpret_cast<R (*)(Args...)>(call->address);
      call->result = std::apply(native, call->arguments);
    }
  };
  Call call{function.address, {args...}, R()};
  if (!dynvm_vm_call_through(vm.vm_.get(), Call::make, &call, vm.mode(vm.isTraced()))) {
    vm.failedIn(function.name);
    return R();
  }
  return call.result;
}

template <class R, class... Args>
void DynVm::bind(std::string_view module, std::string_view name, R (*function)(Args...)) {
  using Function = R (*)(Args...);
  if (module != "env") {
    // Native code gets the functions of WASI from the C library, and the host's time and environment
    // there.
    if constexpr (std::is_same_v<Function, Word (*)(Word, uint64_t, Word)>) {
      clock_ = name == "clock_time_get" ? function : clock_;
    }
    if constexpr (std::is_same_v<Function, Word (*)(Word, Word)>) {
      environment_sizes_ = name == "environ_sizes_get" ? function : environment_sizes_;
      environment_ = name == "environ_get" ? function : environment_;
    }
    return;
  }
  if constexpr ((isWord<R> || std::is_void_v<R>) && ((isWord<Args> || std::is_integral_v<Args>) && ...)) {
    const std::string owned(name);
    const auto native = reinterpret_cast<dynvm_hostcall_t>(function);
    if (name.substr(0, 6) == "proxy_") {
      // A function outside every ABI cannot be imported: the loader refuses plugins that do.
      textOf(dynvm_hostcalls_bind(hostcalls_.get(), owned.c_str(), native));
    } else if (name != "pthread_equal" && name != "emscripten_notify_memory_growth") {
      // Those two are Emscripten's; native code has the former from the C library. A function that
      // cannot be bound is missing when the image is opened.
      textOf(dynvm_hostcalls_bind_own(hostcalls_.get(), owned.c_str(), sizeof...(Args), native));
    }
    if constexpr (std::is_same_v<Function, Word (*)(Word, Word, Word)>) {
      if (name == "proxy_log") {
        log_ = function;
      }
    }
  }
}

} // namespace dynvm
