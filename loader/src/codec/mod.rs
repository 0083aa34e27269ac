//! Encodings of the ABI.

pub mod pairs;
