// A host that was compiled with a key loads native code in no way, unless a trust policy decides. Arguments: a shared object, a fat plugin without a signature,
// a trust policy that allows all.

#include "host.h"
#include "include/proxy-wasm/context.h"
#include "include/proxy-wasm/wasm.h"

namespace test {
namespace {

struct Wasm : dynvm::NativeWasm<WasmBase> {
  explicit Wasm(const dynvm::DynVmOptions &options)
      : NativeWasm(vmOf(options), "vm", "", "key", std::unordered_map<std::string, std::string>(), AllowedCapabilitiesMap()) {}
  void error(std::string_view message) override { told.add(std::string(message)); }
};

bool loads(const std::string &code, bool as_null, const std::string &policy) {
  dynvm::DynVmOptions options;
  options.as_null = as_null;
  options.trust_policy_file = policy;
  Wasm wasm(options);
  // Way B needs no class of ours.
  return as_null ? wasm.WasmBase::load(code, true) : wasm.load(code, true);
}

void run(const std::string &path, const std::string &fat, const std::string &policy) {
  for (const auto &code : {path, bytesOf(path)}) {
    for (const bool as_null : {false, true}) {
      told.take();
      CHECK(!loads(code, as_null, "") && has(told.take(), "only what its key signed"));
      CHECK(loads(code, as_null, policy));
    }
  }
  told.take();
  CHECK(!loads(bytesOf(fat), false, "") && has(told.take(), "\"signature\" not found"));
  CHECK(!loads(bytesOf(fat), false, policy) && has(told.take(), "\"signature\" not found"));
}

} // namespace
} // namespace test

int main(int argc, char **argv) {
  if (argc != 4) {
    return 2;
  }
  test::run(argv[1], argv[2], argv[3]);
  if (test::failures == 0) {
    std::puts("nothing without a signature");
  }
  return test::failures == 0 ? 0 : 1;
}
