// SPDX-License-Identifier: Apache-2.0
//
// The protocol of host and plugin: onRequestTrailers(hostcall) selects a hostcall,
// onRequestBody(times) repeats it.

#pragma once

#include <cstdint>

enum Hostcall : uint32_t {
  GET_HEADER_HIT,
  GET_HEADER_MISS,
  REPLACE_HEADER,
  GET_BUFFER_64,
  GET_BUFFER_4096,
  LOG_OFF,
  CURRENT_TIME,
};

/// The number of headers of a stream whose headers and body are read; the plugin reads nothing of
/// other streams.
constexpr uint32_t STREAM_THAT_WORKS = 77;
