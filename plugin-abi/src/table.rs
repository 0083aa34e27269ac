//! The one table that describes the ABI: each hostcall and each callback once.
//!
//! Sources: Proxy-Wasm spec `abi-versions/v0.1.0`, `v0.2.0`, `v0.2.1`; exact widths from the declarations of the Rust SDK 0.2.5 and the
//! C++ SDK. [`hostcalls!`](crate::hostcalls) and [`callbacks!`](crate::callbacks) hand the rows to a macro of the caller's, so that a
//! row cannot be forgotten in one place; [`HOSTCALLS`] and [`CALLBACKS`] are the same rows as data.

use crate::version::{AbiVersion, Versions};

/// The type of a parameter, by its exact width in wasm and in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `i32` in wasm, `uint32_t` in C.
    U32,
    /// `i32` in wasm, `int32_t` in C.
    I32,
    /// `i64` in wasm, `uint64_t` in C.
    U64,
    /// `i64` in wasm, `int64_t` in C.
    I64,
    /// `i32` in wasm; `uint32_t` in C, of which only the low byte counts, since Rust passes `bool` and C++ `uint32_t`.
    Bool,
    /// Address of bytes that the callee reads: `i32` in wasm, `const uint8_t *` in C.
    Ptr,
    /// A size or count: `i32` in wasm, `size_t` in C.
    Size,
    /// `i32` in wasm; `size_t` in C, of which only the low 32 bits count, since Rust passes `usize` and C++ `uint32_t`.
    Size32,
    /// Address where the host writes a pointer to memory from the plugin's allocator: `uint8_t **` in C.
    OutPtr,
    /// Address where the host writes a size: `size_t *` in C (32 bits in wasm).
    OutSize,
    /// Address where the host writes 32 bits: `uint32_t *` in C.
    OutU32,
    /// Address where the host writes 64 bits: `uint64_t *` in C.
    OutU64,
    /// A handle that only the host understands: `const void *` in C; not in wasm.
    Handle,
}

impl Type {
    /// The spelling in the C headers.
    pub const fn c(self) -> &'static str {
        match self {
            Type::U32 | Type::Bool => "uint32_t",
            Type::I32 => "int32_t",
            Type::U64 => "uint64_t",
            Type::I64 => "int64_t",
            Type::Ptr => "const uint8_t *",
            Type::Size | Type::Size32 => "size_t",
            Type::OutPtr => "uint8_t **",
            Type::OutSize => "size_t *",
            Type::OutU32 => "uint32_t *",
            Type::OutU64 => "uint64_t *",
            Type::Handle => "const void *",
        }
    }

    /// An argument of this type in 64 bits, without the bits that a calling convention leaves undefined: 32-bit numbers
    /// are extended with zeros, a boolean is 0 or 1.
    #[inline(always)]
    pub const fn defined_bits(self, raw: u64) -> u64 {
        match self {
            Type::U32 | Type::I32 | Type::Size32 => raw as u32 as u64,
            Type::Bool => (raw as u8 != 0) as u64,
            _ => raw,
        }
    }

    /// Whether a wasm module passes it as `i64` rather than `i32`.
    pub const fn is_wasm_i64(self) -> bool {
        matches!(self, Type::U64 | Type::I64)
    }
}

/// The return type of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Return {
    /// Nothing.
    None,
    /// `i32` in wasm; `uint32_t` in C, of which only the low byte counts.
    Bool,
    /// `i32` in wasm, `uint32_t` in C: one of the action enums.
    Action,
    /// `i32` in wasm, `void *` in C: address of allocated memory.
    Ptr,
    /// `i32` in wasm, `int` in C; ignored.
    Int,
    /// A handle that only the host understands: `const void *` in C; not in wasm.
    Handle,
}

/// One parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// The name, as in the spec.
    pub name: &'static str,
    /// The type.
    pub ty: Type,
}

/// A function that a plugin imports from the host. Every hostcall returns a [status](crate::types::Status).
#[derive(Clone, Copy, Debug)]
pub struct Hostcall {
    /// The symbol, also the import's name in module `env`.
    pub name: &'static str,
    /// The parameters in order.
    pub params: &'static [Param],
    /// The ABI versions that have it.
    pub versions: Versions,
    /// Statuses beyond OK that the SDKs know for this call. The Rust SDK panics on any other, so a host returns no other.
    pub statuses: &'static [crate::types::Status],
}

/// A function that a plugin exports and the host calls.
#[derive(Clone, Copy, Debug)]
pub struct Callback {
    /// The symbol, also the wasm export's name.
    pub name: &'static str,
    /// The parameters in order.
    pub params: &'static [Param],
    /// The return type.
    pub returns: Return,
    /// The ABI versions that have it.
    pub versions: Versions,
}

impl Hostcall {
    /// Whether the ABI version has this hostcall.
    pub const fn in_version(&self, version: AbiVersion) -> bool {
        self.versions.contains(version)
    }
}

/// A function that a native plugin imports from the host, and a wasm module cannot. It returns no status.
#[derive(Clone, Copy, Debug)]
pub struct NativeHostcall {
    /// The symbol.
    pub name: &'static str,
    /// The parameters in order.
    pub params: &'static [Param],
    /// The return type.
    pub returns: Return,
}

/// The hostcalls of native plugins alone, for threads that a plugin starts. They are not in [`HOSTCALLS`], whose rows wasm has too.
pub const NATIVE_HOSTCALLS: &[NativeHostcall] = &[
    NativeHostcall { name: "proxy_dyn_get_thread_context", params: &[], returns: Return::Handle },
    NativeHostcall {
        name: "proxy_dyn_set_limited_thread_context",
        params: &[Param { name: "thread_context", ty: Type::Handle }],
        returns: Return::None,
    },
];

/// Whether native plugins, and only they, import a function of this name.
pub fn is_native_hostcall(name: &str) -> bool {
    NATIVE_HOSTCALLS.iter().any(|hostcall| hostcall.name == name)
}

/// Finds a hostcall by name.
pub fn hostcall(name: &str) -> Option<&'static Hostcall> {
    HOSTCALLS.iter().find(|h| h.name == name)
}

/// Describes an import that a host does not provide: a hostcall of another ABI version is named with the versions that have it.
pub fn describe_unknown_import(name: &str) -> String {
    match hostcall(name) {
        Some(hostcall) => format!("{name} (only in {})", hostcall.versions),
        None if is_native_hostcall(name) => format!("{name} (only native plugins have threads of their own)"),
        None => name.to_owned(),
    }
}

/// Finds a callback by name.
pub fn callback(name: &str) -> Option<&'static Callback> {
    CALLBACKS.iter().find(|c| c.name == name)
}

/// Hands every hostcall to a macro: `hostcalls!(my_macro)` expands to `my_macro! { name(param: type, ...) versions [statuses]; ... }`.
///
/// Types are the tokens `u32 i32 u64 i64 bool ptr size size32 out_ptr out_size out_u32 out_u64` (see [`Type`](crate::table::Type));
/// versions are the names of the constants of [`Versions`](crate::version::Versions). New rows go to the end: the order is the layout of
/// [`HostTable`](crate::host::HostTable).
#[macro_export]
macro_rules! hostcalls {
    ($m:path) => {
        $m! {
            proxy_log(level: u32, message_data: ptr, message_size: size) ALL [];
            proxy_get_log_level(return_level: out_u32) SINCE_0_2_1 [];
            proxy_get_current_time_nanoseconds(return_time: out_u64) ALL [];
            proxy_set_tick_period_milliseconds(tick_period: u32) ALL [];
            proxy_get_configuration(return_buffer_data: out_ptr, return_buffer_size: out_size) ONLY_0_1_0 [];
            proxy_get_property(
                path_data: ptr, path_size: size, return_value_data: out_ptr, return_value_size: out_size
            ) ALL [NotFound SerializationFailure InternalFailure];
            proxy_set_property(path_data: ptr, path_size: size, value_data: ptr, value_size: size) ALL [];
            proxy_get_buffer_bytes(
                buffer_type: u32, start: size32, max_size: size32, return_buffer_data: out_ptr, return_buffer_size: out_size
            ) ALL [NotFound];
            proxy_set_buffer_bytes(
                buffer_type: u32, start: size32, size: size32, buffer_data: ptr, buffer_size: size
            ) ALL [];
            proxy_get_buffer_status(buffer_type: u32, return_size: out_size, return_flags: out_u32) ALL [];
            proxy_get_header_map_size(map_type: u32, return_size: out_size) ALL [];
            proxy_get_header_map_pairs(map_type: u32, return_map_data: out_ptr, return_map_size: out_size) ALL [];
            proxy_set_header_map_pairs(map_type: u32, map_data: ptr, map_size: size) ALL [];
            proxy_get_header_map_value(
                map_type: u32, key_data: ptr, key_size: size, return_value_data: out_ptr, return_value_size: out_size
            ) ALL [NotFound];
            proxy_add_header_map_value(
                map_type: u32, key_data: ptr, key_size: size, value_data: ptr, value_size: size
            ) ALL [];
            proxy_replace_header_map_value(
                map_type: u32, key_data: ptr, key_size: size, value_data: ptr, value_size: size
            ) ALL [];
            proxy_remove_header_map_value(map_type: u32, key_data: ptr, key_size: size) ALL [];
            proxy_continue_request() ONLY_0_1_0 [];
            proxy_continue_response() ONLY_0_1_0 [];
            proxy_clear_route_cache() ONLY_0_1_0 [];
            proxy_continue_stream(stream_type: u32) SINCE_0_2_0 [];
            proxy_close_stream(stream_type: u32) SINCE_0_2_0 [];
            proxy_send_local_response(
                status_code: u32, status_code_details_data: ptr, status_code_details_size: size, body_data: ptr, body_size: size,
                headers_data: ptr, headers_size: size, grpc_status: i32
            ) ALL [];
            proxy_http_call(
                upstream_data: ptr, upstream_size: size, headers_data: ptr, headers_size: size, body_data: ptr, body_size: size,
                trailers_data: ptr, trailers_size: size, timeout: u32, return_token: out_u32
            ) ALL [BadArgument InternalFailure];
            proxy_grpc_call(
                upstream_data: ptr, upstream_size: size, service_name_data: ptr, service_name_size: size, method_name_data: ptr,
                method_name_size: size, initial_metadata_data: ptr, initial_metadata_size: size, message_data: ptr,
                message_size: size, timeout: u32, return_token: out_u32
            ) ALL [ParseFailure InternalFailure];
            proxy_grpc_stream(
                upstream_data: ptr, upstream_size: size, service_name_data: ptr, service_name_size: size, method_name_data: ptr,
                method_name_size: size, initial_metadata_data: ptr, initial_metadata_size: size, return_token: out_u32
            ) ALL [ParseFailure InternalFailure];
            proxy_grpc_send(token: u32, message_data: ptr, message_size: size, end_stream: bool) ALL [BadArgument NotFound];
            proxy_grpc_cancel(token: u32) ALL [NotFound];
            proxy_grpc_close(token: u32) ALL [NotFound];
            proxy_get_status(
                return_status_code: out_u32, return_status_message_data: out_ptr, return_status_message_size: out_size
            ) ALL [];
            proxy_get_shared_data(
                key_data: ptr, key_size: size, return_value_data: out_ptr, return_value_size: out_size, return_cas: out_u32
            ) ALL [NotFound];
            proxy_set_shared_data(key_data: ptr, key_size: size, value_data: ptr, value_size: size, cas: u32) ALL [CasMismatch];
            proxy_register_shared_queue(queue_name_data: ptr, queue_name_size: size, return_queue_id: out_u32) ALL [];
            proxy_resolve_shared_queue(
                vm_id_data: ptr, vm_id_size: size, queue_name_data: ptr, queue_name_size: size, return_queue_id: out_u32
            ) ALL [NotFound];
            proxy_enqueue_shared_queue(queue_id: u32, value_data: ptr, value_size: size) ALL [NotFound];
            proxy_dequeue_shared_queue(queue_id: u32, return_value_data: out_ptr, return_value_size: out_size) ALL [Empty NotFound];
            proxy_define_metric(metric_type: u32, name_data: ptr, name_size: size, return_metric_id: out_u32) ALL [];
            proxy_increment_metric(metric_id: u32, offset: i64) ALL [NotFound BadArgument];
            proxy_record_metric(metric_id: u32, value: u64) ALL [NotFound];
            proxy_get_metric(metric_id: u32, return_value: out_u64) ALL [NotFound BadArgument];
            proxy_set_effective_context(context_id: u32) ALL [BadArgument];
            proxy_done() ALL [NotFound];
            proxy_call_foreign_function(
                function_name_data: ptr, function_name_size: size, arguments_data: ptr, arguments_size: size,
                return_results_data: out_ptr, return_results_size: out_size
            ) ALL [NotFound BadArgument SerializationFailure InternalFailure];
        }
    };
}

/// Hands every callback to a macro: `callbacks!(my_macro)` expands to `my_macro! { name(param: type, ...) -> return versions; ... }`.
///
/// Types and versions are as in [`hostcalls!`](crate::hostcalls); returns are the tokens `none bool action`. The functions of start-up
/// and the allocators, which are no events of a context, are not among them: see [`ENTRY_POINTS`](crate::table::ENTRY_POINTS).
#[macro_export]
macro_rules! callbacks {
    ($m:path) => {
        $m! {
            proxy_on_context_create(context_id: u32, parent_context_id: u32) -> none ALL;
            proxy_on_vm_start(context_id: u32, vm_configuration_size: size) -> bool ALL;
            proxy_validate_configuration(context_id: u32, plugin_configuration_size: size) -> bool ALL;
            proxy_on_configure(context_id: u32, plugin_configuration_size: size) -> bool ALL;
            proxy_on_tick(context_id: u32) -> none ALL;
            proxy_on_done(context_id: u32) -> bool ALL;
            proxy_on_log(context_id: u32) -> none ALL;
            proxy_on_delete(context_id: u32) -> none ALL;
            proxy_on_new_connection(context_id: u32) -> action ALL;
            proxy_on_downstream_data(context_id: u32, data_size: size, end_of_stream: bool) -> action ALL;
            proxy_on_downstream_connection_close(context_id: u32, close_type: u32) -> none ALL;
            proxy_on_upstream_data(context_id: u32, data_size: size, end_of_stream: bool) -> action ALL;
            proxy_on_upstream_connection_close(context_id: u32, close_type: u32) -> none ALL;
            proxy_on_request_headers(context_id: u32, num_headers: size, end_of_stream: bool) -> action ALL;
            proxy_on_request_body(context_id: u32, body_size: size, end_of_stream: bool) -> action ALL;
            proxy_on_request_trailers(context_id: u32, num_trailers: size) -> action ALL;
            proxy_on_request_metadata(context_id: u32, num_elements: size) -> action ALL;
            proxy_on_response_headers(context_id: u32, num_headers: size, end_of_stream: bool) -> action ALL;
            proxy_on_response_body(context_id: u32, body_size: size, end_of_stream: bool) -> action ALL;
            proxy_on_response_trailers(context_id: u32, num_trailers: size) -> action ALL;
            proxy_on_response_metadata(context_id: u32, num_elements: size) -> action ALL;
            proxy_on_http_call_response(
                context_id: u32, token: u32, num_headers: size, body_size: size, num_trailers: size
            ) -> none ALL;
            proxy_on_grpc_receive_initial_metadata(context_id: u32, token: u32, num_elements: u32) -> none ALL;
            proxy_on_grpc_receive(context_id: u32, token: u32, message_size: size) -> none ALL;
            proxy_on_grpc_receive_trailing_metadata(context_id: u32, token: u32, num_elements: u32) -> none ALL;
            proxy_on_grpc_close(context_id: u32, token: u32, status_code: u32) -> none ALL;
            proxy_on_queue_ready(context_id: u32, queue_id: u32) -> none ALL;
            proxy_on_foreign_function(context_id: u32, function_id: u32, arguments_size: size) -> none SINCE_0_2_0;
        }
    };
}

/// Exports of a plugin that are not events of a context: start-up and allocation.
pub const ENTRY_POINTS: &[Callback] = &[
    Callback { name: "_initialize", params: &[], returns: Return::None, versions: Versions::ALL },
    Callback { name: "_start", params: &[], returns: Return::None, versions: Versions::ALL },
    Callback {
        name: "main",
        params: &[Param { name: "argc", ty: Type::U32 }, Param { name: "argv", ty: Type::Size }],
        returns: Return::Int,
        versions: Versions::ALL,
    },
    Callback { name: "__main_void", params: &[], returns: Return::Int, versions: Versions::ALL },
    Callback {
        name: "proxy_on_memory_allocate",
        params: &[Param { name: "memory_size", ty: Type::Size }],
        returns: Return::Ptr,
        versions: Versions::ALL,
    },
    Callback {
        name: "malloc",
        params: &[Param { name: "memory_size", ty: Type::Size }],
        returns: Return::Ptr,
        versions: Versions::ALL,
    },
];

/// Callbacks that 0.1.0 declares without their last parameter, `end_of_stream`.
pub const WITHOUT_END_OF_STREAM_IN_0_1_0: &[&str] = &["proxy_on_request_headers", "proxy_on_response_headers"];

macro_rules! returns {
    (none) => {
        Return::None
    };
    (bool) => {
        Return::Bool
    };
    (action) => {
        Return::Action
    };
}

macro_rules! hostcall_rows {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        /// Every hostcall, in the order of [`hostcalls!`](crate::hostcalls).
        pub const HOSTCALLS: &[Hostcall] = &[$(Hostcall {
            name: stringify!($name),
            params: &[$(Param { name: stringify!($param), ty: crate::__type!($ty) }),*],
            versions: Versions::$versions,
            statuses: &[$(crate::types::Status::$status),*],
        }),*];

        /// A hostcall by name; its discriminant is the row in [`HOSTCALLS`].
        #[allow(non_camel_case_types, reason = "the variants are the ABI's symbols")]
        #[allow(missing_docs, reason = "the variants are the ABI's symbols")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum HostcallId { $($name),* }

        impl HostcallId {
            /// All of them, in the order of the table.
            pub const ALL: &[HostcallId] = &[$(HostcallId::$name),*];
        }
    };
}

macro_rules! callback_rows {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        /// Every callback, in the order of [`callbacks!`](crate::callbacks).
        pub const CALLBACKS: &[Callback] = &[$(Callback {
            name: stringify!($name),
            params: &[$(Param { name: stringify!($param), ty: crate::__type!($ty) }),*],
            returns: returns!($ret),
            versions: Versions::$versions,
        }),*];

        /// A callback by name; its discriminant is the row in [`CALLBACKS`].
        #[allow(non_camel_case_types, reason = "the variants are the ABI's symbols")]
        #[allow(missing_docs, reason = "the variants are the ABI's symbols")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum CallbackId { $($name),* }

        impl CallbackId {
            /// All of them, in the order of [`CALLBACKS`].
            pub const ALL: &'static [CallbackId] = &[$(CallbackId::$name),*];
        }
    };
}

hostcalls!(hostcall_rows);
callbacks!(callback_rows);

impl HostcallId {
    /// The row of the table.
    pub const fn describe(self) -> &'static Hostcall {
        &HOSTCALLS[self as usize]
    }
}

impl CallbackId {
    /// The row of the table.
    pub const fn describe(self) -> &'static Callback {
        &CALLBACKS[self as usize]
    }
}
