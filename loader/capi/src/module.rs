//! Modules: the C functions of `loader/module.h`.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, OnceLock};

use dynvm_abi::version::AbiVersion;

use crate::error::{Code, Error, attempt};
use crate::hostcalls;
use crate::options::{Loader, loader};
use crate::text::{c_string, free, give, object, text};

/// A version of a deployment. It lives as long as one of its modules.
pub(crate) struct Version {
    pub(crate) number: u64,
}

/// The type behind `dynvm_module_t`.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
    /// The version of a deployment that this module is; counts its references.
    _version: Option<Arc<Version>>,
}

struct Inner {
    module: dynvm::Module,
    name: CString,
    sha256: OnceLock<CString>,
    imports: Vec<&'static CStr>,
}

impl Module {
    pub(crate) fn new(module: dynvm::Module) -> Result<Module, Error> {
        if module.backend() == dynvm::BackendKind::Wasm {
            let why = module.info().chosen.as_ref().map(|chosen| format!(": {}", chosen.reason)).unwrap_or_default();
            let text = format!("{}: it has no native image that could run here{why}", module.name());
            return Err(Error::new(Code::NotAPlugin, text));
        }
        let inner = Inner {
            name: c_string(module.name()),
            sha256: OnceLock::new(),
            imports: module.hostcalls().into_iter().map(hostcalls::name).collect(),
            module,
        };
        Ok(Module { inner: Arc::new(inner), _version: None })
    }

    pub(crate) fn of_version(&self, version: Arc<Version>) -> Module {
        Module { inner: self.inner.clone(), _version: Some(version) }
    }

    pub(crate) fn module(&self) -> &dynvm::Module {
        &self.inner.module
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_load_file(
    from: *const Loader,
    path: *const c_char,
    out: *mut *mut Module,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
        let (loader, path) = unsafe { (loader(from), text(path, "the path")?) };
        let module = Module::new(loader.load_file(path)?)?;
        // SAFETY: `out` has room for a pointer, as `loader/module.h` requires.
        unsafe { out.write(give(module)) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_load_bytes(
    from: *const Loader,
    name: *const c_char,
    bytes: *const c_void,
    size: usize,
    out: *mut *mut Module,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
        let (loader, name) = unsafe { (loader(from), text(name, "the name")?) };
        let bytes = match size {
            0 => &[],
            // SAFETY: `bytes` has `size` bytes, as `loader/module.h` requires.
            _ => unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) },
        };
        let module = Module::new(loader.load_bytes(name, bytes)?)?;
        // SAFETY: `out` has room for a pointer, as `loader/module.h` requires.
        unsafe { out.write(give(module)) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_clone(module: *const Module) -> *mut Module {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    give(unsafe { object(module) }.clone())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_free(module: *mut Module) {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    unsafe { free(module) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_name(module: *const Module) -> *const c_char {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    unsafe { object(module) }.inner.name.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_sha256(module: *const Module) -> *const c_char {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    let inner = unsafe { &object(module).inner };
    inner.sha256.get_or_init(|| c_string(inner.module.info().sha256().unwrap_or_default())).as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_abi_version(module: *const Module) -> u32 {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    match unsafe { object(module) }.inner.module.info().abi_version {
        AbiVersion::V0_1_0 => 1,
        AbiVersion::V0_2_0 => 2,
        _ => 3,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_defines(module: *const Module, name: *const c_char) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    let (module, name) = unsafe { (object(module), text(name, "the name")) };
    name.is_ok_and(|name| module.inner.module.defines(name))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_import_count(module: *const Module) -> usize {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    unsafe { object(module) }.inner.imports.len()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_module_import(module: *const Module, index: usize) -> *const c_char {
    // SAFETY: guaranteed by the caller, as `loader/module.h` requires.
    let imports = &unsafe { object(module) }.inner.imports;
    imports.get(index).map_or(std::ptr::null(), |name| name.as_ptr())
}
