// A plugin on the C++ SDK for whole streams: answers the header x-n with x-answer, which includes
// the number of streams of this VM so far; throws on demand.

#include <stdexcept>
#include <string>

#include "proxy_wasm_intrinsics.h"

namespace {

uint32_t streams = 0;

class StreamContext : public Context {
public:
  explicit StreamContext(uint32_t id, RootContext *root) : Context(id, root) {}

  FilterHeadersStatus onRequestHeaders(uint32_t, bool) override {
    const std::string n = getRequestHeader("x-n")->toString();
    if (n == "crash") {
      throw std::runtime_error("as it was told to");
    }
    addRequestHeader("x-answer", n + " of " + std::to_string(++streams));
    return FilterHeadersStatus::Continue;
  }
};

RegisterContextFactory register_stream(CONTEXT_FACTORY(StreamContext));

} // namespace
