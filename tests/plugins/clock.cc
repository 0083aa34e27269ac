// Logs the time from every source that a native plugin can use, in nanoseconds, as `wall steady`.
#include <dynvm/hostcalls.h>

#include <chrono>
#include <string>
#include <sys/time.h>
#include <time.h>

extern "C" {
DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

static long nanoseconds(clockid_t clock) {
  timespec time;
  return clock_gettime(clock, &time) == 0 ? time.tv_sec * 1000000000L + time.tv_nsec : -1;
}

static void log(const std::string &what, long wall, long steady) {
  std::string text = what + " " + std::to_string(wall) + " " + std::to_string(steady);
  proxy_log(PROXY_LOG_LEVEL_INFO, reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

DYNVM_CALLBACK(proxy_on_request_headers) uint32_t proxy_on_request_headers(uint32_t, size_t, uint32_t) {
  log("clock_gettime", nanoseconds(CLOCK_REALTIME), nanoseconds(CLOCK_MONOTONIC));
  using std::chrono::nanoseconds, std::chrono::steady_clock, std::chrono::system_clock;
  log("chrono", nanoseconds(system_clock::now().time_since_epoch()).count(), nanoseconds(steady_clock::now().time_since_epoch()).count());
  timeval seconds;
  gettimeofday(&seconds, nullptr);
  time_t now = 0;
  log("seconds", seconds.tv_sec * 1000000L + seconds.tv_usec, time(&now) == now ? now : -1);
  log("processor", ::nanoseconds(CLOCK_PROCESS_CPUTIME_ID) > 0, ::nanoseconds(-1));
  return 0;
}
}
