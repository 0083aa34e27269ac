//! Runs two builds of a Proxy-Wasm plugin on the same traffic, in lockstep, and tells where they first differ.
//!
//! ```text
//!   scenario   a plugin's configuration and traffic, as a JSON file: bytes of any kind, streams side by side
//!   traffic    the same from JSON Lines and HAR files
//!   generate   traffic from a seed, with the words of the plugin
//!     trace    what is seen of a step: each callback and hostcall with its values, output, results, metrics
//!     rules    what may differ by declaration, by name
//!     start    a plugin in a host in memory, with its log if it does not start
//!     lockstep both builds a step at a time, compared as they go
//!       failures   those that both builds have in common, by kind
//!       campaign   many generated streams, on several threads, in flat memory
//!       shrink     the smallest scenario that still differs
//!       explain    why: what repeats itself and what does not
//!       align      both traces side by side, the difference marked
//! ```
//!
//! `dynvm ab` is this crate on the command line; `docs/differential.md` tells what is compared and what is not.

pub mod align;
pub mod campaign;
pub mod explain;
pub mod failures;
pub mod generate;
pub mod lockstep;
pub mod rules;
pub mod scenario;
pub mod shrink;
pub mod start;
pub mod trace;
pub mod traffic;
