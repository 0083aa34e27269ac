use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Code, Error, attempt};
use crate::module::{Module, Version};
use crate::options::{Loader, loader};
use crate::text::{free, give, object, text};

type Try = unsafe extern "C" fn(data: *mut c_void, module: *const Module) -> bool;

/// `dynvm_deployment_t`.
pub struct Deployment {
    loader: dynvm::Loader,
    state: Mutex<State>,
    /// Held while a version is tried, so that two reloads come one after the other.
    reloading: Mutex<()>,
}

struct State {
    path: String,
    module: Module,
    version: Arc<Version>,
    versions: Vec<Weak<Version>>,
}

impl Deployment {
    /// Loads and tries a version.
    ///
    /// # Safety
    ///
    /// `try_version` may be called with `data`.
    unsafe fn load(
        loader: &dynvm::Loader,
        path: &str,
        try_version: Option<Try>,
        data: *mut c_void,
    ) -> Result<Module, Error> {
        let module = Module::new(loader.load_file(path)?)?;
        // SAFETY: the caller's promise.
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
        // SAFETY: the caller's promise.
        let (loader, path) = unsafe { (loader(from).clone(), text(path, "the path")?) };
        // SAFETY: the caller's promise.
        let module = unsafe { Deployment::load(&loader, path, try_version, data)? };
        let version = Arc::new(Version { number: 1 });
        let versions = vec![Arc::downgrade(&version)];
        let state = State { path: path.to_owned(), module, version, versions };
        let deployment = Deployment { loader, state: Mutex::new(state), reloading: Mutex::new(()) };
        // SAFETY: the caller passes a place for the result.
        unsafe { out.write(give(deployment)) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_free(deployment: *mut Deployment) {
    // SAFETY: the caller's promise.
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
        // SAFETY: the caller's promise.
        let deployment = unsafe { object(deployment) };
        let _reloading = lock(&deployment.reloading);
        let path = match path.is_null() {
            true => lock(&deployment.state).path.clone(),
            // SAFETY: the caller's promise.
            false => unsafe { text(path, "the path")? }.to_owned(),
        };
        // SAFETY: the caller's promise. VMs are made from the current version meanwhile: its lock is not held.
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
    // SAFETY: the caller's promise.
    let state = lock(&unsafe { object(deployment) }.state);
    give(state.module.of_version(state.version.clone()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_version(deployment: *const Deployment) -> u64 {
    // SAFETY: the caller's promise.
    lock(&unsafe { object(deployment) }.state).version.number
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_deployment_retained(deployment: *const Deployment) -> usize {
    // SAFETY: the caller's promise.
    let state = lock(&unsafe { object(deployment) }.state);
    state.versions.iter().filter(|version| version.strong_count() > 0).count()
}
