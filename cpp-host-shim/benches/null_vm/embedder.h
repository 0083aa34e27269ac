// SPDX-License-Identifier: Apache-2.0
//
// A minimal embedder of the host, with headers and a body.

#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dynvm/cpp_host.h"
#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/null.h"
#include "include/proxy-wasm/wasm.h"

namespace bench {

using namespace proxy_wasm;

[[noreturn]] inline void stop(std::string_view why) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
}

struct Integration : WasmVmIntegration {
  WasmVmIntegration *clone() override { return new Integration; }
  LogLevel getLogLevel() override { return LogLevel::info; }
  void error(std::string_view message) override { stop(message); }
  void trace(std::string_view) override {}
  // True: a callback that a NullVM plugin lacks is not an error.
  bool getNullVmFunction(std::string_view, bool, int, NullPlugin *, void *) override { return true; }
};

/// Compares in as many instructions wherever the texts are: memcmp takes more at the end of a page, as does assigning a string from lower
/// addresses than its own.
inline bool same(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) {
    return false;
  }
  for (size_t i = 0; i < one.size(); i++) {
    if (one[i] != other[i]) {
      return false;
    }
  }
  return true;
}

struct Context : ContextBase {
  using ContextBase::ContextBase;

  void error(std::string_view message) override { stop(message); }
  WasmResult log(uint32_t level, std::string_view message) override {
    if (level >= static_cast<uint32_t>(LogLevel::warn)) {
      stop(message);
    }
    return WasmResult::Ok;
  }
  uint32_t getLogLevel() override { return static_cast<uint32_t>(LogLevel::info); }
  uint64_t getCurrentTimeNanoseconds() override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  WasmResult getHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view *value) override {
    for (const auto &[known, text] : headers) {
      if (same(known, name)) {
        *value = text;
        return WasmResult::Ok;
      }
    }
    return WasmResult::NotFound;
  }
  WasmResult replaceHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view value) override {
    for (auto &[known, text] : headers) {
      if (same(known, name)) {
        text.resize(value.size());
        std::memcpy(text.data(), value.data(), value.size());
        return WasmResult::Ok;
      }
    }
    return WasmResult::NotFound;
  }
  // The C++ SDK reads plugin_root_id.
  WasmResult getProperty(std::string_view, std::string *value) override {
    value->assign(root_id());
    return WasmResult::Ok;
  }
  BufferInterface *getBuffer(WasmBufferType type) override { return type == WasmBufferType::HttpRequestBody ? &body : &nothing; }

  std::vector<std::pair<std::string, std::string>> headers;
  BufferBase body, nothing;
};

/// The host's WasmBase, or the mixin that loads shared objects, with contexts of this embedder.
template <class Base> struct Wasm : Base {
  using Base::Base;
  void error(std::string_view message) override { stop(message); }
  ContextBase *createVmContext() override { return new Context(this); }
  ContextBase *createRootContext(const std::shared_ptr<PluginBase> &plugin) override { return new Context(this, plugin); }
};

using NativeWasm = Wasm<dynvm::NativeWasm<WasmBase>>;

/// A plugin that runs in one kind of VM.
struct Engine {
  std::string name;
  std::function<std::unique_ptr<WasmVm>()> create;
  /// The name of a NullVM plugin, or the path of a shared object.
  std::string code;
  std::shared_ptr<PluginHandleBase> handle;

  std::unique_ptr<WasmVm> make() const {
    auto vm = create();
    vm->integration() = std::make_unique<Integration>();
    return vm;
  }

  /// The sequence of a proxy: a base VM, a canary, and a clone on this thread.
  void open() {
    auto plugin = std::make_shared<PluginBase>("measured", "measured", "vm", name, "", false, name);
    const auto clone = [this](const std::shared_ptr<WasmHandleBase> &base) {
      return std::make_shared<WasmHandleBase>(std::make_shared<NativeWasm>(base, [this] { return make(); }));
    };
    auto base = createWasm(
        makeVmKey("vm", name, code), code, plugin,
        [this](std::string_view key) {
          std::unordered_map<std::string, std::string> environment;
          return std::make_shared<WasmHandleBase>(
              std::make_shared<NativeWasm>(make(), "vm", "", key, environment, AllowedCapabilitiesMap()));
        },
        clone, false);
    if (base != nullptr) {
      handle = getOrCreateThreadLocalPlugin(base, plugin, clone, [](auto wasm, auto of) {
        return std::make_shared<PluginHandleBase>(wasm, of);
      });
    }
    if (handle == nullptr) {
      stop(name + " cannot be opened");
    }
  }
};

struct Stream : Context {
  explicit Stream(const Engine &engine)
      : Context(engine.handle->wasm().get(), engine.handle->wasm()->getRootContext(engine.handle->plugin(), false)->id(),
                engine.handle) {
    onCreate();
  }
  ~Stream() override {
    onDone();
    onLog();
    onDelete();
  }

  void dress(const std::string &bytes) {
    headers = {{":method", "GET"}, {":path", "/path"}, {":authority", "example.com"}, {"x-id", "12345"}};
    body.set(bytes);
  }
};

} // namespace bench
