//! Options and loaders: the C functions of `loader/options.h`.

use std::ffi::c_char;
use std::path::Path;

use dynvm::LoaderOptions;
use dynvm::native::{Interpose, Loading};
use dynvm::trust::TrustPolicy;

use crate::error::{Code, Error, attempt};
use crate::text::{free, give, object, object_mut, text};

/// The type behind `dynvm_options_t`.
pub struct Options {
    native: dynvm::native::Options,
    trust: Option<TrustPolicy>,
}

/// Hosts in C may bring hostcalls of their own.
fn native_defaults() -> dynvm::native::Options {
    dynvm::native::Options::default().own_hostcalls(true)
}

/// The type behind `dynvm_loader_t`.
pub struct Loader(pub(crate) dynvm::Loader);

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_options_new() -> *mut Options {
    give(Options { native: native_defaults(), trust: None })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_free(options: *mut Options) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { free(options) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_contain_crashes(options: *mut Options, contain_crashes: bool) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.contain_crashes = contain_crashes;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_heap(options: *mut Options, heap: bool) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.heap = heap;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_interposed(options: *mut Options, functions: u32) {
    let mut wanted = Interpose::none();
    let fields = [&mut wanted.output, &mut wanted.clock, &mut wanted.random, &mut wanted.environment];
    for (bit, field) in fields.into_iter().enumerate() {
        *field = functions >> bit & 1 != 0;
    }
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.interpose = wanted;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_debugger(options: *mut Options, debugger: bool) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.debugger = debugger;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_map_file(options: *mut Options, map_file: bool) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.map_file = map_file;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_system_loader(options: *mut Options, system_loader: bool) {
    let loading = if system_loader { Loading::System } else { Loading::Image };
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { object_mut(options) }.native.loading = loading;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_trust_policy_file(options: *mut Options, path: *const c_char) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
        let (options, path) = unsafe { (object_mut(options), text(path, "the policy's path")?) };
        let policy = TrustPolicy::from_file(path).map_err(|error| Error::new(Code::Argument, error.to_string()))?;
        options.trust = Some(policy);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_options_set_trust_policy(
    options: *mut Options,
    policy: *const c_char,
    base_directory: *const c_char,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
        let (options, policy, base) =
            unsafe { (object_mut(options), text(policy, "the policy")?, text(base_directory, "the base directory")?) };
        let policy = TrustPolicy::parse(policy, Path::new(base))
            .map_err(|error| Error::new(Code::Argument, error.to_string()))?;
        options.trust = Some(policy);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_loader_new(options: *const Options, out: *mut *mut Loader) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
        let given = unsafe { options.as_ref() };
        let mut wanted = LoaderOptions::default();
        wanted.native = Some(given.map(|options| options.native.clone()).unwrap_or_else(native_defaults));
        wanted.trust = given.and_then(|options| options.trust.clone());
        let loader = dynvm::Loader::with_options(wanted)?;
        // SAFETY: `out` has room for a pointer, as `loader/options.h` requires.
        unsafe { out.write(give(Loader(loader))) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_loader_free(loader: *mut Loader) {
    // SAFETY: guaranteed by the caller, as `loader/options.h` requires.
    unsafe { free(loader) }
}

/// The loader behind a pointer from C.
///
/// # Safety
///
/// As [`object`].
pub(crate) unsafe fn loader<'a>(pointer: *const Loader) -> &'a dynvm::Loader {
    // SAFETY: guaranteed by the caller, as this function requires.
    &unsafe { object(pointer) }.0
}
