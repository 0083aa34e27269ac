// A host that was compiled with a key loads fat plugins that this key signed, and other native code only if a trust policy decides.
// Arguments: a shared object, a fat plugin without a signature, trust policies that allow all and nothing.

#include <openssl/evp.h>

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

// The private key of the host's (RFC 8032, 7.1, test 1), and another.
constexpr unsigned char PRIVATE_KEY[] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
                                         0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
constexpr unsigned char OTHER_KEY[32] = {1};

/// A module as `wasmsign2` signs it: behind the header, a section with the hash of the rest and its signature.
std::string sign(const std::string &module, const unsigned char *private_key) {
  constexpr size_t HEADER = 8;
  const std::string content = module.substr(HEADER);
  // Versions of the format, of the content and of the hash: 1, 1, SHA-256.
  const std::string versions = "\1\1\1";
  std::string hash(32, 0), signature(64, 0);
  EVP_Digest(content.data(), content.size(), reinterpret_cast<unsigned char *>(hash.data()), nullptr, EVP_sha256(), nullptr);
  const std::string message = "wasmsig" + versions + hash;
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, private_key, 32);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t size = signature.size();
  CHECK(EVP_DigestSignInit(context, nullptr, nullptr, nullptr, key) == 1);
  CHECK(EVP_DigestSign(context, reinterpret_cast<unsigned char *>(signature.data()), &size,
                       reinterpret_cast<const unsigned char *>(message.data()), message.size()) == 1);
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  const auto sized = [](const std::string &bytes) {
    std::string size;
    for (size_t rest = bytes.size(); rest != 0 || size.empty(); rest >>= 7) {
      size.push_back(static_cast<char>((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0)));
    }
    return size + bytes;
  };
  // No name of a key; Ed25519.
  const std::string signed_hash = "\1" + hash + "\1" + sized(std::string("\0\1", 2) + sized(signature));
  const std::string section = sized("signature") + versions + "\1" + sized(signed_hash);
  return module.substr(0, HEADER) + std::string(1, 0) + sized(section) + content;
}

bool loads(const std::string &code, bool as_null, const std::string &policy) {
  dynvm::DynVmOptions options;
  options.as_null = as_null;
  options.trust_policy_file = policy;
  Wasm wasm(options);
  // Way B needs no class of ours.
  return as_null ? wasm.WasmBase::load(code, true) : wasm.load(code, true);
}

void run(const std::string &path, const std::string &fat, const std::string &policy, const std::string &refusal) {
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

  const std::string good = sign(bytesOf(fat), PRIVATE_KEY);
  CHECK(loads(good, false, "") && loads(good, false, policy));
  told.take();
  CHECK(!loads(good, false, refusal) && has(told.take(), "policy"));
  std::string changed = good;
  changed.back() ^= 1;
  CHECK(!loads(changed, false, "") && has(told.take(), "Hash mismatch"));
  CHECK(!loads(sign(bytesOf(fat), OTHER_KEY), false, "") && has(told.take(), "Signature mismatch"));
}

} // namespace
} // namespace test

int main(int argc, char **argv) {
  if (argc != 5) {
    return 2;
  }
  test::run(argv[1], argv[2], argv[3], argv[4]);
  if (test::failures == 0) {
    std::puts("nothing but what the key signed");
  }
  return test::failures == 0 ? 0 : 1;
}
