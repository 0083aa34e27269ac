//! Recorded answers of hostcalls, replayed to the shadow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use dynvm::CallId;
use dynvm::abi::types::{LogLevel, Status};
use dynvm::call_trace::{Event, Named, Value, escaped};

use crate::rollout::recording::{Recording, Step, number};

/// Answers for the current callback. The lock is uncontended: services must be `Sync`, but only the
/// shadow thread uses these.
#[derive(Default)]
pub(super) struct Replayed(Mutex<State>);

#[derive(Default)]
struct State {
    /// Hostcalls of the recorded callback, each with whether it has been used as an answer.
    hostcalls: Vec<(Event, bool)>,
    /// Whether a callback of a stream is running. Outside one, services answer themselves.
    under_way: bool,
    /// Reads without a recorded answer.
    unanswered: Vec<String>,
    /// The shadow's calls by the serving plugin's tokens.
    calls: HashMap<u32, CallId>,
    /// Last known values of properties.
    properties: HashMap<Vec<u8>, Answer>,
    realtime: u64,
    monotonic: u64,
    log_level: Option<LogLevel>,
}

/// The result of a hostcall.
pub(super) type Answer = (Status, Vec<Named>);

impl Replayed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn begin(&self, recording: &Recording, step: &Step) {
        let mut state = self.state();
        state.hostcalls = step.hostcalls.iter().map(|event| (event.clone(), false)).collect();
        (state.realtime, state.monotonic) = (step.realtime, step.monotonic);
        state.log_level = Some(recording.log_level);
        state.under_way = true;
    }

    /// Ends the callback; returns the reads without a recorded answer.
    pub(super) fn end(&self) -> Vec<String> {
        let mut state = self.state();
        state.under_way = false;
        std::mem::take(&mut state.unanswered)
    }

    /// Clears the state of one stream.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.properties.clear();
        state.hostcalls.clear();
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.state().under_way
    }

    pub(super) fn log_level(&self) -> Option<LogLevel> {
        self.state().log_level
    }

    /// The recorded answer to a hostcall with these arguments: the next one of several; the last one repeats.
    pub(super) fn take(&self, hostcall: &str, arguments: &[&[u8]]) -> Option<Answer> {
        let mut state = self.state();
        let matches = |event: &Event| match event {
            Event::Hostcall { name, arguments: known, .. } => {
                *name == hostcall
                    && arguments.iter().zip(bytes(known)).filter(|(one, other)| *one == other).count()
                        == arguments.len()
            }
            _ => false,
        };
        let unused = state.hostcalls.iter().position(|(event, used)| !used && matches(event));
        let index = unused.or_else(|| state.hostcalls.iter().rposition(|(event, _)| matches(event)))?;
        let (event, used) = &mut state.hostcalls[index];
        *used = true;
        match event {
            Event::Hostcall { status, results, .. } => Some((*status, results.clone())),
            _ => None,
        }
    }

    /// The same, and records a missing answer.
    pub(super) fn take_or_note(&self, hostcall: &str, arguments: &[&[u8]]) -> Option<Answer> {
        let answer = self.take(hostcall, arguments);
        if answer.is_none() {
            self.note(hostcall, arguments);
        }
        answer
    }

    fn note(&self, hostcall: &str, arguments: &[&[u8]]) {
        let mut state = self.state();
        if state.under_way {
            let arguments: Vec<String> = arguments.iter().map(|bytes| format!("\"{}\"", escaped(bytes))).collect();
            state.unanswered.push(format!("{hostcall}({})", arguments.join(", ")));
        }
    }

    /// The answer to a property: as in this callback, or the last known one.
    pub(super) fn property(&self, path: &[u8]) -> Option<Answer> {
        let recorded = self.take("proxy_get_property", &[path]);
        // The C++ SDK ends paths with a NUL.
        let recorded = recorded.or_else(|| self.take("proxy_get_property", &[&[path, b"\0"].concat()]));
        if let Some(answer) = recorded {
            self.state().properties.insert(path.to_vec(), answer.clone());
            return Some(answer);
        }
        let known = self.state().properties.get(path).cloned();
        if known.is_none() {
            self.note("proxy_get_property", &[path]);
        }
        known
    }

    pub(super) fn set_property(&self, path: &[u8], value: &[u8]) {
        let answer = (Status::Ok, vec![("value", Value::Bytes(value.to_vec()))]);
        self.state().properties.insert(path.to_vec(), answer);
    }

    /// The time that the serving plugin read in this callback; if it read none, the time when the callback began.
    pub(super) fn realtime(&self) -> Option<u64> {
        if !self.is_under_way() {
            return None;
        }
        let read = self.take("proxy_get_current_time_nanoseconds", &[]).and_then(|(_, results)| number64(&results));
        let mut state = self.state();
        state.realtime = read.unwrap_or(state.realtime);
        Some(state.realtime)
    }

    pub(super) fn monotonic(&self) -> Option<u64> {
        let state = self.state();
        state.under_way.then_some(state.monotonic)
    }

    /// Maps the serving plugin's call to the shadow's corresponding call.
    pub(super) fn pair(&self, results: &[Named], own: CallId) {
        if let Some(token) = number(results, "token") {
            self.state().calls.insert(token, own);
        }
    }

    /// The shadow's call for the serving plugin's token, if the shadow has made it.
    pub(super) fn own_call(&self, token: u32) -> Option<CallId> {
        self.state().calls.get(&token).copied()
    }
}

/// The byte arguments, in order.
fn bytes(values: &[Named]) -> impl Iterator<Item = &[u8]> {
    values.iter().filter_map(|(_, value)| if let Value::Bytes(bytes) = value { Some(bytes.as_slice()) } else { None })
}

/// The first byte result.
pub(super) fn bytes_of(results: &[Named]) -> Option<&[u8]> {
    bytes(results).next()
}

fn number64(values: &[Named]) -> Option<u64> {
    values
        .iter()
        .find_map(|(_, value)| if let Value::Number(number) = value { u64::try_from(*number).ok() } else { None })
}
