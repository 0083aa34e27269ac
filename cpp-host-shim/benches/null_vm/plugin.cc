// SPDX-License-Identifier: Apache-2.0
//
// The measured plugin, from one source: a shared object of the C++ SDK, and with NULL_PLUGIN linked
// into the host.

#include <cstdlib>
#include <string_view>

#ifdef NULL_PLUGIN
#include "include/proxy-wasm/null_plugin.h"
#else
#include "proxy_wasm_intrinsics.h"
#endif

#include "protocol.h"

START_WASM_PLUGIN(Measured)

class MeasuredContext : public Context {
public:
  explicit MeasuredContext(uint32_t id, RootContext *root) : Context(id, root) {}

  FilterHeadersStatus onRequestHeaders(uint32_t kind, bool) override {
    if (kind != STREAM_THAT_WORKS) {
      return FilterHeadersStatus::Continue;
    }
    bool well = true;
    for (int i = 0; i < 3; i++) {
      well = well && make(GET_HEADER_HIT);
    }
    well = well && make(REPLACE_HEADER) && make(GET_BUFFER_4096);
    return well ? FilterHeadersStatus::Continue : FilterHeadersStatus::StopIteration;
  }

  FilterTrailersStatus onRequestTrailers(uint32_t hostcall) override {
    hostcall_ = hostcall;
    return FilterTrailersStatus::Continue;
  }

  FilterDataStatus onRequestBody(size_t times, bool) override {
    for (size_t i = 0; i < times; i++) {
      if (!make(hostcall_)) {
        return FilterDataStatus::StopIterationNoBuffer;
      }
    }
    return FilterDataStatus::Continue;
  }

private:
  // Whether the hostcall had its effect.
  static bool make(uint32_t hostcall) {
    constexpr std::string_view LINE = "a line of a log, of some forty bytes ...";
    const char *data = nullptr;
    size_t size = 0;
    uint64_t time = 0;
    switch (hostcall) {
    case GET_HEADER_HIT:
      return taken(proxy_get_header_map_value(WasmHeaderMapType::RequestHeaders, ":path", 5, &data, &size), &data, &size, 5);
    case GET_HEADER_MISS:
      return proxy_get_header_map_value(WasmHeaderMapType::RequestHeaders, "x-none", 6, &data, &size) == WasmResult::NotFound;
    case REPLACE_HEADER:
      return proxy_replace_header_map_value(WasmHeaderMapType::RequestHeaders, "x-id", 4, "12345", 5) == WasmResult::Ok;
    case GET_BUFFER_64:
      return taken(proxy_get_buffer_bytes(WasmBufferType::HttpRequestBody, 0, 64, &data, &size), &data, &size, 64);
    case GET_BUFFER_4096:
      return taken(proxy_get_buffer_bytes(WasmBufferType::HttpRequestBody, 0, 4096, &data, &size), &data, &size, 4096);
    case LOG_OFF:
      return proxy_log(LogLevel::trace, LINE.data(), LINE.size()) == WasmResult::Ok;
    case CURRENT_TIME:
      return proxy_get_current_time_nanoseconds(&time) == WasmResult::Ok && time != 0;
    default:
      return false;
    }
  }

  // The plugin must free memory that the host returned.
  static bool taken(WasmResult result, const char **data, const size_t *size, size_t expected) {
    ::free(const_cast<char *>(*data));
    return result == WasmResult::Ok && *size == expected;
  }

  uint32_t hostcall_ = 0;
};

static RegisterContextFactory register_measured(CONTEXT_FACTORY(MeasuredContext), ROOT_FACTORY(RootContext), "measured");

END_WASM_PLUGIN

#ifdef NULL_PLUGIN
namespace proxy_wasm {
namespace null_plugin::Measured {
NullPluginRegistry *context_registry_;
}
static RegisterNullVmPluginFactory register_plugin("measured", []() -> std::unique_ptr<NullVmPlugin> {
  return std::make_unique<NullPlugin>(null_plugin::Measured::context_registry_);
});
} // namespace proxy_wasm
#endif
