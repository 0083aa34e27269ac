//! Random operations against a model.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

mod model;

use model::choices::Generator;
use model::run;

#[test]
fn random_operations_agree_with_the_model() {
    let (seeds, left) = if cfg!(miri) { (1, 600) } else { (40, 12_000) };
    for seed in 0..seeds {
        run(&mut Generator { state: seed, left });
    }
}
