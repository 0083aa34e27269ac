//! Which builds of a plugin a test runs.

use dynvm::BackendKind;

/// Chooses among the backends: `native`, `wasm` or `both`.
const VARIABLE: &str = "DYNVM_TEST_BACKEND";

/// The backends that tests run on in this process.
///
/// # Panics
///
/// The variable says something else.
pub(crate) fn wanted() -> Vec<BackendKind> {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("" | "both") => vec![BackendKind::Native, BackendKind::Wasm],
        Ok("native") => vec![BackendKind::Native],
        Ok("wasm") => vec![BackendKind::Wasm],
        Ok(other) => panic!("{VARIABLE}={other}: use native, wasm or both"),
    }
}
