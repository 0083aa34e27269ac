//! Failures that both builds share, by kind: the builds behave the same, and the plugin has a bug.

use dynvm::call_trace::Event;
use dynvm_compare::is_panic;
use dynvm_compare::trace::{StepTrace, logged};
use serde::Serialize;

/// A kind of failure shared by both builds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CommonFailure {
    /// The failing callback.
    pub callback: String,
    /// Failure of the native build: the logged panic message if there is one, otherwise the loader's message.
    pub native: String,
    /// Failure of the wasm build.
    pub wasm: String,
    /// Number of pairs of VMs that failed in this way.
    pub count: u64,
}

impl CommonFailure {
    /// The failure that ended a step on both sides; `None` if a side did not fail in it.
    pub fn of<R>([native, wasm]: [&StepTrace<R>; 2]) -> Option<CommonFailure> {
        let failed = native.events.iter().rev().find_map(|event| match event {
            Event::CallbackLeave { name, failure: Some(_), .. } => Some(*name),
            _ => None,
        });
        Some(CommonFailure {
            callback: failed.unwrap_or_default().to_owned(),
            native: message(native)?,
            wasm: message(wasm)?,
            count: 1,
        })
    }

    /// The key of a failure's kind. The first line of a panic is its source location; what follows
    /// may quote the request. The wasm build's message contains no addresses.
    fn kind(&self) -> (&str, &str) {
        (&self.callback, self.wasm.lines().next().unwrap_or_default())
    }
}

/// The failure message of one side.
fn message<R>(trace: &StepTrace<R>) -> Option<String> {
    let failure = trace.failure.as_ref()?;
    let through_the_abi =
        trace.events.iter().filter_map(logged).map(String::from_utf8_lossy).find(|text| is_panic(text));
    let printed = || trace.written.iter().find(|(_, text)| is_panic(text)).map(|(_, text)| text.as_str().into());
    let panic = through_the_abi.or_else(printed);
    let first_line = failure.lines().next().unwrap_or_default();
    Some(panic.map_or_else(|| first_line.to_owned(), |text| text.trim().to_owned()))
}

/// Kinds of failures with their counts.
#[derive(Clone, Debug, Default)]
pub struct Failures(Vec<CommonFailure>);

impl Failures {
    /// Counts a failure. The representative of a kind does not depend on the order.
    pub fn add(&mut self, failure: CommonFailure) {
        match self.0.iter_mut().find(|known| known.kind() == failure.kind()) {
            Some(known) => {
                let count = known.count + failure.count;
                if (&failure.native, &failure.wasm) < (&known.native, &known.wasm) {
                    *known = failure;
                }
                known.count = count;
            }
            None => self.0.push(failure),
        }
    }

    /// The kinds, most frequent first.
    pub fn into_list(mut self) -> Vec<CommonFailure> {
        self.0.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cmp(b)));
        self.0
    }
}

impl Extend<CommonFailure> for Failures {
    fn extend<T: IntoIterator<Item = CommonFailure>>(&mut self, failures: T) {
        failures.into_iter().for_each(|failure| self.add(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_a_kind_are_counted_whatever_their_order() {
        let failure = |callback: &str, wasm: &str| CommonFailure {
            callback: callback.to_owned(),
            native: "the plugin aborted".to_owned(),
            wasm: wasm.to_owned(),
            count: 1,
        };
        let all = [
            failure("proxy_on_request_headers", "panicked at src/lib.rs:7:5:\nbytes [255]"),
            failure("proxy_on_request_headers", "panicked at src/lib.rs:7:5:\nbytes [254]"),
            failure("proxy_on_request_body", "panicked at src/lib.rs:7:5:\nbytes [255]"),
        ];
        let [mut forth, mut back] = [Failures::default(), Failures::default()];
        forth.extend(all.clone());
        back.extend(all.clone().into_iter().rev());
        let forth = forth.into_list();
        assert_eq!(forth, back.into_list());
        assert_eq!(forth.iter().map(|kind| kind.count).collect::<Vec<_>>(), [2, 1]);
        assert!(forth[0].wasm.ends_with("[254]"), "{forth:?}");
    }
}
