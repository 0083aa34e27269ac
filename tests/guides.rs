//! The guides of `docs/` whose Rust blocks are compiled and run as documentation tests.

#![forbid(unsafe_code)]

#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {}
