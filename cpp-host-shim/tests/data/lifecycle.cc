// Streams on the host itself, the way a proxy takes them: createWasm (a base VM, a canary of each plugin), clones on eight threads, two plugins in each VM, a
// crash of one VM in the middle. Arguments: how the code comes in (shared, path, null, fat, name, linked), the code, the header that answers, its value for the
// stream n where `#` stands for n, and whether the plugin crashes on demand.

#include <atomic>
#include <map>

#include "host.h"
#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/wasm.h"

#ifdef LINKED
#include "dynvm/null_plugin.h"
#include "include/proxy-wasm/null.h"
#include LINKED_HEADER

static const dynvm::RegisterLinkedPlugin registered(LINKED);
#endif

namespace test {
namespace {

constexpr int THREADS = 8;
constexpr int STREAMS = 1000;

std::atomic<int> alive{0};

/// The host treats the VMs as NullVMs and uses its own load().
bool as_null = false;

struct Context : ContextBase {
  explicit Context(WasmBase *wasm) : ContextBase(wasm) {}
  Context(WasmBase *wasm, const std::shared_ptr<PluginBase> &plugin) : ContextBase(wasm, plugin) {}
  Context(WasmBase *wasm, uint32_t root, const std::shared_ptr<PluginHandleBase> &plugin) : ContextBase(wasm, root, plugin) {}

  void error(std::string_view message) override { told.add("context: " + std::string(message)); }
  WasmResult log(uint32_t, std::string_view) override { return WasmResult::Ok; }
  uint32_t getLogLevel() override { return 2; }
  WasmResult getProperty(std::string_view, std::string *value) override {
    value->clear();
    return WasmResult::Ok;
  }
  BufferInterface *getBuffer(WasmBufferType) override { return &nothing; }
  WasmResult getHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view *value) override {
    const auto found = headers.find(std::string(name));
    if (found == headers.end()) {
      return WasmResult::NotFound;
    }
    *value = found->second;
    return WasmResult::Ok;
  }
  WasmResult addHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view value) override {
    headers[std::string(name)] = value;
    return WasmResult::Ok;
  }
  WasmResult replaceHeaderMapValue(WasmHeaderMapType, std::string_view name, std::string_view value) override {
    headers[std::string(name)] = value;
    return WasmResult::Ok;
  }
  WasmResult closeStream(WasmStreamType) override {
    closed = true;
    return WasmResult::Ok;
  }

  std::map<std::string, std::string> headers;
  BufferBase nothing;
  bool closed = false;
};

struct Wasm : dynvm::NativeWasm<WasmBase> {
  Wasm(std::unique_ptr<WasmVm> vm, std::string_view key) : NativeWasm(std::move(vm), "vm", "", key, std::unordered_map<std::string, std::string>(), AllowedCapabilitiesMap()) { alive++; }
  Wasm(const std::shared_ptr<WasmHandleBase> &base, const WasmVmFactory &factory) : NativeWasm(base, factory) { alive++; }
  ~Wasm() override { alive--; }
  bool load(const std::string &code, bool allow_precompiled) override {
    return as_null ? WasmBase::load(code, allow_precompiled) : NativeWasm::load(code, allow_precompiled);
  }
  void error(std::string_view message) override { told.add("wasm: " + std::string(message)); }
  ContextBase *createVmContext() override { return new Context(this); }
  ContextBase *createRootContext(const std::shared_ptr<PluginBase> &plugin) override { return new Context(this, plugin); }
};

/// The VMs are the host's own NullVMs.
bool is_linked = false;

std::unique_ptr<WasmVm> make() {
#ifdef LINKED
  if (is_linked) {
    auto vm = createNullVm();
    vm->integration() = std::make_unique<Integration>(LogLevel::info);
    return vm;
  }
#endif
  dynvm::DynVmOptions options;
  options.as_null = as_null;
  return vmOf(options);
}

std::shared_ptr<WasmHandleBase> cloned(const std::shared_ptr<WasmHandleBase> &base) {
  return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(base, make));
}

struct Expected {
  std::string header, value;
  bool crashes;
};

std::string expectedOf(const Expected &expected, const std::string &n) {
  std::string value = expected.value;
  if (const auto at = value.find('#'); at != value.npos) {
    value.replace(at, 1, n);
  }
  return value;
}

struct Worker {
  std::shared_ptr<WasmHandleBase> base;
  std::shared_ptr<PluginBase> plugins[2];
  const Expected &expected;
  std::shared_ptr<PluginHandleBase> handles[2];
  int served = 0;

  void open() {
    for (int which : {0, 1}) {
      handles[which] = getOrCreateThreadLocalPlugin(base, plugins[which], cloned, [](auto wasm, auto plugin) {
        return std::make_shared<PluginHandleBase>(wasm, plugin);
      });
    }
    CHECK(handles[0] && handles[1] && handles[0]->wasm() == handles[1]->wasm());
  }

  bool stream(int which, const std::string &n) {
    auto &handle = handles[which];
    Context context(handle->wasm().get(), handle->wasm()->getRootContext(plugins[which], false)->id(), handle);
    context.headers = {{"x-n", n}, {":method", "GET"}, {":authority", "host"}, {":path", "/" + n}};
    context.onCreate();
    const auto status = context.onRequestHeaders(context.headers.size(), true);
    const bool well = !handle->wasm()->isFailed();
    if (well) {
      const std::string answer = context.headers[expected.header];
      CHECK(status == FilterHeadersStatus::Continue && answer.find(expectedOf(expected, n)) == 0);
      served++;
    } else {
      CHECK(status == FilterHeadersStatus::StopAllIterationAndWatermark && context.closed);
    }
    context.onDone();
    context.onLog();
    context.onDelete();
    return well;
  }

  void run(bool with_crash) {
    open();
    for (int n = 0; n < STREAMS; n++) {
      for (int which : {0, 1}) {
        if (with_crash && n == STREAMS / 2 && which == 0) {
          CHECK(!stream(which, "crash"));
          // As in a proxy, the failed VM is dropped and a new one is created on this thread.
          handles[0].reset();
          handles[1].reset();
          open();
        }
        CHECK(stream(which, std::to_string(n)));
      }
    }
    CHECK(served == 2 * STREAMS);
  }
};

void run(const std::string &code, bool is_fat, const Expected &expected) {
  const std::string key = makeVmKey("vm", "", code);
  std::shared_ptr<PluginBase> plugins[2];
  for (int which : {0, 1}) {
    const std::string name = "plugin " + std::to_string(which);
    plugins[which] = std::make_shared<PluginBase>(name, "", "vm", "envoy.wasm.runtime.dyn", "", false, "key " + name);
  }
  std::shared_ptr<WasmHandleBase> base;
  for (const auto &plugin : plugins) {
    base = createWasm(key, code, plugin,
                      [](std::string_view key) { return std::make_shared<WasmHandleBase>(std::make_shared<Wasm>(make(), key)); },
                      cloned, is_fat);
    CHECK(base != nullptr);
    if (base == nullptr) {
      return;
    }
  }
  std::vector<std::thread> threads;
  for (int thread = 0; thread < THREADS; thread++) {
    threads.emplace_back([&, thread, base] {
      Worker{base, {plugins[0], plugins[1]}, expected, {}, 0}.run(expected.crashes && thread == THREADS / 2);
    });
  }
  // As in a proxy, the last worker ends the base VM.
  base.reset();
  for (auto &thread : threads) {
    thread.join();
  }
  const std::string text = told.take();
  if (expected.crashes) {
    const auto first = text.find("Function: proxy_on_request_headers failed: ");
    CHECK(first != text.npos && text.find("Function: ", first + 1) == text.npos);
  } else {
    CHECK(text.empty() || (std::fputs(text.c_str(), stderr), false));
  }
}

} // namespace
} // namespace test

int main(int argc, char **argv) {
  if (argc != 6) {
    return 2;
  }
  const std::string way = argv[1];
  const bool is_bytes = way == "shared" || way == "null" || way == "fat";
  const std::string code = is_bytes ? test::bytesOf(argv[2]) : argv[2];
  test::is_linked = way == "linked";
  test::as_null = way == "null" || test::is_linked;
  test::run(code, way == "fat", {argv[3], argv[4], std::string_view(argv[5]) == "crashes"});
  proxy_wasm::clearWasmCachesForTesting();
  CHECK(test::alive == 0);
  if (test::failures == 0) {
    std::puts("every stream answered");
  }
  return test::failures == 0 ? 0 : 1;
}
