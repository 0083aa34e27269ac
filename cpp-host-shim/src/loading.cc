// SPDX-License-Identifier: Apache-2.0

#include "loading.h"

namespace dynvm {

namespace {

constexpr std::string_view ELF = "\x7f"
                                 "ELF";
constexpr std::string_view WASM("\0asm", 4);

std::string configure(dynvm_options_t *to, const DynVmOptions &from) {
  dynvm_options_set_contain_crashes(to, from.contain_crashes);
  dynvm_options_set_heap(to, from.heap);
  dynvm_options_set_keep_images(to, from.keep_images);
  std::string error;
  if (!from.image_dir.empty()) {
    error = textOf(dynvm_options_set_image_dir(to, from.image_dir.c_str()));
  }
  if (error.empty() && !from.trust_policy_file.empty()) {
    error = textOf(dynvm_options_set_trust_policy_file(to, from.trust_policy_file.c_str()));
  }
  return error;
}

} // namespace

bool isWasm(std::string_view code) { return code.substr(0, WASM.size()) == WASM; }

Loading::Loading(const DynVmOptions &options) : options_(options) {
  Options wanted(dynvm_options_new());
  error_ = configure(wanted.get(), options);
  if (!error_.empty()) {
    return;
  }
  dynvm_loader_t *loader = nullptr;
  error_ = textOf(dynvm_loader_new(wanted.get(), &loader));
  loader_.reset(loader);
}

Module Loading::load(std::string_view code, std::string *error) const {
  dynvm_module_t *module = nullptr;
  if (!loader_) {
    *error = error_;
  } else if (code.substr(0, ELF.size()) == ELF || isWasm(code)) {
    *error = textOf(dynvm_module_load_bytes(loader_.get(), "the plugin", code.data(), code.size(), &module));
  } else if (code.substr(0, 1) == "/") {
    *error = textOf(dynvm_module_load_file(loader_.get(), std::string(code).c_str(), &module));
  } else {
    *error = "the code is neither a shared object, nor a fat plugin, nor the absolute path of one";
  }
  return Module(module);
}

} // namespace dynvm
