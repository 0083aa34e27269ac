// A plugin on the C++ SDK.
#include "proxy_wasm_intrinsics.h"

#include <stdexcept>

class Root : public RootContext {
public:
  explicit Root(uint32_t id, std::string_view root_id) : RootContext(id, root_id) {}
  int streams = 0;
};

class Stream : public Context {
public:
  explicit Stream(uint32_t id, RootContext *root) : Context(id, root) {}
  FilterHeadersStatus onRequestHeaders(uint32_t, bool) override {
    auto *own = static_cast<Root *>(root());
    try {
      throw std::runtime_error("thrown");
    } catch (const std::exception &error) {
      auto path = getRequestHeader(":path")->toString();
      logInfo(path + " " + error.what() + " " + std::to_string(++own->streams));
    }
    return FilterHeadersStatus::Continue;
  }
};

static RegisterContextFactory factory(CONTEXT_FACTORY(Stream), ROOT_FACTORY(Root));
