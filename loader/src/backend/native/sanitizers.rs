//! Plugins built with a sanitizer that replaces the C library's allocator. Its runtime ends a process in which it is not the first library,
//! so it must not even be opened there.

use std::ffi::CString;

use super::Loading;

/// The runtimes, as gcc and clang name them.
const RUNTIMES: &[&str] = &["libasan.so", "libhwasan.so", "liblsan.so", "libtsan.so", "libclang_rt."];

/// Checks the libraries that a plugin needs.
///
/// # Errors
///
/// The plugin cannot be loaded in this way: the fact and the remedy.
pub(super) fn check(needed: &[String], loading: Loading) -> Result<(), String> {
    let runtime = needed.iter().find(|library| RUNTIMES.iter().any(|runtime| library.starts_with(runtime)));
    match runtime {
        Some(runtime) if loading == Loading::Image || !is_loaded(runtime) => Err(format!(
            "it is built with a sanitizer, whose runtime has to be the first library of the process: start the process with \
             LD_PRELOAD={runtime} and let the system's loader map the plugin (native::Loading::System), or build it without -fsanitize"
        )),
        _ => Ok(()),
    }
}

/// Whether the process has a library, which is not loaded by asking.
fn is_loaded(library: &str) -> bool {
    let Ok(name) = CString::new(library) else { return false };
    // SAFETY: with this flag, no code of the library runs. What is open stays so, since the process was started with it.
    !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) }.is_null()
}
