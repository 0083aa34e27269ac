//! The hostcalls that the plugins use; all others are missing, and no plugin may notice.

use crate::vm;

const OK: u32 = 0;

macro_rules! hostcalls {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        $(
            #[unsafe(export_name = concat!("dynvm_hc_", stringify!($name)))]
            extern "C" fn $name($($param: dynvm::__native_type!($ty)),*) -> u32 {
                #[allow(unused_imports, reason = "most are missing")]
                use implemented::*;
                let arguments: &[u64] = &[$($param as u64),*];
                call(stringify!($name), arguments)
            }
        )*
    };
}

dynvm::hostcalls!(hostcalls);

mod implemented {
    use super::*;

    pub fn call(name: &str, arguments: &[u64]) -> u32 {
        match (name, arguments) {
            ("proxy_log", &[_, data, size]) => {
                // SAFETY: the plugin's string.
                let text = unsafe { std::slice::from_raw_parts(data as *const u8, size as usize) };
                vm::current().log.borrow_mut().push(String::from_utf8_lossy(text).into_owned());
                OK
            }
            ("proxy_get_header_map_value", &[_, _, _, data, size]) => {
                let state = vm::current();
                let path = state.path.borrow().clone();
                unsafe extern "C" {
                    fn malloc(size: usize) -> *mut u8;
                }
                // SAFETY: the plugin's allocator, and where it wants to have the result.
                unsafe {
                    // Without an allocator, the plugin frees with `free`.
                    let copy = match state.allocator {
                        Some(allocator) => {
                            std::mem::transmute::<usize, extern "C" fn(usize) -> *mut u8>(allocator)(path.len())
                        }
                        None => malloc(path.len()),
                    };
                    std::ptr::copy_nonoverlapping(path.as_ptr(), copy, path.len());
                    *(data as *mut *mut u8) = copy;
                    *(size as *mut usize) = path.len();
                }
                OK
            }
            // The C++ SDK asks for its root id, which is empty.
            ("proxy_get_property", &[.., data, size]) => {
                // SAFETY: where the plugin wants to have the result.
                unsafe {
                    *(data as *mut *mut u8) = std::ptr::null_mut();
                    *(size as *mut usize) = 0;
                }
                OK
            }
            ("proxy_get_buffer_bytes", _) => 1,
            ("proxy_set_effective_context" | "proxy_get_log_level" | "proxy_done", _) => OK,
            _ => 12,
        }
    }
}
