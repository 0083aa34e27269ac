// SPDX-License-Identifier: Apache-2.0
//
// What all VMs of one createDynVm share: options, made into a loader.

#pragma once

#include <string>
#include <string_view>

#include "dynvm/cpp_host.h"
#include "handle.h"

namespace dynvm {

/// Immutable, used by all threads.
class Loading {
public:
  explicit Loading(const DynVmOptions &options);

  const DynVmOptions &options() const { return options_; }

  /// Loads the bytes of a shared object or of a fat plugin, or the file at an absolute path. Null, and a text, if that fails.
  Module load(std::string_view code, std::string *error) const;

private:
  DynVmOptions options_;
  Loader loader_;
  // Why there is no loader.
  std::string error_;
};

bool isWasm(std::string_view code);

} // namespace dynvm
