// SPDX-License-Identifier: Apache-2.0
//
// The host's function table: every hostcall as a function pointer, and access to extensions.
//
// A plugin built with an SDK does not need it: its imports are bound by name. The table has two
// uses: a plugin that wants an extension or must not have undefined symbols gets it by exporting
// dynvm_plugin_set_host, and a host that brings its own hostcalls passes them to the loader in one
// struct.

#ifndef DYNVM_HOST_H
#define DYNVM_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "ext/extension.h"
#include "macros.h"
#include "types.h"
#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Functions of the host, none of them null. Each is the hostcall of its name in hostcalls.h, with
 * the same contract and tags, and acts on the VM whose callback runs on the calling thread. A
 * hostcall that the plugin's ABI version lacks is present and returns UNIMPLEMENTED.
 *
 * The order is frozen. New members come at the end; DYNVM_HAS_MEMBER tests for one.
 */
typedef struct dynvm_host_table_t {
  /** sizeof of this struct as the host knows it. */
  uint32_t struct_size;
  /** DYNVM_VERSION of the headers that the host was built with. */
  uint32_t header_version;

  /**
   * Finds an extension by its id, null if the host does not have it. `host` is the table itself.
   * The struct returned is owned by the host, constant, and valid as long as the table. See
   * ext/extension.h.
   *
   * [any-thread] [not-reentrant]
   */
  const void *(*get_extension)(const struct dynvm_host_table_t *host, const char *id);

  proxy_status_t (*proxy_log)(
      proxy_log_level_t level, const uint8_t *message_data, size_t message_size);
  proxy_status_t (*proxy_get_log_level)(proxy_log_level_t *return_level);
  proxy_status_t (*proxy_get_current_time_nanoseconds)(uint64_t *return_time);
  proxy_status_t (*proxy_set_tick_period_milliseconds)(uint32_t tick_period);
  proxy_status_t (*proxy_get_configuration)(
      uint8_t **return_buffer_data, size_t *return_buffer_size);
  proxy_status_t (*proxy_get_property)(
      const uint8_t *path_data, size_t path_size, uint8_t **return_value_data,
      size_t *return_value_size);
  proxy_status_t (*proxy_set_property)(
      const uint8_t *path_data, size_t path_size, const uint8_t *value_data, size_t value_size);
  proxy_status_t (*proxy_get_buffer_bytes)(
      proxy_buffer_type_t buffer_type, size_t start, size_t max_size, uint8_t **return_buffer_data,
      size_t *return_buffer_size);
  proxy_status_t (*proxy_set_buffer_bytes)(
      proxy_buffer_type_t buffer_type, size_t start, size_t size, const uint8_t *buffer_data,
      size_t buffer_size);
  proxy_status_t (*proxy_get_buffer_status)(
      proxy_buffer_type_t buffer_type, size_t *return_size, uint32_t *return_flags);
  proxy_status_t (*proxy_get_header_map_size)(proxy_map_type_t map_type, size_t *return_size);
  proxy_status_t (*proxy_get_header_map_pairs)(
      proxy_map_type_t map_type, uint8_t **return_map_data, size_t *return_map_size);
  proxy_status_t (*proxy_set_header_map_pairs)(
      proxy_map_type_t map_type, const uint8_t *map_data, size_t map_size);
  proxy_status_t (*proxy_get_header_map_value)(
      proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size,
      uint8_t **return_value_data, size_t *return_value_size);
  proxy_status_t (*proxy_add_header_map_value)(
      proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size,
      const uint8_t *value_data, size_t value_size);
  proxy_status_t (*proxy_replace_header_map_value)(
      proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size,
      const uint8_t *value_data, size_t value_size);
  proxy_status_t (*proxy_remove_header_map_value)(
      proxy_map_type_t map_type, const uint8_t *key_data, size_t key_size);
  proxy_status_t (*proxy_continue_request)(void);
  proxy_status_t (*proxy_continue_response)(void);
  proxy_status_t (*proxy_clear_route_cache)(void);
  proxy_status_t (*proxy_continue_stream)(proxy_stream_type_t stream_type);
  proxy_status_t (*proxy_close_stream)(proxy_stream_type_t stream_type);
  proxy_status_t (*proxy_send_local_response)(
      uint32_t status_code, const uint8_t *status_code_details_data,
      size_t status_code_details_size, const uint8_t *body_data, size_t body_size,
      const uint8_t *headers_data, size_t headers_size, int32_t grpc_status);
  proxy_status_t (*proxy_http_call)(
      const uint8_t *upstream_data, size_t upstream_size, const uint8_t *headers_data,
      size_t headers_size, const uint8_t *body_data, size_t body_size, const uint8_t *trailers_data,
      size_t trailers_size, uint32_t timeout, uint32_t *return_token);
  proxy_status_t (*proxy_grpc_call)(
      const uint8_t *upstream_data, size_t upstream_size, const uint8_t *service_name_data,
      size_t service_name_size, const uint8_t *method_name_data, size_t method_name_size,
      const uint8_t *initial_metadata_data, size_t initial_metadata_size,
      const uint8_t *message_data, size_t message_size, uint32_t timeout, uint32_t *return_token);
  proxy_status_t (*proxy_grpc_stream)(
      const uint8_t *upstream_data, size_t upstream_size, const uint8_t *service_name_data,
      size_t service_name_size, const uint8_t *method_name_data, size_t method_name_size,
      const uint8_t *initial_metadata_data, size_t initial_metadata_size, uint32_t *return_token);
  proxy_status_t (*proxy_grpc_send)(
      uint32_t token, const uint8_t *message_data, size_t message_size, uint32_t end_stream);
  proxy_status_t (*proxy_grpc_cancel)(uint32_t token);
  proxy_status_t (*proxy_grpc_close)(uint32_t token);
  proxy_status_t (*proxy_get_status)(
      uint32_t *return_status_code, uint8_t **return_status_message_data,
      size_t *return_status_message_size);
  proxy_status_t (*proxy_get_shared_data)(
      const uint8_t *key_data, size_t key_size, uint8_t **return_value_data,
      size_t *return_value_size, uint32_t *return_cas);
  proxy_status_t (*proxy_set_shared_data)(
      const uint8_t *key_data, size_t key_size, const uint8_t *value_data, size_t value_size,
      uint32_t cas);
  proxy_status_t (*proxy_register_shared_queue)(
      const uint8_t *queue_name_data, size_t queue_name_size, uint32_t *return_queue_id);
  proxy_status_t (*proxy_resolve_shared_queue)(
      const uint8_t *vm_id_data, size_t vm_id_size, const uint8_t *queue_name_data,
      size_t queue_name_size, uint32_t *return_queue_id);
  proxy_status_t (*proxy_enqueue_shared_queue)(
      uint32_t queue_id, const uint8_t *value_data, size_t value_size);
  proxy_status_t (*proxy_dequeue_shared_queue)(
      uint32_t queue_id, uint8_t **return_value_data, size_t *return_value_size);
  proxy_status_t (*proxy_define_metric)(
      proxy_metric_type_t metric_type, const uint8_t *name_data, size_t name_size,
      uint32_t *return_metric_id);
  proxy_status_t (*proxy_increment_metric)(uint32_t metric_id, int64_t offset);
  proxy_status_t (*proxy_record_metric)(uint32_t metric_id, uint64_t value);
  proxy_status_t (*proxy_get_metric)(uint32_t metric_id, uint64_t *return_value);
  proxy_status_t (*proxy_set_effective_context)(uint32_t context_id);
  proxy_status_t (*proxy_done)(void);
  proxy_status_t (*proxy_call_foreign_function)(
      const uint8_t *function_name_data, size_t function_name_size, const uint8_t *arguments_data,
      size_t arguments_size, uint8_t **return_results_data, size_t *return_results_size);
} dynvm_host_table_t;

DYNVM_ASSERT_OFFSET(dynvm_host_table_t, struct_size, 0)
DYNVM_ASSERT_OFFSET(dynvm_host_table_t, header_version, 4)
DYNVM_ASSERT_OFFSET(dynvm_host_table_t, get_extension, 8)
DYNVM_ASSERT_OFFSET(dynvm_host_table_t, proxy_log, 16)
DYNVM_ASSERT_OFFSET(dynvm_host_table_t, proxy_call_foreign_function, 352)
DYNVM_ASSERT_SIZE(dynvm_host_table_t, 360)

/**
 * Optional, native only, defined by the plugin. The host calls it once per image, before any other
 * function of the plugin. The table is owned by the host, constant, and valid until the image is
 * unloaded. No hostcall is possible yet.
 *
 * [vm-thread] [not-reentrant]
 */
DYNVM_EXPORT void dynvm_plugin_set_host(const dynvm_host_table_t *host);

#ifdef __cplusplus
}
#endif

#endif // DYNVM_HOST_H
