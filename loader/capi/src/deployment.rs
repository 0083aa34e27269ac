//! Deployments: the C functions of `loader/deployment.h`.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Code, Error, attempt};
use crate::module::{Module, Version};
use crate::options::{Loader, loader};
use crate::text::{free, give, object, text};

type Try = unsafe extern "C" fn(data: *mut c_void, module: *const Module) -> bool;

/// The type behind `dynvm_deployment_t`.
pub struct Deployment {
    loader: dynvm::Loader,
    state: Mutex<State>,
    /// Held while a version is tried, so that reloads run one at a time.
    reloading: Mutex<()>,
}

struct State {
    path: String,
    module: Module,
    version: Arc<Version>,
    versions: Vec<Weak<Version>>,
}

impl Deployment {
    /// Loads a version and lets the host try it.
    ///
    /// # Safety
    ///
    /// `try_version` can be called with `data`.
    unsafe fn load(
        loader: &dynvm::Loader,
        path: &str,
        try_version: Option<Try>,
        data: *mut c_void,
    ) -> Result<Module, Error> {
        let module = Module::new(loader.load_file(path)?)?;
        // SAFETY: guaranteed by the caller, as this function requires.
        let is_good = try_version.is_none_or(|try_version| unsafe { try_version(data, &module) });
        if is_good {
            Ok(module)
        } else {
            Err(Error::new(Code::Refused, format!("{path}: the host refused this version")))
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_new(
    from: *const Loader,
    path: *const c_char,
    try_version: Option<Try>,
    data: *mut c_void,
    out: *mut *mut Deployment,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
        let (loader, path) = unsafe { (loader(from).clone(), text(path, "the path")?) };
        // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
        let module = unsafe { Deployment::load(&loader, path, try_version, data)? };
        let version = Arc::new(Version { number: 1 });
        let versions = vec![Arc::downgrade(&version)];
        let state = State { path: path.to_owned(), module, version, versions };
        let deployment = Deployment { loader, state: Mutex::new(state), reloading: Mutex::new(()) };
        // SAFETY: `out` has room for a pointer, as `loader/deployment.h` requires.
        unsafe { out.write(give(deployment)) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_free(deployment: *mut Deployment) {
    // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
    unsafe { free(deployment) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_reload(
    deployment: *mut Deployment,
    path: *const c_char,
    try_version: Option<Try>,
    data: *mut c_void,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
        let deployment = unsafe { object(deployment) };
        let _reloading = lock(&deployment.reloading);
        let path = match path.is_null() {
            true => lock(&deployment.state).path.clone(),
            // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
            false => unsafe { text(path, "the path")? }.to_owned(),
        };
        // SAFETY: the caller passes a function for this data, as `loader/deployment.h` requires. The lock of the
        // state is not held meanwhile, so VMs can be made from the current version.
        let module = unsafe { Deployment::load(&deployment.loader, &path, try_version, data)? };
        let mut state = lock(&deployment.state);
        let version = Arc::new(Version { number: state.version.number + 1 });
        state.versions.retain(|version| version.strong_count() > 0);
        state.versions.push(Arc::downgrade(&version));
        (state.path, state.module, state.version) = (path, module, version);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_current(deployment: *const Deployment) -> *mut Module {
    // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
    let state = lock(&unsafe { object(deployment) }.state);
    give(state.module.of_version(state.version.clone()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_version(deployment: *const Deployment) -> u64 {
    // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
    lock(&unsafe { object(deployment) }.state).version.number
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_retained(deployment: *const Deployment) -> usize {
    // SAFETY: guaranteed by the caller, as `loader/deployment.h` requires.
    let state = lock(&unsafe { object(deployment) }.state);
    state.versions.iter().filter(|version| version.strong_count() > 0).count()
}
