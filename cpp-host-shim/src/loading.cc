// SPDX-License-Identifier: Apache-2.0

#include "loading.h"

#include <sys/stat.h>

#include <fstream>
#include <iterator>

namespace dynvm {

namespace {

constexpr std::string_view ELF = "\x7f"
                                 "ELF";
constexpr std::string_view WASM("\0asm", 4);

constexpr const char *NO_CODE = "the code is neither a shared object, nor a fat plugin, nor the absolute path of one";

bool isElf(std::string_view code) { return code.substr(0, ELF.size()) == ELF; }

std::string configure(dynvm_options_t *to, const DynVmOptions &from) {
  dynvm_options_set_contain_crashes(to, from.contain_crashes);
  dynvm_options_set_heap(to, from.heap);
  dynvm_options_set_debugger(to, from.debugger);
  if (from.trust_policy_file.empty()) {
    return {};
  }
  return textOf(dynvm_options_set_trust_policy_file(to, from.trust_policy_file.c_str()));
}

} // namespace

bool isWasm(std::string_view code) { return code.substr(0, WASM.size()) == WASM; }

bool isPath(std::string_view code) { return code.substr(0, 1) == "/"; }

bool isName(std::string_view code) {
  constexpr size_t LONGEST = 255;
  return !isElf(code) && !isWasm(code) && !isPath(code) && code.size() <= LONGEST;
}

std::string stampOf(const std::string &path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) {
    return {};
  }
  std::string stamp;
  for (const auto fact : {uint64_t(facts.st_dev), uint64_t(facts.st_ino), uint64_t(facts.st_size), uint64_t(facts.st_mtim.tv_sec),
                          uint64_t(facts.st_mtim.tv_nsec)}) {
    stamp += std::to_string(fact) + " ";
  }
  return stamp;
}

std::string codeForKey(std::string_view code) {
  std::string key(code);
  if (isPath(code)) {
    std::ifstream file(key, std::ios::binary);
    key.push_back('\0');
    key.append(std::istreambuf_iterator<char>(file), {});
  }
  return key;
}

const dynvm_loader_t *Loading::loader(std::string *error) const {
  std::call_once(created_, [this] {
    Options wanted(dynvm_options_new());
    error_ = configure(wanted.get(), options_);
    if (error_.empty()) {
      dynvm_loader_t *loader = nullptr;
      error_ = textOf(dynvm_loader_new(wanted.get(), &loader));
      loader_.reset(loader);
    }
  });
  *error = error_;
  return loader_.get();
}

Module Loading::load(std::string_view name, std::string_view code, std::string *error) const {
  dynvm_module_t *module = nullptr;
  if (std::string_view(dynvm_loader_version()) != DYNVM_LOADER_VERSION) {
    *error = std::string("the loader's library has version ") + dynvm_loader_version() +
             ", but the shim was compiled for " DYNVM_LOADER_VERSION ": link it with the library of its headers";
  } else if (isName(code)) {
    const std::string why = textOf(dynvm_module_linked(std::string(code).c_str(), &module));
    *error = why.empty() ? "" : NO_CODE + (": " + why);
  } else if (!isElf(code) && !isWasm(code) && !isPath(code)) {
    *error = NO_CODE;
  } else if (const dynvm_loader_t *loader = this->loader(error)) {
    if (isPath(code)) {
      *error = textOf(dynvm_module_load_file(loader, std::string(code).c_str(), &module));
    } else {
      const std::string &given = options_.name.empty() ? std::string(name) : options_.name;
      *error = textOf(dynvm_module_load_bytes(loader, given.empty() ? "the plugin" : given.c_str(), code.data(), code.size(), &module));
    }
  }
  return Module(module);
}

} // namespace dynvm
