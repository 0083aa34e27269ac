//! Two builds in lockstep: what is found, made small, explained. The builds are wasm texts, so that both sides are what a test says.

mod campaign;
mod lockstep;
mod plugins;
mod shrink;
