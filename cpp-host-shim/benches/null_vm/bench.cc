// SPDX-License-Identifier: Apache-2.0
//
// Calls and streams through proxy-wasm-cpp-host: its NullVM against the shim, in turns in one
// process. Arguments: the number of rounds, the plugin, and the plugin built with -Bsymbolic.
// Writes a line for each measurement: case, engine, nanoseconds of processor time of one iteration,
// iterations.

#include <ctime>

#include <charconv>

#include "embedder.h"
#include "protocol.h"

// Callgrind begins a new count here: before and after each measurement.
extern "C" [[gnu::noinline]] void dynvm_bench_mark() { asm volatile(""); }

namespace bench {
namespace {

/// The thread's processor time: other programs of the machine interrupt a measurement.
double nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) * 1e9 + double(now.tv_nsec);
}

template <class Work> double nanosecondsOf(int times, const Work &work) {
  const double begin = nanoseconds();
  dynvm_bench_mark();
  for (int i = 0; i < times; i++) {
    work();
  }
  dynvm_bench_mark();
  return nanoseconds() - begin;
}

void well(bool condition, const Engine &engine, const std::string &what) {
  if (!condition) {
    stop("the plugin in " + engine.name + " did not do what it should: " + what);
  }
}

/// One case: nanoseconds of so many iterations.
struct Case {
  std::string name;
  int times;
  std::function<double(const Engine &, Stream &)> measure;
};

Case hostcall(const std::string &name, Hostcall which, int times) {
  return {name, times, [name, which, times](const Engine &engine, Stream &stream) {
            stream.onRequestTrailers(which);
            bool done = false;
            const double all = nanosecondsOf(1, [&] { done = stream.onRequestBody(times, false) == FilterDataStatus::Continue; });
            well(done, engine, name);
            return all;
          }};
}

Case wholeStream(const std::string &name, uint32_t headers) {
  constexpr int TIMES = 500;
  return {name, TIMES, [name, headers](const Engine &engine, Stream &) {
            const std::string bytes(4096, 'b');
            return nanosecondsOf(TIMES, [&] {
              Stream stream(engine);
              if (headers == STREAM_THAT_WORKS) {
                stream.dress(bytes);
              }
              well(stream.onRequestHeaders(headers, true) == FilterHeadersStatus::Continue, engine, name);
            });
          }};
}

std::vector<Case> cases() {
  constexpr int CALLS = 20000;
  return {
      {"onRequestHeaders, no-op", CALLS,
       [](const Engine &, Stream &stream) {
         return nanosecondsOf(CALLS, [&] {
           if (stream.onRequestHeaders(4, true) != FilterHeadersStatus::Continue) {
             stop("onRequestHeaders stopped a stream");
           }
         });
       }},
      hostcall("get header, hit", GET_HEADER_HIT, 2000),
      hostcall("get header, miss", GET_HEADER_MISS, 20000),
      hostcall("replace header", REPLACE_HEADER, 20000),
      hostcall("get buffer, 64 bytes", GET_BUFFER_64, 2000),
      hostcall("get buffer, 4096 bytes", GET_BUFFER_4096, 2000),
      hostcall("log, level off", LOG_OFF, 20000),
      hostcall("current time", CURRENT_TIME, 20000),
      wholeStream("stream, no-op", 4),
      wholeStream("stream: 3 headers and 4096 bytes read, 1 header replaced", STREAM_THAT_WORKS),
  };
}

void run(int rounds, const std::string &plugin, const std::string &symbolic) {
  dynvm::DynVmOptions unguarded;
  unguarded.contain_crashes = false;
  const auto shim = [] { return dynvm::createDynVm(); };
  const auto unguarded_shim = [&] { return dynvm::createDynVm(unguarded); };
  Engine engines[] = {
      {"NullVM", createNullVm, "measured", nullptr},
      {"shim", shim, plugin, nullptr},
      {"shim, no guard", unguarded_shim, plugin, nullptr},
      {"shim, -Bsymbolic", shim, symbolic, nullptr},
  };
  const std::string bytes(4096, 'b');
  std::vector<std::unique_ptr<Stream>> streams;
  for (auto &engine : engines) {
    engine.open();
    streams.push_back(std::make_unique<Stream>(engine));
    streams.back()->dress(bytes);
  }
  const auto all = cases();
  constexpr int WARM_UP = 2;
  for (int round = -WARM_UP; round < rounds; round++) {
    for (const auto &one : all) {
      for (size_t which = 0; which < std::size(engines); which++) {
        const double nanoseconds = one.measure(engines[which], *streams[which]);
        if (round >= 0) {
          std::printf("%s\t%s\t%.3f\t%d\n", one.name.c_str(), engines[which].name.c_str(), nanoseconds / one.times, one.times);
        }
      }
    }
  }
}

} // namespace
} // namespace bench

int main(int argc, char **argv) {
  int rounds = 0;
  if (argc != 4 || std::from_chars(argv[1], argv[1] + std::string_view(argv[1]).size(), rounds).ec != std::errc()) {
    std::fputs("arguments: rounds, the plugin, the plugin built with -Bsymbolic\n", stderr);
    return 2;
  }
  bench::run(rounds, argv[2], argv[3]);
  proxy_wasm::clearWasmCachesForTesting();
  return 0;
}
