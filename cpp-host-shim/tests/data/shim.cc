// Takes the shim through what a host may ask of it. The argument is a directory with the plugins: plugin.so and its variants, refuses.toml, and, for way C, fat.wasm.

#include <cstdlib>
#include <future>

#include "host.h"
#include "include/proxy-wasm/signature_util.h"

#ifndef DYNVM_CPP_HOST_GIVEN
namespace proxy_wasm {
thread_local ContextBase *current_context_ = nullptr;
thread_local uint32_t effective_context_id_ = 0;
/// The host was compiled with a key.
bool has_key = false;
bool SignatureUtil::verifySignature(std::string_view, std::string &message) {
  message = has_key ? "no signature" : "";
  return !has_key;
}
} // namespace proxy_wasm
#endif

namespace test {
namespace {

std::string dir;

std::string at(const std::string &name) { return dir + "/" + name; }

void facts() {
  auto vm = vmOf();
  CHECK(vm->getEngineName() == "dyn");
  CHECK(vm->cloneable() == Cloneable::CompiledBytecode);
  CHECK(vm->getWordSize() == 8 && !vm->usesWasmByteOrder() && !vm->serialize("").has_value());
  CHECK(vm->getPrecompiledSectionName() == "dynvm.native");
  dynvm::DynVmOptions options;
  options.as_null = true;
  CHECK(vmOf(options)->getEngineName() == "null");
  CHECK(vm->getMemorySize() == 0 && !vm->isFailed());
  vm->terminate();
}

void memory() {
  auto vm = vmOf();
  uint64_t place = 5;
  const uint64_t address = reinterpret_cast<uint64_t>(&place);
  CHECK(vm->getMemory(0, 0).value().empty() && !vm->getMemory(0, 1).has_value());
  CHECK(vm->getMemory(address, 8).value().size() == 8);
  CHECK(vm->setMemory(0, 0, nullptr) && !vm->setMemory(0, 1, "a") && !vm->setMemory(address, 1, nullptr));
  CHECK(vm->setWord(address, 77) && place == 77 && !vm->setWord(0, 1));
  Word word;
  CHECK(vm->getWord(address, &word) && word == 77 && !vm->getWord(0, &word));
  // Numbers that are no addresses.
  Plugin plugin = begun(at("plugin.so"));
  CHECK(!plugin.vm->getMemory(0x2000, 1).has_value() && !plugin.vm->getMemory(address, ~uint64_t(0)).has_value());
  CHECK(!plugin.vm->setMemory(0x2000, 1, "a") && !plugin.vm->setMemory(reinterpret_cast<uint64_t>("constant"), 1, "a"));
  CHECK(!plugin.vm->setWord(0x2000, 100) && !plugin.vm->getWord(0x2000, &word));
}

void refused(const std::string &code, std::string_view precompiled, std::string_view words, const dynvm::DynVmOptions &options = {}) {
  told.take();
  auto vm = vmOf(options);
  CHECK(!vm->load(code, precompiled, {}) && vm->isFailed());
  const std::string text = told.take();
  if (!has(text, words)) {
    std::fprintf(stderr, "not with %s, but %s", std::string(words).c_str(), text.c_str());
    failures++;
  }
}

void refusals() {
  refused(at("missing.so"), {}, "missing.so: cannot be read");
  refused("relative.so", {}, "absolute path");
  refused(std::string("\0asm\1\0\0\0", 8), "something", "Native plugins");
  refused(bytesOf(at("plugin.so")).substr(0, 5000), {}, "damaged or truncated");
  dynvm::DynVmOptions options;
  options.trust_policy_file = at("refuses.toml");
  refused(at("plugin.so"), {}, "refused by the trust policy", options);
  options.trust_policy_file = at("missing.toml");
  refused(at("plugin.so"), {}, "missing.toml", options);
  Plugin plugin = load(at("plugin.so"));
  told.take();
  CHECK(!plugin.link(false) && has(told.take(), "proxy_get_property"));
  Plugin empty{vmOf(), {}, {}, {}, {}};
  CHECK(!empty.link());
  // Without an integration to report to, it is refused all the same.
  CHECK(!dynvm::createDynVm()->load("nothing", {}, {}));
}

void starts() {
  told.take();
  Plugin plugin = load(at("plugin.so"));
  CHECK(plugin.link() && plugin.initialize && !plugin.start && plugin.main && plugin.malloc);
  CHECK(told.take().empty());
  CHECK(plugin.begin() && plugin.call("counts") == 1110);
  CHECK(has(told.take(), "log 2 constructed"));
  plugin.vm.reset();
  CHECK(has(told.take(), "destructed"));
  Plugin command = begun(at("command.so"));
  CHECK(!command.start && !command.main && command.call("counts") == 1100);
  // The host's malloc is not the plugin's.
  CHECK(!command.get<WasmCallVoid<1>>("free") && !command.get<WasmCallWord<3>>("proxy_on_request_headers"));
}

void starts_that_fail() {
  for (const auto &[name, words] : {std::pair{"restless.so", "proxy_get_property"}, std::pair{"faulty.so", "SIGSEGV"}}) {
    Plugin plugin = load(at(name));
    int told_of = 0;
    plugin.vm->addFailCallback([&](FailState state) { told_of += state == FailState::UnableToInitializeCode; });
    CHECK(plugin.link());
    told.take();
    CHECK(!plugin.begin() && told_of == 1);
    CHECK(has(told.take(), words));
    CHECK(plugin.malloc(context(1), 5) == 0);
  }
}

void functions() {
  Plugin plugin = begun(at("plugin.so"));
  auto *c = context(2);
  plugin.get<WasmCallVoid<0>>("void0")(c);
  plugin.get<WasmCallVoid<1>>("void1")(c, 1);
  CHECK(plugin.call("counts") == 1112);
  plugin.get<WasmCallVoid<2>>("void2")(c, 1, 1);
  plugin.get<WasmCallVoid<3>>("void3")(c, 1, 1, 1);
  CHECK(plugin.call("counts") == 1117);
  plugin.get<WasmCallVoid<5>>("void5")(c, 1, 2, 3, 4, 5);
  CHECK(plugin.call("counts") == 1132);
  CHECK(plugin.call("word0") == 7);
  CHECK(plugin.get<WasmCallWord<1>>("word1")(c, 3) == 3);
  CHECK(plugin.get<WasmCallWord<2>>("word2")(c, 3, 4) == 7);
  CHECK(plugin.get<WasmCallWord<3>>("word3")(c, 3, 4, 5) == 12);
  CHECK(plugin.get<WasmCall_WWlfd>("mixed")(c, 1, 2, 3.5f, 4.5) == 10);
  CHECK(plugin.get<WasmCall_lf>("rounded")(c, 2.5f) == uint64_t(2) << 40);
  CHECK(plugin.get<WasmCall_fff>("sum_of_two")(c, 1.5f, 2.0f) == 3.5f);
  CHECK(plugin.get<WasmCall_dfff>("sum_of_three")(c, 1.5f, 2.0f, 3.0f) == 6.5);
  CHECK(plugin.get<WasmCallWord<2>>("proxy_on_configure")(c, 1, 0) == 0);
  CHECK(plugin.get<WasmCallWord<1>>("proxy_on_done")(c, 1) == 1);
}

void hostcalls() {
  Plugin plugin = begun(at("plugin.so"));
  auto call = plugin.get<WasmCallWord<1>>("hostcalls");
  const std::pair<uint64_t, const char *> expected[] = {
      {1, "done in 2\n"},
      {0, "tick 11 in 2\n"},
      {20, "get_metric 12 in 2\n"},
      {0, "increment_metric 13 -5 in 2\n"},
      {0, "record_metric 14 81985529216486895 in 2\n"},
      {30, "http_call 1 2 3 4 5000 in 2\n"},
      {40, "grpc_call 1 2 3 4 3 6000 in 2\n"},
      {0, "local_response 403 1 2 3 4294967295 in 2\n"},
      {0, "log 3 text\n"},
  };
  for (size_t which = 0; which < std::size(expected); which++) {
    told.take();
    CHECK(call(context(2), which) == expected[which].first);
    const std::string text = told.take();
    CHECK(text == expected[which].second || (std::fprintf(stderr, "%s", text.c_str()), false));
  }
  // InternalFailure in place of a status that some SDK does not know.
  for (const auto &[status, known] : {std::pair<uint64_t, uint64_t>{0, 0}, {2, 2}, {7, 7}, {5, 10}, {12, 10}, {33, 10}, {1u << 31, 10}, {7u << 29 | 1, 10}}) {
    status_of_done = status;
    CHECK(call(context(2), 0) == known);
  }
  status_of_done = WasmResult::NotFound;
  told.take();
  CHECK(plugin.call("property") == 1 && told.take() == "property in 2\n");
  CHECK(plugin.call("bad_pointer") == 6 && told.take().empty());
}

void contexts() {
  Plugin plugin = begun(at("plugin.so"));
  current_context_ = context(5);
  effective_context_id_ = 55;
  told.take();
  plugin.get<WasmCallWord<1>>("hostcalls")(context(7), 0);
  CHECK(told.take() == "done in 7\n" && current_context_ == context(5) && effective_context_id_ == 55);
  plugin.run("crash");
  CHECK(current_context_ == context(5) && effective_context_id_ == 55);
  current_context_ = nullptr;
  effective_context_id_ = 0;
}

void output() {
  Plugin plugin = begun(at("plugin.so"));
  told.take();
  plugin.run("output");
  CHECK(told.take() == "log 2 standard output\n");
}

void failing() {
  for (const auto &[name, words] : {std::pair{"crash", "SIGSEGV"}, std::pair{"end", "aborted"}}) {
    Plugin plugin = begun(at("plugin.so")), other = begun(at("plugin.so"));
    int told_of = 0;
    plugin.vm->addFailCallback([&](FailState state) { told_of += state == FailState::RuntimeError ? 1 : 100; });
    told.take();
    plugin.run(name);
    CHECK(plugin.vm->isFailed() && told_of == 1);
    const std::string text = told.take();
    CHECK(has(text, std::string("Function: ") + name + " failed: ") && has(text, words));
    CHECK(plugin.call("counts") == 0 && plugin.malloc(context(1), 5) == 0 && told.take().empty() && told_of == 1);
    CHECK(other.call("counts") == 1110);
  }
  // The host fails the VM: no code of the plugin runs afterwards.
  Plugin plugin = begun(at("plugin.so"));
  plugin.vm->fail(FailState::RuntimeError, "for a reason");
  CHECK(plugin.call("counts") == 0);
}

void allocating() {
  Plugin plugin = begun(at("plugin.so"));
  CHECK(plugin.malloc(context(1), 667) == 0 && !plugin.vm->isFailed());
  plugin.vm->setRestrictedCallback(true, {"env.proxy_log"});
  told.take();
  CHECK(plugin.malloc(context(1), 666) == 0 && plugin.vm->isFailed());
  CHECK(has(told.take(), "Function: proxy_on_memory_allocate failed: the plugin called proxy_get_property"));
  // A plugin without an allocator gets memory that its free accepts.
  Plugin plain = begun(at("no_allocator.so"));
  CHECK(plain.call("property") == 1);
  dynvm::DynVmOptions options;
  options.heap = false;
  CHECK(begun(at("no_allocator.so"), options).call("property") == 1);
  options.heap = true;
  options.memory_limit = 1 << 20;
  Plugin small = begun(at("plugin.so"), options);
  CHECK(small.malloc(context(1), 1 << 10) != 0 && small.vm->getMemorySize() > 0);
  CHECK(small.malloc(context(1), 2 << 20) == 0 && small.vm->isFailed());
  Plugin cxx = begun(at("new.so"), options);
  told.take();
  cxx.run("much");
  CHECK(cxx.vm->isFailed() && has(told.take(), "memory limit"));
}

void clones() {
  Plugin base = begun(at("plugin.so"));
  base.run("void0");
  Plugin clone{base.vm->clone(), {}, {}, {}, {}};
  CHECK(clone.vm->integration() != nullptr && clone.vm->integration() != base.vm->integration());
  CHECK(clone.link() && clone.begin() && clone.call("counts") == 1110 && base.call("counts") == 1111);
  base.run("crash");
  CHECK(!clone.vm->isFailed() && clone.call("counts") == 1110);
  Plugin again{base.vm->clone(), {}, {}, {}, {}};
  CHECK(again.link() && again.begin() && again.call("counts") == 1110);
  CHECK(dynvm::createDynVm()->clone()->integration() == nullptr);
}

void threads() {
  Plugin base = begun(at("plugin.so"));
  std::vector<std::thread> all;
  for (int thread = 0; thread < 8; thread++) {
    all.emplace_back([&, thread] {
      for (int round = 0; round < 20; round++) {
        Plugin plugin{base.vm->clone(), {}, {}, {}, {}};
        CHECK(plugin.link() && plugin.begin() && plugin.call("property") == 1);
        if (round % 4 == thread % 4) {
          plugin.run("crash");
          CHECK(plugin.vm->isFailed());
        } else {
          CHECK(plugin.call("counts") == 1110);
        }
      }
    });
  }
  for (auto &thread : all) {
    thread.join();
  }
  CHECK(base.call("counts") == 1110);
  // Often a worker holds the last reference to a base VM.
  std::thread([vm = std::move(base.vm)]() mutable { vm.reset(); }).join();
}

void terminating() {
  Plugin plugin = begun(at("plugin.so"));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    plugin.vm->terminate();
  });
  told.take();
  plugin.run("forever");
  other.join();
  CHECK(plugin.vm->isFailed() && has(told.take(), "terminated"));
  // While the plugin is in a hostcall, it cannot be interrupted.
  Plugin busy = begun(at("plugin.so"));
  std::promise<void> entered, terminated;
  during_done = [&] {
    entered.set_value();
    terminated.get_future().wait();
  };
  std::thread third([&] {
    entered.get_future().wait();
    busy.vm->terminate();
    terminated.set_value();
  });
  busy.get<WasmCallWord<1>>("hostcalls")(context(2), 0);
  third.join();
  during_done = nullptr;
  CHECK(busy.vm->isFailed() && has(told.take(), "it ends when that returns"));
  // Before the VM is linked, and before it is started.
  Plugin early = load(at("plugin.so")), linked = load(at("plugin.so"));
  early.vm->terminate();
  CHECK(early.link() && linked.link());
  linked.vm->terminate();
  for (Plugin *plugin : {&early, &linked}) {
    told.take();
    CHECK(!plugin->begin() && has(told.take(), "the host terminated the plugin"));
  }
}

void tracing() {
  Plugin plugin = begun(at("plugin.so"));
  auto void2 = plugin.get<WasmCallVoid<2>>("void2");
  auto call = plugin.get<WasmCallWord<1>>("hostcalls");
  told.take();
  void2(context(2), 3, 4);
  CHECK(told.take().empty());
  // The level of a running VM changes.
  traces = true;
  void2(context(2), 3, 4);
  CHECK(told.take() == "trace: [host->vm] void2(3, 4)\ntrace: [host<-vm] void2 return: void\n");
  call(context(2), 1);
  CHECK(told.take() == "trace: [host->vm] hostcalls(1)\n"
                       "trace: [vm->host] env.proxy_set_tick_period_milliseconds(11)\n"
                       "tick 11 in 2\n"
                       "trace: [vm<-host] env.proxy_set_tick_period_milliseconds return: 0\n"
                       "trace: [host<-vm] hostcalls return: 0\n");
  Plugin traced{plugin.vm->clone(), {}, {}, {}, {}};
  CHECK(traced.link() && traced.begin() && has(told.take(), "trace: [vm->host] env.proxy_log(2, "));
  traces = false;
  call(context(2), 1);
  CHECK(told.take() == "tick 11 in 2\n");
}

void hostcalls_of_the_host() {
  Plugin plugin = begun(at("own.so"));
  told.take();
  CHECK(plugin.call("own") == 28 && told.take() == "ping in 2\n");
  CHECK(plugin.call("pthread_equal_of_libc") == 1);
  traces = true;
  CHECK(plugin.call("own") == 28 && has(told.take(), "trace: [vm->host] env.host_sum(1, 2, 3, 4, 5, 6, 7)\n"));
  traces = false;
  plugin.vm->setRestrictedCallback(true, {"env.host_ping"});
  CHECK(plugin.call("own") == 0 && plugin.vm->isFailed() && has(told.take(), "called host_sum"));
  plugin.vm->setRestrictedCallback(false);
  // Another host does not have them.
  Plugin elsewhere = load(at("own.so"));
  told.take();
  CHECK(elsewhere.link(true, false) && !elsewhere.begin() && has(told.take(), "its symbol host_"));
}

void environments() {
  Plugin plugin = begun(at("plugin.so"));
  CHECK(plugin.call("environment") == 1 && plugin.call("seconds") == 77 && plugin.call("monotonic") == 88);
  told.take();
  traces = true;
  plugin.call("monotonic");
  traces = false;
  const std::string text = told.take();
  CHECK(has(text, "trace: [vm->host] wasi_snapshot_preview1.clock_time_get(1, 1, ") &&
        has(text, "trace: [vm<-host] wasi_snapshot_preview1.clock_time_get return: 0\n"));
}

void output_of_another() {
  // A VM that ends inside another's hostcall has no part in that one's context.
  Plugin plugin = begun(at("plugin.so"));
  told.take();
  current_context_ = context(5);
  plugin.vm.reset();
  current_context_ = nullptr;
  CHECK(told.take() == "trace: destructed\n");
}

void names() {
  std::string broken = bytesOf(at("plugin.so")).substr(0, 5000);
  dynvm::DynVmOptions options;
  options.name = "jwt";
  refused(broken, {}, "jwt: ", options);
  AbiVersion version;
  auto vm = vmOf();
  told.take();
  CHECK(dynvm::loadNative(vm.get(), "edge", broken, &version) == dynvm::NativeLoad::Failed && has(told.take(), "edge: "));
}

void replaced_files() {
  const std::string path = at("replaced.so");
  std::ofstream(path, std::ios::binary) << bytesOf(at("plugin.so"));
  Plugin base = begun(path);
  const std::string key = dynvm::codeForKey(path);
  CHECK(key == dynvm::codeForKey(path) && has(key, path) && dynvm::codeForKey("other") == "other");
  told.take();
  CHECK(base.vm->clone() != nullptr && told.take().empty());
  std::ofstream(at("copy.so"), std::ios::binary) << bytesOf(at("own.so"));
  CHECK(std::rename(at("copy.so").c_str(), path.c_str()) == 0 && key != dynvm::codeForKey(path));
  CHECK(base.vm->clone() != nullptr && has(told.take(), "was replaced"));
}

// The members of WasmBase that the mixin needs.
struct Base {
  virtual ~Base() = default;
  virtual bool load(const std::string &, bool) {
    told.add("the host's load");
    return true;
  }
  WasmVm *wasm_vm() const { return vm_.get(); }
  std::string_view vm_id() const { return "vm"; }
  void fail(FailState, std::string_view message) { told.add(std::string(message)); }
  std::unique_ptr<WasmVm> vm_ = vmOf();
  AbiVersion abi_version_ = AbiVersion::Unknown;
};

void ways() {
  told.take();
  dynvm::NativeWasm<Base> wasm, old, wrong, bytes;
  CHECK(wasm.load(at("plugin.so")) && wasm.abi_version_ == AbiVersion::ProxyWasm_0_2_1);
  CHECK(old.load(at("old.so")) && old.abi_version_ == AbiVersion::ProxyWasm_0_1_0);
  CHECK(bytes.load(bytesOf(at("plugin.so"))) && told.take().empty());
  CHECK(!wrong.load(at("missing.so")) && wrong.abi_version_ == AbiVersion::Unknown);
  CHECK(has(told.take(), "Failed to load native plugin"));
  CHECK(dynvm::loadNative(nullptr, "", "", nullptr) == dynvm::NativeLoad::NotNative);
}

#ifndef DYNVM_CPP_HOST_GIVEN
// With a key in the host, nothing is loaded without its signature; signatures.cc is the same on the host itself.
void signatures() {
  proxy_wasm::has_key = true;
  dynvm::DynVmOptions options, null;
  null.as_null = true;
  dynvm::NativeWasm<Base> path, bytes;
  told.take();
  CHECK(!path.load(at("plugin.so")) && has(told.take(), "only what its key signed (no signature)"));
  CHECK(!bytes.load(bytesOf(at("plugin.so"))) && has(told.take(), "only what its key signed"));
  refused(at("plugin.so"), {}, "only what its key signed", null);
  options.trust_policy_file = null.trust_policy_file = at("allows.toml");
  dynvm::NativeWasm<Base> trusted;
  trusted.vm_ = vmOf(options);
  CHECK(trusted.load(at("plugin.so")) && vmOf(null)->load(at("plugin.so"), {}, {}));
  proxy_wasm::has_key = false;
}
#endif

void fat_plugins() {
  const std::string fat = bytesOf(at("fat.wasm"));
  if (fat.empty()) {
    std::fputs("there is no fat.wasm: way C was not tried\n", stderr);
    return;
  }
  refused(fat, {}, "allow_precompiled");
  told.take();
  dynvm::NativeWasm<Base> wasm;
  CHECK(wasm.load(fat) && told.take() == "the host's load\n");
  // As the host does it: the module without sections named precompiled_, and the section that it was asked for.
  Plugin plugin{vmOf(), {}, {}, {}, {}};
  CHECK(plugin.vm->load(fat, "what is in dynvm.native", {}) && plugin.link() && plugin.begin());
  CHECK(plugin.call("counts") == 1110);
}

} // namespace
} // namespace test

int main(int argc, char **argv) {
  if (argc != 2) {
    return 2;
  }
  test::dir = argv[1];
  for (auto *run : {test::facts, test::memory, test::refusals, test::starts, test::starts_that_fail, test::functions, test::hostcalls,
                    test::contexts, test::output, test::failing, test::allocating, test::clones, test::threads, test::terminating,
                    test::tracing, test::hostcalls_of_the_host, test::environments, test::output_of_another, test::names,
                    test::replaced_files, test::ways, test::fat_plugins}) {
    run();
  }
#ifndef DYNVM_CPP_HOST_GIVEN
  test::signatures();
#endif
  if (test::failures == 0) {
    std::puts("all as a host wants it");
  }
  return test::failures == 0 ? 0 : 1;
}
