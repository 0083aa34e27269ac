// A plugin in C++, without an SDK, that fails as its configuration specifies: on request headers, or while it starts or ends.
#include <cassert>
#include <chrono>
#include <ctime>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

#include <dynvm/dynvm.h>

namespace {

void log(const char *text) { proxy_log(PROXY_LOG_LEVEL_INFO, reinterpret_cast<const uint8_t *>(text), strlen(text)); }

// An object whose address is unknown to the compiler.
template <class T> T *hidden(T *value) {
  asm volatile("" : "+r"(value));
  return value;
}

// A static of an inline function, which g++ marks as unique in the process.
inline int &count_of_streams() {
  static int count = 0;
  return count;
}

[[gnu::noinline]] void spin() {
  for (volatile unsigned i = 0;; i++) {
  }
}

struct Static {
  std::string text = "a static that was constructed";
  Static() {
#ifdef CRASH_IN_CONSTRUCTOR
    *hidden(reinterpret_cast<volatile int *>(8)) = 1;
#endif
#ifdef SPIN_IN_CONSTRUCTOR
    spin();
#endif
    log(text.c_str());
  }
  ~Static() { log("a static was destroyed"); }
} a_static;

struct ThreadLocal {
  std::vector<std::string> held{100, std::string(200, 'x')};
  ~ThreadLocal() {
    log("a thread-local variable was destroyed");
#ifdef CRASH_IN_DESTRUCTOR
    abort();
#endif
#ifdef SPIN_IN_DESTRUCTOR
    spin();
#endif
  }
};
thread_local ThreadLocal a_thread_local;

std::string configuration;
uint64_t a_time;

[[gnu::noinline]] int overflow(int depth) {
  volatile char frame[8192];
  frame[0] = static_cast<char>(depth);
  return overflow(depth + 1) + frame[0];
}

[[gnu::noinline]] size_t overflow_with_strings(const std::string &text) {
  std::map<std::string, std::string> children{{text + text.substr(0, 20), "a value that is not small"}};
  return overflow_with_strings(children.begin()->first) + children.size();
}

[[gnu::noinline]] void must_not_throw() noexcept {
  if (*hidden(&configuration) != "nothing") throw 1;
}

[[gnu::noinline]] void smash() {
  char small[16];
  memset(hidden(small), 'A', 64);
}

// The system's time. The C library would return the host's, which stands still in tests.
long now_in_milliseconds() {
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

[[gnu::noinline]] void busy(int milliseconds) {
  const long end = now_in_milliseconds() + milliseconds;
  while (now_in_milliseconds() < end) {
    for (volatile int i = 0; i < 100000; i++) {
    }
  }
}

void bad_pointers() {
  auto *bad = hidden(reinterpret_cast<uint8_t *>(0x10));
  auto *size = hidden(reinterpret_cast<size_t *>(0x18));
  uint8_t *data = nullptr;
  size_t length = 0;
  const auto *key = reinterpret_cast<const uint8_t *>("key");
  bool refused = proxy_set_shared_data(bad, 8, key, 3, 0) == PROXY_STATUS_INVALID_MEMORY_ACCESS &&
                 proxy_set_shared_data(key, 3, bad, 8, 0) == PROXY_STATUS_INVALID_MEMORY_ACCESS &&
                 proxy_set_shared_data(key, static_cast<size_t>(1) << 40, key, 3, 0) == PROXY_STATUS_INVALID_MEMORY_ACCESS &&
                 proxy_log(PROXY_LOG_LEVEL_INFO, bad, 100) == PROXY_STATUS_INVALID_MEMORY_ACCESS &&
                 proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, 1, &data, size) != PROXY_STATUS_OK &&
                 proxy_set_shared_data(key, 3, key, 3, 0) == PROXY_STATUS_OK &&
                 proxy_get_shared_data(key, 3, &data, hidden(size), reinterpret_cast<uint32_t *>(bad)) ==
                     PROXY_STATUS_INVALID_MEMORY_ACCESS &&
                 // A write to read-only memory faults.
                 proxy_get_shared_data(key, 3, &data, &length, reinterpret_cast<uint32_t *>(const_cast<uint8_t *>(key))) ==
                     PROXY_STATUS_INVALID_MEMORY_ACCESS;
  log(refused ? "all refused" : "not all refused");
}

[[gnu::noinline]] void fail(const std::string &how) {
  if (how == "throw") throw std::runtime_error("nobody catches this");
  if (how == "throw_int") throw 42;
  if (how == "caught") {
    try {
      throw std::runtime_error("this is caught");
    } catch (const std::exception &error) {
      log(error.what());
    }
  }
  if (how == "noexcept") must_not_throw();
  if (how == "terminate") std::terminate();
  if (how == "abort") abort();
  if (how == "assert") assert(how == "something else");
  if (how == "exit") exit(7);
  if (how == "_exit") _exit(7);
  if (how == "segv") *hidden(reinterpret_cast<volatile int *>(8)) = 1;
  if (how == "memcpy") memcpy(hidden(reinterpret_cast<char *>(8)), how.data(), how.size());
  if (how == "null call") hidden(reinterpret_cast<void (*)()>(0))();
  if (how == "wild call") hidden(reinterpret_cast<void (*)()>(0x7123456789))();
  if (how == "fpe") configuration.resize(static_cast<size_t>(100 / *hidden(&count_of_streams())));
#ifdef __aarch64__
  // A trap of the compiler is a breakpoint there.
  if (how == "ill") asm volatile("udf #0");
#else
  if (how == "ill") __builtin_trap();
#endif
  if (how == "overflow") overflow(0);
  if (how == "overflow with strings") overflow_with_strings(how);
  if (how == "uncaught") log(("uncaught exceptions: " + std::to_string(std::uncaught_exceptions())).c_str());
  if (how == "segv in catch") {
    try {
      throw std::runtime_error("this is caught");
    } catch (const std::exception &error) {
      *hidden(reinterpret_cast<volatile int *>(8)) = 1;
    }
  }
  if (how == "current exception") log(std::current_exception() ? "an exception is handled" : "no exception is handled");
  if (how == "length error") configuration.resize(static_cast<size_t>(-1));
  if (how == "smash") smash();
  if (how == "busy") {
    busy(1000);
    log("done at last");
  }
  if (how == "spin") spin();
  if (how == "loop of hostcalls") {
    for (const long end = now_in_milliseconds() + 3000; now_in_milliseconds() < end;) {
      for (int i = 0; i < 1000; i++) proxy_get_current_time_nanoseconds(hidden(&a_time));
    }
  }
  if (how == "loop of memcpy") {
    std::vector<char> from(1 << 20), to(1 << 20);
    for (const long end = now_in_milliseconds() + 3000; now_in_milliseconds() < end;) {
      for (int i = 0; i < 100; i++) memcpy(hidden(to.data()), hidden(from.data()), to.size());
    }
  }
  if (how == "sleep") std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  if (how == "bad pointers") bad_pointers();
  if (how == "hoard") {
    std::vector<std::string> hoard;
    for (;;) hoard.emplace_back(1 << 16, 'x');
  }
}

} // namespace

extern "C" {

void proxy_abi_version_0_2_1(void) {}

uint32_t proxy_on_configure(uint32_t, size_t size) {
  uint8_t *data = nullptr;
  size_t length = 0;
  if (size > 0 && proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, size, &data, &length) == PROXY_STATUS_OK) {
    configuration.assign(reinterpret_cast<char *>(data), length);
    free(data);
  }
  a_thread_local.held[0] = "used";
  return 1;
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t, size_t, uint32_t) {
  if (configuration == "count") {
    log(std::to_string(++count_of_streams()).c_str());
    return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
  }
  // The configuration selects the failure of every stream, a header that of this one.
  uint8_t *how = nullptr;
  size_t size = 0;
  if (proxy_get_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("x-crash"), &how, &size) == PROXY_STATUS_OK) {
    std::string text(reinterpret_cast<char *>(how), size);
    free(how);
    fail(text);
  }
  fail(configuration);
  proxy_add_header_map_value(PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS, DYNVM_LITERAL("x-served"), DYNVM_LITERAL("1"));
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}

} // extern "C"
