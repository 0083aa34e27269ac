//! Plugins in programs of several kinds.

mod build_script;
mod defaults;
mod fixture;
mod refusals;
mod variants;
