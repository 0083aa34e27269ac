// A plugin in C++ without an SDK: exceptions, statics and thread-local variables with constructors and destructors.
#include <dynvm/dynvm.h>

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace {

void say(const std::string &text) {
  proxy_log(2, reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

struct Loud {
  std::string name;
  explicit Loud(const char *name) : name(name) {}
  ~Loud() { say("end of " + name); }
};

Loud loud("the static variable");
thread_local Loud local_loud("the thread-local variable");
std::map<std::string, int> counts;
thread_local std::string letters = "x";

// In a list with the same name as another plugin's.
const int item __attribute__((section("items"), used, retain)) = 1;

__attribute__((noinline)) int deep(int depth) {
  std::string frame(20, 'f');
  if (depth == 0) throw std::runtime_error("thrown");
  return deep(depth - 1) + static_cast<int>(frame.size());
}

} // namespace

extern "C" {

void proxy_abi_version_0_2_1(void) {}
void *proxy_on_memory_allocate(size_t size) { return std::malloc(size); }

uint32_t proxy_on_request_headers(uint32_t, size_t, uint32_t) {
  std::string caught;
  try {
    deep(20);
  } catch (const std::exception &error) {
    caught = error.what();
  }
  try {
    (void)std::stoi("no number");
  } catch (const std::invalid_argument &) {
    caught += " twice";
  }
  letters += "y";
  counts[letters]++;
  say(caught + " " + letters + " " + std::to_string(counts.size()) + " " + std::to_string(local_loud.name.size()));
  return 0;
}
}
