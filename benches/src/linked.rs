//! The same plugin on the same SDK, linked into the program: the cost without a loader. Its hostcalls do the minimum:
//! they reach one stream, without looking up contexts or checking permissions.
//!
//! The plugin keeps its state on the thread, so each thread has one such subject.

use std::cell::Cell;
use std::hint::black_box;
use std::ptr;

use dynvm::abi::types::{BufferType, MapType, Status};
use dynvm::header_pairs;
use dynvm::host::{HeaderMap, Stream as _};

use crate::Subject;
use crate::stream::BenchStream;

thread_local! {
    static CURRENT: Cell<*mut BenchStream> = const { Cell::new(ptr::null_mut()) };
    static CONFIGURATION: Cell<&'static str> = const { Cell::new("") };
}

// The SDK's callbacks, and the plugin's start.
unsafe extern "C" {
    safe fn proxy_on_context_create(context: u32, root: u32);
    safe fn proxy_on_vm_start(root: u32, size: usize) -> bool;
    safe fn proxy_on_configure(root: u32, size: usize) -> bool;
    safe fn proxy_on_request_headers(context: u32, count: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_request_body(context: u32, size: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_response_headers(context: u32, count: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_done(context: u32) -> bool;
    safe fn proxy_on_log(context: u32);
    safe fn proxy_on_delete(context: u32);
}

/// The plugin of this program.
pub struct Linked {
    root: u32,
    next: u32,
}

/// The host assigns context ids: those of a root's streams follow it.
const IDS_PER_ROOT: u32 = 1_000_000;

impl Linked {
    /// Starts the plugin; again for another configuration.
    pub fn start(configuration: &'static str) -> Linked {
        thread_local! {
            static ROOTS: Cell<u32> = const { Cell::new(0) };
        }
        bench_suite::_initialize();
        let root = (ROOTS.get() + 1) * IDS_PER_ROOT;
        ROOTS.set(ROOTS.get() + 1);
        CONFIGURATION.set(configuration);
        proxy_on_context_create(root, 0);
        assert!(proxy_on_vm_start(root, 0) && proxy_on_configure(root, configuration.len()));
        Linked { root, next: root }
    }
}

impl Subject for Linked {
    fn stream(&mut self, template: &BenchStream) {
        let mut stream = Box::new(template.clone());
        CURRENT.set(&mut *stream);
        self.next = if self.next == self.root + IDS_PER_ROOT - 1 { self.root + 1 } else { self.next + 1 };
        let id = self.next;
        proxy_on_context_create(id, self.root);
        black_box(proxy_on_request_headers(id, template.request.len(), template.body.is_none()));
        if template.body.is_some() {
            black_box(proxy_on_request_body(id, template.body_len(), true));
        }
        black_box(proxy_on_response_headers(id, template.response.len(), true));
        proxy_on_done(id);
        proxy_on_log(id);
        proxy_on_delete(id);
        CURRENT.set(ptr::null_mut());
        black_box(stream);
    }
}

/// Gives the plugin ownership of bytes: the SDK turns them into a `Vec`.
///
/// # Safety
///
/// The targets can be written to.
unsafe fn give(bytes: &[u8], data: *mut *mut u8, size: *mut usize) -> Status {
    let mut bytes = bytes.to_vec().into_boxed_slice();
    // SAFETY: the caller's promise.
    unsafe {
        data.write(bytes.as_mut_ptr());
        size.write(bytes.len());
    }
    std::mem::forget(bytes);
    Status::Ok
}

fn current() -> Option<&'static mut BenchStream> {
    // SAFETY: set while the stream exists, and each hostcall releases it before it returns.
    unsafe { CURRENT.get().as_mut() }
}

fn map(kind: u32) -> Option<&'static mut dyn HeaderMap> {
    current()?.header_map_mut(MapType::from_u32(kind)?).ok()
}

/// The bytes that the plugin passes.
///
/// # Safety
///
/// `data` points to `size` bytes.
unsafe fn taken<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, size) }
}

macro_rules! hostcalls {
    ($(fn $name:ident($($param:ident: $type:ty),*) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($param: $type),*) -> Status $body
        )*
    };
}

// SAFETY of all: the SDK, safe Rust behind one interface, passes valid pointers and sizes.
hostcalls! {
    fn proxy_log(_level: u32, _data: *const u8, _size: usize) {
        Status::Ok
    }
    fn proxy_set_effective_context(_context: u32) {
        Status::Ok
    }
    fn proxy_get_header_map_value(kind: u32, key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize) {
        let Some(map) = map(kind) else { return Status::BadArgument };
        // SAFETY: see above.
        unsafe {
            match map.get(taken(key, key_size)) {
                Some(value) => give(value, data, size),
                None => Status::NotFound,
            }
        }
    }
    fn proxy_add_header_map_value(
        kind: u32, key: *const u8, key_size: usize, value: *const u8, value_size: usize
    ) {
        let Some(map) = map(kind) else { return Status::BadArgument };
        // SAFETY: see above.
        unsafe { map.add(taken(key, key_size), taken(value, value_size)) };
        Status::Ok
    }
    fn proxy_remove_header_map_value(kind: u32, key: *const u8, key_size: usize) {
        let Some(map) = map(kind) else { return Status::BadArgument };
        // SAFETY: see above.
        unsafe { map.remove(taken(key, key_size)) };
        Status::Ok
    }
    fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) {
        let Some(map) = map(kind) else { return Status::BadArgument };
        // SAFETY: see above.
        unsafe { give(&header_pairs::encode(map), data, size) }
    }
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) {
        const PLUGIN_CONFIGURATION: u32 = 7;
        let body = current().and_then(|stream| stream.body.as_deref());
        let bytes = if kind == PLUGIN_CONFIGURATION { Some(CONFIGURATION.get().as_bytes()) } else { body };
        let Some(bytes) = bytes else { return Status::NotFound };
        let start = start.min(bytes.len());
        let end = start.saturating_add(max).min(bytes.len());
        // SAFETY: see above.
        unsafe { give(&bytes[start..end], data, size) }
    }
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, data_size: usize) {
        let body = current().and_then(|stream| stream.buffer_mut(BufferType::from_u32(kind)?));
        let Some(body) = body else { return Status::NotFound };
        // SAFETY: see above.
        unsafe { body.replace(start, size, taken(data, data_size)) };
        Status::Ok
    }
}

/// Hostcalls that the SDK refers to and the plugin never makes.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> Status {
                Status::Unimplemented
            }
        )*
    };
}

unused! {
    proxy_get_log_level proxy_get_current_time_nanoseconds proxy_set_tick_period_milliseconds proxy_set_header_map_pairs
    proxy_replace_header_map_value proxy_get_property proxy_set_property proxy_get_shared_data proxy_set_shared_data
    proxy_register_shared_queue proxy_resolve_shared_queue proxy_dequeue_shared_queue proxy_enqueue_shared_queue
    proxy_continue_stream proxy_close_stream proxy_send_local_response proxy_http_call proxy_grpc_call proxy_grpc_stream
    proxy_grpc_send proxy_grpc_cancel proxy_grpc_close proxy_get_status proxy_call_foreign_function proxy_done
    proxy_define_metric proxy_get_metric proxy_record_metric proxy_increment_metric
}
