//! Versions of a plugin that replace each other while streams run: `docs/hot-reload.md`.

#[path = "../checklist/compile.rs"]
mod compile;
#[allow(dead_code, reason = "shared with the checklist, which uses all of it")]
#[path = "../checklist/rig.rs"]
mod rig;

mod drain;
mod failure;
mod refusals;
mod stage;
mod versions;
mod watch;
