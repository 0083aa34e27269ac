// What an embedder adds to have native plugins, as docs/cpp-host.md shows it, and a stream to see that it works. The argument is a shared object that
// answers the header x-n with x-answer.

#include "host.h"
#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/wasm.h"

namespace embedder {

using Integration = test::Integration;

struct Context : proxy_wasm::ContextBase {
  using ContextBase::ContextBase;
  void error(std::string_view message) override { test::told.add(std::string(message)); }
  proxy_wasm::WasmResult getProperty(std::string_view, std::string *value) override {
    value->clear();
    return proxy_wasm::WasmResult::Ok;
  }
  proxy_wasm::BufferInterface *getBuffer(proxy_wasm::WasmBufferType) override { return &nothing; }
  proxy_wasm::WasmResult getHeaderMapValue(proxy_wasm::WasmHeaderMapType, std::string_view, std::string_view *value) override {
    *value = "7";
    return proxy_wasm::WasmResult::Ok;
  }
  proxy_wasm::WasmResult addHeaderMapValue(proxy_wasm::WasmHeaderMapType, std::string_view, std::string_view value) override {
    answer = value;
    return proxy_wasm::WasmResult::Ok;
  }
  proxy_wasm::BufferBase nothing;
  std::string answer;
};

// The snippet of docs/cpp-host.md.
struct Wasm : dynvm::NativeWasm<proxy_wasm::WasmBase> { // instead of proxy_wasm::WasmBase
  using NativeWasm::NativeWasm;
  proxy_wasm::ContextBase *createVmContext() override { return new Context(this); }
  proxy_wasm::ContextBase *createRootContext(const std::shared_ptr<proxy_wasm::PluginBase> &plugin) override { return new Context(this, plugin); }
};

std::unique_ptr<proxy_wasm::WasmVm> createVm() { // instead of proxy_wasm::createV8Vm()
  auto vm = dynvm::createDynVm();
  vm->integration() = std::make_unique<Integration>(proxy_wasm::LogLevel::info);
  return vm;
}
// The end of the snippet.

int run(const std::string &path) {
  using namespace proxy_wasm;
  auto plugin = std::make_shared<PluginBase>("plugin", "", "vm", "dyn", "", false, "key");
  const auto clone = [](const std::shared_ptr<WasmHandleBase> &base) {
    return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(base, createVm));
  };
  const auto create = [](std::string_view key) {
    std::unordered_map<std::string, std::string> environment;
    return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(createVm(), "vm", "", key, environment, AllowedCapabilitiesMap()));
  };
  auto base = createWasm(makeVmKey("vm", "", path), path, plugin, create, clone, false);
  CHECK(base != nullptr);
  auto handle = getOrCreateThreadLocalPlugin(base, plugin, clone, [](auto wasm, auto of) { return std::make_shared<PluginHandleBase>(wasm, of); });
  CHECK(handle != nullptr);
  if (handle != nullptr) {
    Context stream(handle->wasm().get(), handle->wasm()->getRootContext(plugin, false)->id(), handle);
    stream.onCreate();
    CHECK(stream.onRequestHeaders(1, true) == FilterHeadersStatus::Continue && stream.answer == "7 of 1");
    stream.onDone();
    stream.onLog();
    stream.onDelete();
  }
  CHECK(test::told.take().empty());
  return test::failures == 0 ? 0 : 1;
}

} // namespace embedder

int main(int argc, char **argv) {
  if (argc != 2 || embedder::run(argv[1]) != 0) {
    return 1;
  }
  proxy_wasm::clearWasmCachesForTesting();
  std::puts("the stream was answered");
  return 0;
}
