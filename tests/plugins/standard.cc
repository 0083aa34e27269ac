// A plugin that uses much of the C++ library.
#include <chrono>
#include <map>
#include <mutex>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>

extern "C" void proxy_abi_version_0_2_1() {}

static std::map<std::string, int> seen;
static std::unordered_map<std::string, double> values;
static std::mutex lock;

extern "C" int proxy_on_vm_start(int, int size) {
  std::lock_guard<std::mutex> guard(lock);
  std::ostringstream text;
  text << size << 1.5 << std::chrono::system_clock::now().time_since_epoch().count();
  try {
    values[text.str()] = std::stod(text.str());
  } catch (const std::exception &error) {
    seen[error.what()]++;
  }
  return std::regex_match(text.str(), std::regex("a.*b"));
}
