// SPDX-License-Identifier: Apache-2.0
//
// The hostcalls: every function that a plugin may import from the host, grouped by family.
//
// Natively these are symbols in the host's global scope when it opens the plugin; in wasm they are
// imports of module "env". Names, order and widths are those of the Proxy-Wasm ABI.
//
// Rules for all of them:
//
// Arguments    Bytes that the plugin passes are only read, and not after the call returned. Sizes
//              are size_t: 32 bits in wasm, as wide as a pointer natively. Out pointers must not be
//              null unless the function says so; on any status but OK their targets are
//              unspecified.
// Results      Returned bytes are in memory that the host got from the plugin's own
//              proxy_on_memory_allocate (else malloc), of exactly the returned size. The plugin
//              owns it and frees it.
// Statuses     A function returns the statuses that it lists, and no other for a correct call: the
//              Rust SDK panics on any other. Any function returns BAD_ARGUMENT for a number that
//              its enum does not have, INVALID_MEMORY_ACCESS for an address outside of the plugin's
//              memory or when the plugin's allocator fails, INTERNAL_FAILURE when the operator
//              denied this hostcall to the plugin.
// Context      A function acts on the context of the present callback, or on the one that
//              proxy_set_effective_context chose.
// Tags         See dynvm.h. A call outside of its tags is a mistake of the plugin; the host may
//              fail the VM.
//
// Do not include this header together with an SDK's own declarations of the same functions, which
// spell the pointers differently: a plugin written against an SDK needs descriptor.h at most.

#ifndef DYNVM_HOSTCALLS_H
#define DYNVM_HOSTCALLS_H

#include "macros.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Log and clock -------------------------------------------------------------------------------- */

/**
 * Writes a message to the log of the host. The message is read before the call returns; it needs no
 * terminating NUL.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [in-start] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_log)
proxy_status_t proxy_log(proxy_log_level_t level, const uint8_t *message_data, size_t message_size);

/**
 * Writes the lowest level that the host records, so that a plugin need not format messages that are
 * dropped.
 *
 * Statuses: OK.
 * ABI: 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_log_level)
proxy_status_t proxy_get_log_level(proxy_log_level_t *return_level);

/**
 * Writes the wall clock time in nanoseconds since 1970-01-01T00:00:00Z.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_current_time_nanoseconds)
proxy_status_t proxy_get_current_time_nanoseconds(uint64_t *return_time);

/**
 * Requests proxy_on_tick on the root context of the current context every `tick_period`
 * milliseconds, until it is set again. 0 stops the timer.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_tick_period_milliseconds)
proxy_status_t proxy_set_tick_period_milliseconds(uint32_t tick_period);

/* Configuration and properties ----------------------------------------------------------------- */

/**
 * Gets the configuration: that of the VM in proxy_on_vm_start, that of the plugin in
 * proxy_on_configure. Later versions have the buffers VM_CONFIGURATION and PLUGIN_CONFIGURATION
 * instead.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK.
 * ABI: 0.1.0.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_configuration)
proxy_status_t proxy_get_configuration(uint8_t **return_buffer_data, size_t *return_buffer_size);

/**
 * Gets a property of the stream, the connection or the plugin. The segments of the path are
 * separated by one NUL; a NUL at the end is accepted.
 *
 * Strings are returned unchanged, numbers as 8 bytes little endian, booleans as 1 byte, times and
 * durations as int64_t nanoseconds.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, NOT_FOUND, SERIALIZATION_FAILURE, INTERNAL_FAILURE.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_property)
proxy_status_t proxy_get_property(
    const uint8_t *path_data, size_t path_size, uint8_t **return_value_data,
    size_t *return_value_size);

/**
 * Sets a property, as a byte string. The path is as in proxy_get_property.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_property)
proxy_status_t proxy_set_property(
    const uint8_t *path_data, size_t path_size, const uint8_t *value_data, size_t value_size);

/* Buffers -------------------------------------------------------------------------------------- */

/**
 * Gets up to `max_size` bytes of a buffer from `start` on. Only the low 32 bits of both count. A
 * range that ends after the buffer is clamped; UINT32_MAX means the rest of the buffer. NOT_FOUND
 * if the buffer does not exist now.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_buffer_bytes)
proxy_status_t proxy_get_buffer_bytes(
    proxy_buffer_type_t buffer_type, size_t start, size_t max_size, uint8_t **return_buffer_data,
    size_t *return_buffer_size);

/**
 * Replaces `size` bytes of a buffer from `start` on with the given bytes, whose number may differ.
 * Only the low 32 bits of `start` and `size` count. `start` and `size` 0 put the bytes in front; a
 * `start` at or after the end appends them.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_buffer_bytes)
proxy_status_t proxy_set_buffer_bytes(
    proxy_buffer_type_t buffer_type, size_t start, size_t size, const uint8_t *buffer_data,
    size_t buffer_size);

/**
 * Writes the size of a buffer, and its flags, which are always 0: none is defined.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_buffer_status)
proxy_status_t proxy_get_buffer_status(
    proxy_buffer_type_t buffer_type, size_t *return_size, uint32_t *return_flags);

/* Header maps ---------------------------------------------------------------------------------- */

/**
 * Writes the number of pairs in a map.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_header_map_size)
proxy_status_t proxy_get_header_map_size(proxy_map_type_t map_type, size_t *return_size);

/**
 * Gets all pairs of a map, serialized: uint32_t count; per pair uint32_t size of the key and
 * uint32_t size of the value; then each key and each value with a NUL after it. Integers are little
 * endian.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_header_map_pairs)
proxy_status_t proxy_get_header_map_pairs(
    proxy_map_type_t map_type, uint8_t **return_map_data, size_t *return_map_size);

/**
 * Replaces the content of a map with the given pairs, serialized as by proxy_get_header_map_pairs.
 * Null with size 0 stands for no pairs.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_header_map_pairs)
proxy_status_t proxy_set_header_map_pairs(
    proxy_map_type_t map_type, const uint8_t *map_data, size_t map_size);

/**
 * Gets the value of a key. NOT_FOUND where the key is absent, which differs from an empty value; in
 * 0.1.0 an absent key yields OK and an empty value.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_header_map_value)
proxy_status_t proxy_get_header_map_value(
    proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size,
    uint8_t **return_value_data, size_t *return_value_size);

/**
 * Adds a pair; existing values of the key stay.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_add_header_map_value)
proxy_status_t proxy_add_header_map_value(
    proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size, const uint8_t *value_data,
    size_t value_size);

/**
 * Sets the value of a key, and adds the key if it is absent.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_replace_header_map_value)
proxy_status_t proxy_replace_header_map_value(
    proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size, const uint8_t *value_data,
    size_t value_size);

/**
 * Removes a key with all its values. OK even if the key is absent.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_remove_header_map_value)
proxy_status_t proxy_remove_header_map_value(
    proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size);

/* Streams -------------------------------------------------------------------------------------- */

/**
 * Resumes the paused HTTP request of the current context. Takes effect after the callback returned.
 *
 * Statuses: OK.
 * ABI: 0.1.0.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_continue_request)
proxy_status_t proxy_continue_request(void);

/**
 * Resumes the paused HTTP response of the current context. Takes effect after the callback
 * returned.
 *
 * Statuses: OK.
 * ABI: 0.1.0.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_continue_response)
proxy_status_t proxy_continue_response(void);

/**
 * Makes the host choose the route of the request again, after headers changed.
 *
 * Statuses: OK.
 * ABI: 0.1.0.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_clear_route_cache)
proxy_status_t proxy_clear_route_cache(void);

/**
 * Resumes one direction of the paused stream of the current context. Takes effect after the
 * callback returned.
 *
 * Statuses: OK.
 * ABI: 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_continue_stream)
proxy_status_t proxy_continue_stream(proxy_stream_type_t stream_type);

/**
 * Closes or resets one direction of the stream of the current context. Takes effect after the
 * callback returned.
 *
 * Statuses: OK.
 * ABI: 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_close_stream)
proxy_status_t proxy_close_stream(proxy_stream_type_t stream_type);

/**
 * Sends a local response to the HTTP request, with a status code, a body and headers serialized as
 * by proxy_get_header_map_pairs. The stream does not continue, whatever the callback returns; the
 * response is sent after the callback returned.
 *
 * The details name the reason in logs and traces; they and the body may be null with size 0.
 * `grpc_status` is a gRPC status, or -1 for none.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_send_local_response)
proxy_status_t proxy_send_local_response(
    uint32_t status_code, const uint8_t *status_code_details_data, size_t status_code_details_size,
    const uint8_t *body_data, size_t body_size, const uint8_t *headers_data, size_t headers_size,
    int32_t grpc_status);

/* Calls to other services ---------------------------------------------------------------------- */

/**
 * Sends an HTTP request to an upstream that the host knows by name, with headers and trailers
 * serialized as by proxy_get_header_map_pairs. `timeout` is in milliseconds. Writes a token that
 * proxy_on_http_call_response gets on the root context: exactly once per token, never before this
 * call returned.
 *
 * All bytes are copied before the call returns. BAD_ARGUMENT if the upstream is unknown or a
 * pseudo-header is missing.
 *
 * Statuses: OK, BAD_ARGUMENT, INTERNAL_FAILURE.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_http_call)
proxy_status_t proxy_http_call(
    const uint8_t *upstream_data, size_t upstream_size, const uint8_t *headers_data,
    size_t headers_size, const uint8_t *body_data, size_t body_size, const uint8_t *trailers_data,
    size_t trailers_size, uint32_t timeout, uint32_t *return_token);

/**
 * Calls a unary gRPC method of an upstream. `timeout` is in milliseconds; the initial metadata is
 * serialized as by proxy_get_header_map_pairs. Writes a token. The root context gets exactly one of
 * proxy_on_grpc_receive, with the answer, and proxy_on_grpc_close, for a failure.
 *
 * All bytes are copied before the call returns. PARSE_FAILURE if the upstream cannot be parsed.
 *
 * Statuses: OK, PARSE_FAILURE, INTERNAL_FAILURE.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_grpc_call)
proxy_status_t proxy_grpc_call(
    const uint8_t *upstream_data, size_t upstream_size, const uint8_t *service_name_data,
    size_t service_name_size, const uint8_t *method_name_data, size_t method_name_size,
    const uint8_t *initial_metadata_data, size_t initial_metadata_size, const uint8_t *message_data,
    size_t message_size, uint32_t timeout, uint32_t *return_token);

/**
 * Opens a gRPC stream to a method of an upstream. Writes a token;
 * proxy_on_grpc_receive_initial_metadata, proxy_on_grpc_receive (any number),
 * proxy_on_grpc_receive_trailing_metadata and proxy_on_grpc_close follow on the root context.
 *
 * All bytes are copied before the call returns. PARSE_FAILURE if the upstream cannot be parsed.
 *
 * Statuses: OK, PARSE_FAILURE, INTERNAL_FAILURE.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_grpc_stream)
proxy_status_t proxy_grpc_stream(
    const uint8_t *upstream_data, size_t upstream_size, const uint8_t *service_name_data,
    size_t service_name_size, const uint8_t *method_name_data, size_t method_name_size,
    const uint8_t *initial_metadata_data, size_t initial_metadata_size, uint32_t *return_token);

/**
 * Sends a message on a gRPC stream; with `end_stream` (the low byte is not 0) this side of it ends.
 * BAD_ARGUMENT if the token is not that of a stream.
 *
 * Statuses: OK, BAD_ARGUMENT, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_grpc_send)
proxy_status_t proxy_grpc_send(
    uint32_t token, const uint8_t *message_data, size_t message_size, uint32_t end_stream);

/**
 * Cancels a gRPC call or stream: no callback with its token follows.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_grpc_cancel)
proxy_status_t proxy_grpc_cancel(uint32_t token);

/**
 * Ends a gRPC call or stream. Messages in transit may still arrive.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_grpc_close)
proxy_status_t proxy_grpc_close(uint32_t token);

/**
 * Gets status code and message of the call that the current callback reports: in
 * proxy_on_http_call_response or proxy_on_grpc_close.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_status)
proxy_status_t proxy_get_status(
    uint32_t *return_status_code, uint8_t **return_status_message_data,
    size_t *return_status_message_size);

/* Shared data ---------------------------------------------------------------------------------- */

/**
 * Gets the value of a key in the data shared by all VMs of one vm_id, and its `cas`, which changes
 * with every write and is never 0.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_shared_data)
proxy_status_t proxy_get_shared_data(
    const uint8_t *key_data, size_t key_size, uint8_t **return_value_data,
    size_t *return_value_size, uint32_t *return_cas);

/**
 * Sets the value of a key in the data shared by all VMs of one vm_id: always if `cas` is 0,
 * otherwise only if no write happened since that `cas` was read (CAS_MISMATCH).
 *
 * Statuses: OK, CAS_MISMATCH.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_shared_data)
proxy_status_t proxy_set_shared_data(
    const uint8_t *key_data, size_t key_size, const uint8_t *value_data, size_t value_size,
    uint32_t cas);

/* Shared queues -------------------------------------------------------------------------------- */

/**
 * Registers a queue under the vm_id of this VM, makes the caller its consumer, which gets
 * proxy_on_queue_ready, and writes its id, which is not 0. A queue that exists keeps its id and its
 * content.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_register_shared_queue)
proxy_status_t proxy_register_shared_queue(
    const uint8_t *queue_name_data, size_t queue_name_size, uint32_t *return_queue_id);

/**
 * Writes the id of a queue that any VM registered. An empty `vm_id` means that of this VM.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_resolve_shared_queue)
proxy_status_t proxy_resolve_shared_queue(
    const uint8_t *vm_id_data, size_t vm_id_size, const uint8_t *queue_name_data,
    size_t queue_name_size, uint32_t *return_queue_id);

/**
 * Appends an element to a queue of any vm_id. The consumer is notified on its own thread, after
 * this call returned.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_enqueue_shared_queue)
proxy_status_t proxy_enqueue_shared_queue(
    uint32_t queue_id, const uint8_t *value_data, size_t value_size);

/**
 * Takes the first element from a queue. EMPTY is normal: another consumer may have been faster.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, EMPTY, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_dequeue_shared_queue)
proxy_status_t proxy_dequeue_shared_queue(
    uint32_t queue_id, uint8_t **return_value_data, size_t *return_value_size);

/* Metrics -------------------------------------------------------------------------------------- */

/**
 * Defines a metric, or finds the one with this name, and writes its id.
 *
 * Statuses: OK.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_define_metric)
proxy_status_t proxy_define_metric(
    proxy_metric_type_t metric_type, const uint8_t *name_data, size_t name_size,
    uint32_t *return_metric_id);

/**
 * Adds to a metric. BAD_ARGUMENT for a histogram, and for a counter with a negative `offset`.
 *
 * Statuses: OK, NOT_FOUND, BAD_ARGUMENT.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_increment_metric)
proxy_status_t proxy_increment_metric(uint32_t metric_id, int64_t offset);

/**
 * Sets a gauge to a value, or adds a sample to a histogram.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_record_metric)
proxy_status_t proxy_record_metric(uint32_t metric_id, uint64_t value);

/**
 * Writes the value of a counter or gauge. BAD_ARGUMENT for a histogram.
 *
 * Statuses: OK, NOT_FOUND, BAD_ARGUMENT.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_get_metric)
proxy_status_t proxy_get_metric(uint32_t metric_id, uint64_t *return_value);

/* Contexts and foreign functions --------------------------------------------------------------- */

/**
 * Makes the following hostcalls act on another context of this VM, until the callback returns.
 * BAD_ARGUMENT if this VM has no such context.
 *
 * Statuses: OK, BAD_ARGUMENT.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_set_effective_context)
proxy_status_t proxy_set_effective_context(uint32_t context_id);

/**
 * Reports that the current context is done, after proxy_on_done returned 0 for it. NOT_FOUND if the
 * host does not wait for it.
 *
 * Statuses: OK, NOT_FOUND.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_done)
proxy_status_t proxy_done(void);

/**
 * Calls a function that the host offers under a name; the ABI does not define it further. NOT_FOUND
 * if the host has no function of this name; the other statuses are the function's own. Both result
 * pointers may be null: the result is then dropped.
 *
 * Ownership: the bytes are allocated with the plugin's allocator and belong to the plugin; an empty
 * value is a null pointer with size 0.
 *
 * Statuses: OK, NOT_FOUND, BAD_ARGUMENT, SERIALIZATION_FAILURE, INTERNAL_FAILURE.
 * ABI: 0.1.0, 0.2.0, 0.2.1.
 * [vm-thread] [in-callback] [not-reentrant]
 */
DYNVM_HOSTCALL(proxy_call_foreign_function)
proxy_status_t proxy_call_foreign_function(
    const uint8_t *function_name_data, size_t function_name_size, const uint8_t *arguments_data,
    size_t arguments_size, uint8_t **return_results_data, size_t *return_results_size);

#ifndef __wasm__

/* Threads of native plugins -------------------------------------------------------------------- */

/**
 * The VM's context for a thread that the plugin starts: a handle, which only the host understands.
 * On a thread that has such a context, returns that one; null on any other thread. The handle of a
 * VM that is gone is refused wherever it is used.
 *
 * Only native plugins have it.
 * [any-thread]
 */
DYNVM_HOSTCALL(proxy_dyn_get_thread_context)
const void *proxy_dyn_get_thread_context(void);

/**
 * Lets the hostcalls of this thread, which the plugin started, act for a VM, until another context
 * or null is set. Limited: log, log level, time, metrics, shared data, and resolving, filling and
 * emptying shared queues; a host with hostcalls of its own may have only the first three. All others
 * return INTERNAL_FAILURE, as all do once the VM is gone, except that messages are then dropped
 * with OK. Has no effect on the VM's thread during a callback.
 *
 * Only native plugins have it.
 * [any-thread]
 */
DYNVM_HOSTCALL(proxy_dyn_set_limited_thread_context)
void proxy_dyn_set_limited_thread_context(const void *thread_context);

#endif

#ifdef __cplusplus
}
#endif

#endif // DYNVM_HOSTCALLS_H
