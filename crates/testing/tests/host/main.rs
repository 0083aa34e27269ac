//! The test host, tested with a plugin in C on both backends, and one that is linked too.

mod calls;
mod failures;
mod linked;
mod streams;

use std::path::Path;

use dynvm_testing::Plugin;

fn plugin() -> Plugin {
    Plugin::in_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/steps.c"))
}

/// What a test says when it panics.
fn panics(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(test).expect_err("it panics");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a text")
}
