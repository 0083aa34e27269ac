//! Selects the backends of tests.

use dynvm::BackendKind;

/// Environment variable that selects backends: `native`, `wasm`, `null`, or `both` for all that a plugin has.
const VARIABLE: &str = "DYNVM_TEST_BACKEND";

/// The backends selected for this process.
///
/// # Panics
///
/// The variable has an invalid value.
pub(crate) fn wanted() -> Vec<BackendKind> {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "both") => vec![BackendKind::Native, BackendKind::Wasm, BackendKind::Null],
        Ok("native") => vec![BackendKind::Native],
        Ok("wasm") => vec![BackendKind::Wasm],
        Ok("null") => vec![BackendKind::Null],
        Ok(other) => panic!("{VARIABLE}={other}: use native, wasm, null or both"),
    }
}
