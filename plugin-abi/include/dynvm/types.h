// SPDX-License-Identifier: Apache-2.0
//
// The enums of the Proxy-Wasm ABI. Each is a uint32_t with named values, not a C enum, so that its
// width is the same under every compiler and a number that this header does not know is still a
// value.
//
// Numbers are those of the ABI, names those of the specification, except where the SDKs agree on
// another one (GRPC_RECEIVE_* is GRPC_CALL_* in the specification, CALL_DATA is
// FOREIGN_FUNCTION_ARGUMENTS).

#ifndef DYNVM_TYPES_H
#define DYNVM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The result of a hostcall. */
typedef uint32_t proxy_status_t;
enum {
  /** Done. */
  PROXY_STATUS_OK = 0,
  /** The requested item does not exist. */
  PROXY_STATUS_NOT_FOUND = 1,
  /** An argument is not valid for this call. */
  PROXY_STATUS_BAD_ARGUMENT = 2,
  /** A value cannot be serialized. */
  PROXY_STATUS_SERIALIZATION_FAILURE = 3,
  /** A value cannot be parsed. */
  PROXY_STATUS_PARSE_FAILURE = 4,
  /** An expression cannot be evaluated. */
  PROXY_STATUS_BAD_EXPRESSION = 5,
  /** An address lies outside the plugin's memory. */
  PROXY_STATUS_INVALID_MEMORY_ACCESS = 6,
  /** A queue has no element. */
  PROXY_STATUS_EMPTY = 7,
  /** The value changed since it was read. */
  PROXY_STATUS_CAS_MISMATCH = 8,
  /** The result differs from what was expected. */
  PROXY_STATUS_RESULT_MISMATCH = 9,
  /** The host failed. */
  PROXY_STATUS_INTERNAL_FAILURE = 10,
  /** The connection is broken. */
  PROXY_STATUS_BROKEN_CONNECTION = 11,
  /** The host does not have this function. */
  PROXY_STATUS_UNIMPLEMENTED = 12
};

/** Severity of a log message. */
typedef uint32_t proxy_log_level_t;
enum {
  /** Most detailed. */
  PROXY_LOG_LEVEL_TRACE = 0,
  /** For debugging. */
  PROXY_LOG_LEVEL_DEBUG = 1,
  /** Normal. */
  PROXY_LOG_LEVEL_INFO = 2,
  /** A possible problem. */
  PROXY_LOG_LEVEL_WARN = 3,
  /** Something failed. */
  PROXY_LOG_LEVEL_ERROR = 4,
  /** The plugin cannot continue. */
  PROXY_LOG_LEVEL_CRITICAL = 5
};

/** The buffer that a call acts on. */
typedef uint32_t proxy_buffer_type_t;
enum {
  /** Body of the HTTP request. */
  PROXY_BUFFER_TYPE_HTTP_REQUEST_BODY = 0,
  /** Body of the HTTP response. */
  PROXY_BUFFER_TYPE_HTTP_RESPONSE_BODY = 1,
  /** Bytes from the downstream connection. */
  PROXY_BUFFER_TYPE_DOWNSTREAM_DATA = 2,
  /** Bytes from the upstream connection. */
  PROXY_BUFFER_TYPE_UPSTREAM_DATA = 3,
  /** Body of the response to an HTTP call, in its callback. */
  PROXY_BUFFER_TYPE_HTTP_CALL_RESPONSE_BODY = 4,
  /** Message of a gRPC call, in its callback. */
  PROXY_BUFFER_TYPE_GRPC_RECEIVE_BUFFER = 5,
  /** The VM's configuration. */
  PROXY_BUFFER_TYPE_VM_CONFIGURATION = 6,
  /** The plugin's configuration. */
  PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION = 7,
  /** Arguments of `proxy_on_foreign_function`, in that callback. */
  PROXY_BUFFER_TYPE_CALL_DATA = 8
};

/** The header map that a call acts on. */
typedef uint32_t proxy_map_type_t;
enum {
  /** Headers of the HTTP request. */
  PROXY_MAP_TYPE_HTTP_REQUEST_HEADERS = 0,
  /** Trailers of the HTTP request. */
  PROXY_MAP_TYPE_HTTP_REQUEST_TRAILERS = 1,
  /** Headers of the HTTP response. */
  PROXY_MAP_TYPE_HTTP_RESPONSE_HEADERS = 2,
  /** Trailers of the HTTP response. */
  PROXY_MAP_TYPE_HTTP_RESPONSE_TRAILERS = 3,
  /** Initial metadata of a gRPC call, in its callback. */
  PROXY_MAP_TYPE_GRPC_RECEIVE_INITIAL_METADATA = 4,
  /** Trailing metadata of a gRPC call, in its callback. */
  PROXY_MAP_TYPE_GRPC_RECEIVE_TRAILING_METADATA = 5,
  /** Headers of the response to an HTTP call, in its callback. */
  PROXY_MAP_TYPE_HTTP_CALL_RESPONSE_HEADERS = 6,
  /** Trailers of the response to an HTTP call, in its callback. */
  PROXY_MAP_TYPE_HTTP_CALL_RESPONSE_TRAILERS = 7
};

/** The direction of a stream that a call acts on. */
typedef uint32_t proxy_stream_type_t;
enum {
  /** The HTTP request. */
  PROXY_STREAM_TYPE_HTTP_REQUEST = 0,
  /** The HTTP response. */
  PROXY_STREAM_TYPE_HTTP_RESPONSE = 1,
  /** The downstream connection. */
  PROXY_STREAM_TYPE_DOWNSTREAM = 2,
  /** The upstream connection. */
  PROXY_STREAM_TYPE_UPSTREAM = 3
};

/** Who closed a connection. */
typedef uint32_t proxy_peer_type_t;
enum {
  /** Unknown. */
  PROXY_PEER_TYPE_UNKNOWN = 0,
  /** This side. */
  PROXY_PEER_TYPE_LOCAL = 1,
  /** The other side. */
  PROXY_PEER_TYPE_REMOTE = 2
};

/** Kind of a metric. */
typedef uint32_t proxy_metric_type_t;
enum {
  /** Only grows. */
  PROXY_METRIC_TYPE_COUNTER = 0,
  /** Goes up and down. */
  PROXY_METRIC_TYPE_GAUGE = 1,
  /** Distribution of samples. */
  PROXY_METRIC_TYPE_HISTOGRAM = 2
};

/** Results of a headers callback; the SDKs return only CONTINUE and STOP_ITERATION. */
typedef uint32_t proxy_filter_headers_status_t;
enum {
  /** Continue to the next filter. */
  PROXY_FILTER_HEADERS_STATUS_CONTINUE = 0,
  /** Stop here; the body still arrives. */
  PROXY_FILTER_HEADERS_STATUS_STOP_ITERATION = 1,
  /** Continue, and end the stream after the headers. */
  PROXY_FILTER_HEADERS_STATUS_CONTINUE_AND_END_STREAM = 2,
  /** Stop the whole stream and buffer further data, up to the limit. */
  PROXY_FILTER_HEADERS_STATUS_STOP_ALL_ITERATION_AND_BUFFER = 3,
  /** Stop the whole stream and push back at the watermark. */
  PROXY_FILTER_HEADERS_STATUS_STOP_ALL_ITERATION_AND_WATERMARK = 4
};

/** Results of a body callback. */
typedef uint32_t proxy_filter_data_status_t;
enum {
  /** Continue with the buffered data and this chunk. */
  PROXY_FILTER_DATA_STATUS_CONTINUE = 0,
  /** Stop and keep the chunk, up to the limit. */
  PROXY_FILTER_DATA_STATUS_STOP_ITERATION_AND_BUFFER = 1,
  /** Stop, keep the chunk, and push back at the watermark. */
  PROXY_FILTER_DATA_STATUS_STOP_ITERATION_AND_WATERMARK = 2,
  /** Stop and drop the chunk. */
  PROXY_FILTER_DATA_STATUS_STOP_ITERATION_NO_BUFFER = 3
};

/** Results of a trailers callback. */
typedef uint32_t proxy_filter_trailers_status_t;
enum {
  /** Continue to the next filter. */
  PROXY_FILTER_TRAILERS_STATUS_CONTINUE = 0,
  /** Stop here. */
  PROXY_FILTER_TRAILERS_STATUS_STOP_ITERATION = 1
};

/** Results of a network callback. */
typedef uint32_t proxy_filter_status_t;
enum {
  /** Continue to the next filter. */
  PROXY_FILTER_STATUS_CONTINUE = 0,
  /** Stop here. */
  PROXY_FILTER_STATUS_STOP_ITERATION = 1
};

/**
 * A string literal as two arguments, its bytes and its size without the NUL:
 * `proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("ready"))`.
 */
#define DYNVM_LITERAL(text) ((const uint8_t *)("" text)), (sizeof("" text) - 1)

#ifdef __cplusplus
}
#endif

#endif // DYNVM_TYPES_H
