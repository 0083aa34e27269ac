// SPDX-License-Identifier: Apache-2.0
//
// The callbacks and entry points: every function that a plugin may export for the host to call.
//
// All are optional: a callback that is not exported counts as one that returns "continue", true or
// nothing. A declaration without a definition exports nothing, so including this header costs
// nothing.
//
// Rules for all of them:
//
// Booleans     Parameters are 0 or 1. Of a returned boolean the host reads the low byte only,
//              because a Rust plugin returns bool, whose other bits are unspecified. C plugins
//              return uint32_t.
// Actions      uint32_t with a value of the enum that the return type names.
// Order        The host calls one function of a VM at a time, on the thread of the VM, and calls
//              none while another one of the same VM runs, the allocator excepted.
// Unwinding    Neither a C++ exception nor a Rust panic may leave a callback.
//
// Do not include this header together with an SDK's own declarations of the same functions, which
// spell the sizes differently: a plugin written against an SDK needs descriptor.h at most.

#ifndef DYNVM_CALLBACKS_H
#define DYNVM_CALLBACKS_H

#include "macros.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Entry points --------------------------------------------------------------------------------- */

// Two more entry points cannot be declared here. `int main(int argc, char **argv)`, called with 0
// and null after _initialize: C and C++ reserve its declaration. `void *malloc(size_t size)`, the
// allocator of a plugin that exports no proxy_on_memory_allocate: the C library declares it. A
// native plugin exports proxy_on_memory_allocate, because its malloc is the one of the process.

/**
 * Called first, once per VM: constructors and the setup of the SDK. A command-style module has
 * _start instead.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(_initialize)
void _initialize(void);

/**
 * Called first, once per VM, where there is no _initialize.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(_start)
void _start(void);

/**
 * The function that clang generates in wasm for a `main` without parameters. Called after
 * _initialize; its result is ignored.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(__main_void)
int __main_void(void);

/**
 * Allocates memory in which the host returns bytes to the plugin. The plugin owns it from the
 * moment the hostcall that requested it returned. Null means that no memory is left. Must not call
 * any hostcall but proxy_log.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback]
 */
DYNVM_CALLBACK(proxy_on_memory_allocate)
void *proxy_on_memory_allocate(size_t memory_size);

/* Life of a context ---------------------------------------------------------------------------- */

/**
 * A context begins: a root context if `parent_context_id` is 0, otherwise a stream of that root
 * context. Called once, before any other callback with this id.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_context_create)
void proxy_on_context_create(uint32_t context_id, uint32_t parent_context_id);

/**
 * The VM starts; its configuration is in the buffer VM_CONFIGURATION during this callback. Returns
 * 0 if the plugin must not be used.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_vm_start)
uint32_t proxy_on_vm_start(uint32_t context_id, size_t vm_configuration_size);

/**
 * Asks whether the configuration, in the buffer PLUGIN_CONFIGURATION, is valid, without applying
 * it. Returns 0 if not.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_validate_configuration)
uint32_t proxy_validate_configuration(uint32_t context_id, size_t plugin_configuration_size);

/**
 * The root context gets its configuration, in the buffer PLUGIN_CONFIGURATION, during this
 * callback. Returns whether it is accepted (0: the plugin is not used).
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_configure)
uint32_t proxy_on_configure(uint32_t context_id, size_t plugin_configuration_size);

/**
 * The timer that proxy_set_tick_period_milliseconds set has expired.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_tick)
void proxy_on_tick(uint32_t context_id);

/**
 * The stream or the plugin ends. Returns 1 if the context is done, 0 if it will call proxy_done
 * later.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_done)
uint32_t proxy_on_done(uint32_t context_id);

/**
 * The stream is complete: the time to write access logs.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_log)
void proxy_on_log(uint32_t context_id);

/**
 * The last callback with this id; the plugin frees the context.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_delete)
void proxy_on_delete(uint32_t context_id);

/* Connections ---------------------------------------------------------------------------------- */

/**
 * A downstream connection was accepted.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_new_connection)
proxy_filter_status_t proxy_on_new_connection(uint32_t context_id);

/**
 * Bytes arrived from downstream, in the buffer DOWNSTREAM_DATA.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_downstream_data)
proxy_filter_status_t proxy_on_downstream_data(
    uint32_t context_id, size_t data_size, uint32_t end_of_stream);

/**
 * The downstream connection was closed; `close_type` says by which side.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_downstream_connection_close)
void proxy_on_downstream_connection_close(uint32_t context_id, proxy_peer_type_t close_type);

/**
 * Bytes arrived from upstream, in the buffer UPSTREAM_DATA.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_upstream_data)
proxy_filter_status_t proxy_on_upstream_data(
    uint32_t context_id, size_t data_size, uint32_t end_of_stream);

/**
 * The upstream connection was closed; `close_type` says by which side.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_upstream_connection_close)
void proxy_on_upstream_connection_close(uint32_t context_id, proxy_peer_type_t close_type);

/* HTTP ----------------------------------------------------------------------------------------- */

/**
 * The headers of the request arrived, in the map HTTP_REQUEST_HEADERS. In 0.1.0 the parameter
 * `end_of_stream` is absent.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_request_headers)
proxy_filter_headers_status_t proxy_on_request_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream);

/**
 * A part of the request body arrived; the buffer HTTP_REQUEST_BODY has `body_size` bytes.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_request_body)
proxy_filter_data_status_t proxy_on_request_body(
    uint32_t context_id, size_t body_size, uint32_t end_of_stream);

/**
 * The trailers of the request arrived, in the map HTTP_REQUEST_TRAILERS.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_request_trailers)
proxy_filter_trailers_status_t proxy_on_request_trailers(uint32_t context_id, size_t num_trailers);

/**
 * Metadata (an HTTP/2 extension) of the request arrived. No SDK and no version of the specification
 * gives the returned action a meaning: return 0.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_request_metadata)
uint32_t proxy_on_request_metadata(uint32_t context_id, size_t num_elements);

/**
 * The headers of the response arrived, in the map HTTP_RESPONSE_HEADERS. In 0.1.0 the parameter
 * `end_of_stream` is absent.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_response_headers)
proxy_filter_headers_status_t proxy_on_response_headers(
    uint32_t context_id, size_t num_headers, uint32_t end_of_stream);

/**
 * A part of the response body arrived; the buffer HTTP_RESPONSE_BODY has `body_size` bytes.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_response_body)
proxy_filter_data_status_t proxy_on_response_body(
    uint32_t context_id, size_t body_size, uint32_t end_of_stream);

/**
 * The trailers of the response arrived, in the map HTTP_RESPONSE_TRAILERS.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_response_trailers)
proxy_filter_trailers_status_t proxy_on_response_trailers(uint32_t context_id, size_t num_trailers);

/**
 * Metadata (an HTTP/2 extension) of the response arrived. No SDK and no version of the
 * specification gives the returned action a meaning: return 0.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_response_metadata)
uint32_t proxy_on_response_metadata(uint32_t context_id, size_t num_elements);

/* Answers and events --------------------------------------------------------------------------- */

/**
 * The answer to proxy_http_call, on the root context: headers, body and trailers in the maps
 * HTTP_CALL_RESPONSE_HEADERS and HTTP_CALL_RESPONSE_TRAILERS and the buffer
 * HTTP_CALL_RESPONSE_BODY, during this callback. `num_headers` 0 means that the call failed.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_http_call_response)
void proxy_on_http_call_response(
    uint32_t context_id, uint32_t token, size_t num_headers, size_t body_size, size_t num_trailers);

/**
 * The initial metadata of a gRPC stream arrived, in the map GRPC_RECEIVE_INITIAL_METADATA.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_grpc_receive_initial_metadata)
void proxy_on_grpc_receive_initial_metadata(
    uint32_t context_id, uint32_t token, uint32_t num_elements);

/**
 * A gRPC message came, in the buffer GRPC_RECEIVE_BUFFER. For proxy_grpc_call it is also the end.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_grpc_receive)
void proxy_on_grpc_receive(uint32_t context_id, uint32_t token, size_t message_size);

/**
 * A gRPC stream's trailing metadata came, in the map GRPC_RECEIVE_TRAILING_METADATA.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_grpc_receive_trailing_metadata)
void proxy_on_grpc_receive_trailing_metadata(
    uint32_t context_id, uint32_t token, uint32_t num_elements);

/**
 * A gRPC call failed or a stream ended, with this gRPC status. proxy_get_status returns the
 * message.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_grpc_close)
void proxy_on_grpc_close(uint32_t context_id, uint32_t token, uint32_t status_code);

/**
 * A queue of which this root context is the consumer got an element.
 *
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_queue_ready)
void proxy_on_queue_ready(uint32_t context_id, uint32_t queue_id);

/**
 * The host calls a function of the plugin, by a number that both agreed on; the arguments are in
 * the buffer CALL_DATA.
 *
 * ABI: 0.2.0, 0.2.1.
 * [vm-thread] [not-reentrant]
 */
DYNVM_CALLBACK(proxy_on_foreign_function)
void proxy_on_foreign_function(uint32_t context_id, uint32_t function_id, size_t arguments_size);
#ifdef __cplusplus
}
#endif

#endif // DYNVM_CALLBACKS_H
