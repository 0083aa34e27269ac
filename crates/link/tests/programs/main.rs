//! Plugins in programs of several kinds.

mod build_script;
mod fixture;
mod refusals;
mod variants;
