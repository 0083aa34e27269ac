// SPDX-License-Identifier: Apache-2.0
//
// Owning handles for objects of the loader's C API.

#pragma once

#include <memory>
#include <string>

#include "dynvm/loader.h"

namespace dynvm {

template <auto free> struct Free {
  template <class T> void operator()(T *object) const { free(object); }
};

using Options = std::unique_ptr<dynvm_options_t, Free<dynvm_options_free>>;
using Loader = std::unique_ptr<dynvm_loader_t, Free<dynvm_loader_free>>;
using Module = std::unique_ptr<dynvm_module_t, Free<dynvm_module_free>>;
using Hostcalls = std::unique_ptr<dynvm_hostcalls_t, Free<dynvm_hostcalls_free>>;
using VmConfig = std::unique_ptr<dynvm_vm_config_t, Free<dynvm_vm_config_free>>;
using Vm = std::unique_ptr<dynvm_vm_t, Free<dynvm_vm_free>>;
using Terminator = std::unique_ptr<dynvm_terminator_t, Free<dynvm_terminator_free>>;
using Error = std::unique_ptr<dynvm_error_t, Free<dynvm_error_free>>;

/// The text of an error, which is freed; empty if there is no error.
inline std::string textOf(dynvm_error_t *error) {
  Error owned(error);
  return owned ? dynvm_error_text(owned.get()) : "";
}

} // namespace dynvm
