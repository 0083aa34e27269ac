// A minimal host, shared by the tests of the shim.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dynvm/cpp_host.h"

namespace test {

using namespace proxy_wasm;

inline std::atomic<int> failures = 0;

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      if (test::failures++ < 10) {                                                                 \
        std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);               \
      }                                                                                            \
    }                                                                                              \
  } while (0)

inline bool has(std::string_view text, std::string_view words) { return text.find(words) != text.npos; }

inline std::string bytesOf(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Lines, from any thread.
class Lines {
public:
  void add(std::string line) {
    std::lock_guard lock(mutex_);
    text_ += line + "\n";
  }
  std::string take() {
    std::lock_guard lock(mutex_);
    return std::exchange(text_, {});
  }

private:
  std::mutex mutex_;
  std::string text_;
};

inline Lines told;

/// The host's log level was set to trace.
inline std::atomic<bool> traces = false;

struct Integration : WasmVmIntegration {
  explicit Integration(LogLevel level) : level_(level) {}
  WasmVmIntegration *clone() override { return new Integration(level_); }
  LogLevel getLogLevel() override { return traces ? LogLevel::trace : level_; }
  void error(std::string_view message) override { told.add("error: " + std::string(message)); }
  void trace(std::string_view message) override { told.add("trace: " + std::string(message)); }
  bool getNullVmFunction(std::string_view, bool, int, NullPlugin *, void *) override { return false; }
  LogLevel level_;
};

inline std::unique_ptr<WasmVm> vmOf(const dynvm::DynVmOptions &options = {}, LogLevel level = LogLevel::info) {
  auto vm = dynvm::createDynVm(options);
  vm->integration() = std::make_unique<Integration>(level);
  return vm;
}

/// Contexts are only passed through, so any address works.
inline ContextBase *context(uintptr_t number) { return reinterpret_cast<ContextBase *>(number << 12); }

// The hostcalls of this host record their arguments.

inline thread_local WasmVm *running = nullptr;

template <class... Args> Word note(const char *name, Word status, Args... args) {
  std::string line = name;
  ((line += " " + std::to_string(args)), ...);
  told.add(line + " in " + std::to_string(reinterpret_cast<uintptr_t>(current_context_) >> 12));
  return status;
}

inline Word log(Word level, Word text, Word size) {
  const auto message = running->getMemory(text, size);
  if (!message) {
    return 6; // InvalidMemoryAccess
  }
  told.add("log " + std::to_string(level) + " " + std::string(*message));
  return WasmResult::Ok;
}
inline thread_local Word status_of_done = WasmResult::NotFound;
inline std::function<void()> during_done;
inline Word done() {
  if (during_done) {
    during_done();
  }
  return note("done", status_of_done);
}
inline Word tick(Word period) { return note("tick", WasmResult::Ok, period.u64_); }
inline Word getMetric(Word id, Word place) {
  const uint64_t value = 20;
  CHECK(running->setMemory(place, sizeof(value), &value));
  return note("get_metric", WasmResult::Ok, id.u64_);
}
inline Word incrementMetric(Word id, int64_t offset) { return note("increment_metric", WasmResult::Ok, id.u64_, offset); }
inline Word recordMetric(Word id, uint64_t value) { return note("record_metric", WasmResult::Ok, id.u64_, value); }
inline Word httpCall(Word, Word a, Word, Word b, Word, Word c, Word, Word d, Word timeout, Word token) {
  const uint32_t value = 30;
  CHECK(running->setMemory(token, sizeof(value), &value));
  return note("http_call", WasmResult::Ok, a.u64_, b.u64_, c.u64_, d.u64_, timeout.u64_);
}
inline Word grpcCall(Word, Word a, Word, Word b, Word, Word c, Word, Word d, Word, Word e, Word timeout, Word token) {
  const uint32_t value = 40;
  CHECK(running->setMemory(token, sizeof(value), &value));
  return note("grpc_call", WasmResult::Ok, a.u64_, b.u64_, c.u64_, d.u64_, e.u64_, timeout.u64_);
}
inline Word ping() { return note("ping", WasmResult::Ok); }
inline void pingNothing() { ping(); }
inline Word sum(Word a, Word b, Word c, Word d, Word e, Word f, Word g) { return a + b + c + d + e + f + g; }
inline Word neverEqual(Word, Word) { return 0; }
inline Word clockTime(Word id, uint64_t, Word place) {
  const uint64_t value = (id == 0 ? 77 : 88) * uint64_t(1000000000);
  return running->setMemory(place, sizeof(value), &value) ? 0 : 21;
}
inline Word environmentSizes(Word count, Word size) { return running->setWord(count, 1) && running->setWord(size, 16) ? 0 : 21; }
inline Word environment(Word places, Word text) {
  return running->setWord(places, text) && running->setMemory(text, 16, "DYNVM_OF_VM=a=b") ? 0 : 21;
}
inline Word localResponse(Word code, Word, Word a, Word, Word b, Word, Word c, Word grpc) {
  return note("local_response", WasmResult::Ok, code.u64_, a.u64_, b.u64_, c.u64_, grpc.u64_);
}

/// Calls the plugin's allocator within a hostcall as the host does: with the VM's context,
/// restricted.
inline thread_local WasmCallWord<1> *allocator = nullptr;

inline Word property(Word path, Word size, Word value, Word value_size) {
  CHECK(running->getMemory(path, size).value() == "path");
  running->setRestrictedCallback(true, {"env.proxy_log"});
  const Word address = (*allocator)(context(9), 8);
  running->setRestrictedCallback(false);
  if (!running->setMemory(address, 8, "property") || !running->setWord(value, address) || !running->setWord(value_size, 8)) {
    return WasmResult::BadArgument;
  }
  return note("property", WasmResult::Ok);
}

/// A VM with everything that a host requests of one.
struct Plugin {
  std::unique_ptr<WasmVm> vm;
  WasmCallVoid<0> initialize, start;
  WasmCallWord<2> main;
  WasmCallWord<1> malloc;

  bool link(bool all = true, bool own = true) {
    running = vm.get();
    const auto bind = [&](const char *name, auto *function) {
      vm->registerCallback("env", name, function, nullptr);
      vm->registerCallback("wasi_snapshot_preview1", name, function, nullptr);
    };
    bind("proxy_log", &log);
    bind("proxy_done", &done);
    bind("proxy_set_tick_period_milliseconds", &tick);
    bind("proxy_get_metric", &getMetric);
    bind("proxy_increment_metric", &incrementMetric);
    bind("proxy_record_metric", &recordMetric);
    bind("proxy_http_call", &httpCall);
    bind("proxy_grpc_call", &grpcCall);
    bind("proxy_send_local_response", &localResponse);
    if (own) {
      vm->registerCallback("env", "host_ping", &pingNothing, nullptr);
      vm->registerCallback("env", "host_sum", &sum, nullptr);
    }
    vm->registerCallback("env", "pthread_equal", &neverEqual, nullptr);
    vm->registerCallback("wasi_snapshot_preview1", "clock_time_get", &clockTime, nullptr);
    vm->registerCallback("wasi_snapshot_preview1", "environ_sizes_get", &environmentSizes, nullptr);
    vm->registerCallback("wasi_snapshot_preview1", "environ_get", &environment, nullptr);
    if (all) {
      bind("proxy_get_property", &property);
    }
    if (!vm->link("test")) {
      return false;
    }
    vm->getFunction("_initialize", &initialize);
    vm->getFunction("_start", &start);
    vm->getFunction("main", &main);
    vm->getFunction("malloc", &malloc);
    allocator = &malloc;
    return true;
  }

  bool begin() {
    running = vm.get();
    allocator = &malloc;
    vm->setRestrictedCallback(true, {"env.proxy_log"});
    initialize(context(1));
    if (main) {
      main(context(1), 0, 0);
    }
    vm->setRestrictedCallback(false);
    return !vm->isFailed();
  }

  template <class F> F get(const char *name) {
    F function;
    vm->getFunction(name, &function);
    return function;
  }

  uint64_t call(const char *name) {
    running = vm.get();
    allocator = &malloc;
    return get<WasmCallWord<0>>(name)(context(2));
  }

  void run(const char *name) {
    running = vm.get();
    get<WasmCallVoid<0>>(name)(context(2));
  }
};

inline Plugin load(const std::string &path, const dynvm::DynVmOptions &options = {}, LogLevel level = LogLevel::info) {
  Plugin plugin{vmOf(options, level), {}, {}, {}, {}};
  CHECK(plugin.vm->load(path, {}, {}));
  return plugin;
}

inline Plugin begun(const std::string &path, const dynvm::DynVmOptions &options = {}, LogLevel level = LogLevel::info) {
  Plugin plugin = load(path, options, level);
  CHECK(plugin.link() && plugin.begin());
  return plugin;
}

} // namespace test
