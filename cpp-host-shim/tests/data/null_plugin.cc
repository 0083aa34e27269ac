// An embedder of NullVM whose plugin is a linked one, in C++, with one slot: what it is refused, and what fails its VM alone.

#include "host.h"

#include "dynvm/null_plugin.h"
#include "include/proxy-wasm/null.h"
#include "crashes.h"

// One line, as docs/cpp-host.md shows it; the options are for the test.
static const dynvm::RegisterLinkedPlugin crashes(dvn_crashes, [] {
  dynvm::DynVmOptions options;
  options.budget_ms = 200;
  return options;
}());

// The linker has these count the loaders.
static int loaders;
extern "C" dynvm_error_t *__real_dynvm_loader_new(const dynvm_options_t *options, dynvm_loader_t **out);
extern "C" dynvm_error_t *__wrap_dynvm_loader_new(const dynvm_options_t *options, dynvm_loader_t **out) {
  loaders++;
  return __real_dynvm_loader_new(options, out);
}

namespace test {
namespace {

struct Context : ContextBase {
  using ContextBase::ContextBase;
  void error(std::string_view message) override { told.add("context: " + std::string(message)); }
  WasmResult log(uint32_t, std::string_view message) override {
    told.add("log: " + std::string(message));
    return WasmResult::Ok;
  }
  BufferInterface *getBuffer(WasmBufferType) override { return &nothing; }
  WasmResult getHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view *value) override {
    *value = how;
    return name == "x-crash" ? WasmResult::Ok : WasmResult::NotFound;
  }
  WasmResult addHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view) override {
    told.add("added: " + std::string(name));
    return WasmResult::Ok;
  }
  WasmResult setSharedData(std::string_view, std::string_view, uint32_t) override { return WasmResult::Ok; }
  WasmResult getSharedData(std::string_view, std::pair<std::string, uint32_t> *data) override {
    *data = {"data", 1};
    return WasmResult::Ok;
  }
  BufferBase nothing;
  std::string how;
};

struct Wasm : WasmBase {
  using WasmBase::WasmBase;
  void error(std::string_view message) override { told.add("wasm: " + std::string(message)); }
  ContextBase *createVmContext() override { return new Context(this); }
  ContextBase *createRootContext(const std::shared_ptr<PluginBase> &plugin) override { return new Context(this, plugin); }
};

std::unique_ptr<WasmVm> make() {
  auto vm = createNullVm();
  vm->integration() = std::make_unique<Integration>(LogLevel::info);
  return vm;
}

std::shared_ptr<WasmHandleBase> cloned(const std::shared_ptr<WasmHandleBase> &base) {
  return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(base, make));
}

/// The plugin of a VM on this thread, which lives as long as the handle. Null: it does not start.
std::shared_ptr<PluginHandleBase> open(const std::string &id, const AllowedCapabilitiesMap &allowed = {}) {
  auto plugin = std::make_shared<PluginBase>("plugin", "", id, "null", "", false, "key");
  auto base = createWasm(
      makeVmKey(id, "", "crashes"), "crashes", plugin,
      [&](std::string_view key) {
        std::unordered_map<std::string, std::string> environment;
        return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(make(), id, "", key, environment, allowed));
      },
      cloned, false);
  return base == nullptr ? nullptr : getOrCreateThreadLocalPlugin(base, plugin, cloned, [](auto wasm, auto of) {
    return std::make_shared<PluginHandleBase>(wasm, of);
  });
}

/// What a stream and the host tell.
std::string stream(const std::shared_ptr<PluginHandleBase> &handle, const std::string &how) {
  Context context(handle->wasm().get(), handle->wasm()->getRootContext(handle->plugin(), false)->id(), handle);
  context.how = how;
  context.onCreate();
  context.onRequestHeaders(1, true);
  context.onDone();
  context.onDelete();
  return told.take();
}

void run() {
  {
    auto handle = open("first");
    CHECK(handle != nullptr && has(stream(handle, ""), "added: x-served\n"));
    CHECK(has(stream(handle, "bad pointers"), "log: all refused\n"));
    CHECK(open("second") == nullptr && has(told.take(), "its slots, 1, are all in use"));
    const std::string text = stream(handle, "segv");
    CHECK(has(text, "Function: proxy_on_request_headers failed: ") && has(text, "SIGSEGV"));
    CHECK(has(text, "error: Linked plugin crashes failed\n") && handle->wasm()->isFailed());
  }
  // The slot begins anew.
  {
    auto handle = open("third");
    CHECK(handle != nullptr && has(stream(handle, "spin"), "budget"));
    CHECK(handle->wasm()->isFailed());
  }
  AllowedCapabilitiesMap allowed;
  for (const char *name : {"proxy_on_context_create", "proxy_on_request_headers", "proxy_get_header_map_value", "proxy_log"}) {
    allowed[name] = {};
  }
  auto handle = open("fourth", allowed);
  CHECK(handle != nullptr && has(stream(handle, ""), "Attempted call to restricted proxy-wasm capability: proxy_add_header_map_value\n"));
  // What is part of the program needs none.
  CHECK(loaders == 0);
}

} // namespace
} // namespace test

int main() {
  test::run();
  proxy_wasm::clearWasmCachesForTesting();
  if (test::failures == 0) {
    std::puts("each as it should be");
  }
  return test::failures == 0 ? 0 : 1;
}
