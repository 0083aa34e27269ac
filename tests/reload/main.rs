//! Versions of a plugin that replace each other while streams run: `docs/hot-reload.md`.

mod drain;
mod failure;
mod refusals;
mod stage;
mod versions;
mod watch;
