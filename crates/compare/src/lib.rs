//! Compares the behavior of two builds of a Proxy-Wasm plugin, for differential runs, shadows of rollouts, and suites.
//!
//! ```text
//!   trace        a step on one side: callbacks and hostcalls, output, metrics, and the result
//!     difference the first difference of two traces
//!       rules    declared differences, by name
//!   line         a trace in lines, for alignment and display
//! ```
//!
//! By convention the first side is the native build and the second the wasm build; some rules depend on it.
//!
//! ```
//! use dynvm::abi::types::Status;
//! use dynvm::call_trace::{Event, Value};
//! use dynvm_compare::difference::first_difference;
//! use dynvm_compare::rules::{Applied, Rule, Rules};
//! use dynvm_compare::trace::{Aspect, StepTrace};
//!
//! let logs = |message: &str| {
//!     let arguments = vec![("level", Value::Number(2)), ("message", Value::Bytes(message.into()))];
//!     let event = Event::Hostcall { name: "proxy_log", arguments, status: Status::Ok, results: Vec::new() };
//!     let mut trace = StepTrace::<Vec<Aspect>>::default();
//!     trace.events.push(event);
//!     trace
//! };
//! let (native, wasm) = (logs("took 3 us"), logs("took 5 us"));
//! let mut applied = Applied::default();
//! let found = first_difference(&native, &wasm, &Rules::default(), &mut applied).expect("the messages differ");
//! assert_eq!(found.values, ["took 3 us", "took 5 us"]);
//!
//! let rules = Rules::default().allow(Rule::LogText);
//! assert_eq!(first_difference(&native, &wasm, &rules, &mut applied), None);
//! assert_eq!(applied.of(Rule::LogText), 1);
//! ```

#![forbid(unsafe_code)]

pub mod difference;
mod events;
mod found;
pub mod line;
mod output;
pub mod rules;
pub mod text;
pub mod trace;

pub use found::Found;
pub use output::is_panic;
