// SPDX-License-Identifier: Apache-2.0
//
// State shared by all VMs of one createDynVm: the loader that its options describe.

#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "dynvm/cpp_host.h"
#include "handle.h"

namespace dynvm {

/// Shared by all threads.
class Loading {
public:
  explicit Loading(const DynVmOptions &options) : options_(options) {}

  const DynVmOptions &options() const { return options_; }

  /// Loads the bytes of a shared object or of a fat plugin, the file at an absolute path, or the linked plugin of that name. On
  /// failure returns null and sets the text.
  Module load(std::string_view name, std::string_view code, std::string *error) const;

private:
  const dynvm_loader_t *loader(std::string *error) const;

  const DynVmOptions options_;
  // Created when it is first needed: a linked plugin needs none.
  mutable std::once_flag created_;
  mutable Loader loader_;
  // The reason why there is no loader.
  mutable std::string error_;
};

bool isWasm(std::string_view code);
bool isPath(std::string_view code);
/// What may be the name of a linked plugin.
bool isName(std::string_view code);

/// Differs for another file at this path.
std::string stampOf(const std::string &path);

} // namespace dynvm
