//! Instructions of this thread in user mode, counted by the processor (`perf_event_open`).

use std::io;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

/// A counter of instructions.
pub struct Instructions(Counter);

impl Instructions {
    /// Opens a counter for this thread.
    ///
    /// # Errors
    ///
    /// Counting is not available; the message says why.
    pub fn open() -> Result<Instructions, String> {
        let mut builder = Builder::new().kind(Hardware::INSTRUCTIONS);
        builder.exclude_kernel(true).exclude_hv(true);
        builder.build().map(Instructions).map_err(|error| why_not(&error, &paranoid()))
    }

    /// Counts the instructions of `work`.
    pub fn count<T>(&mut self, work: &mut dyn FnMut() -> anyhow::Result<T>) -> anyhow::Result<(T, u64)> {
        self.0.reset()?;
        self.0.enable()?;
        let result = work();
        self.0.disable()?;
        Ok((result?, self.0.read()?))
    }
}

/// The value of the system's restriction on counters.
fn paranoid() -> String {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    level.trim().to_owned()
}

fn why_not(error: &io::Error, paranoid: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "this machine has no instruction counter; virtual machines often lack one".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            let level = if paranoid.is_empty() { "unknown" } else { paranoid };
            format!(
                "not permitted (kernel.perf_event_paranoid is {level}; in a container, seccomp may forbid it): \
                 sysctl kernel.perf_event_paranoid=2 permits it"
            )
        }
        _ => format!("perf_event_open failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_or_says_why_not() {
        match Instructions::open() {
            Ok(mut counter) => {
                let work = |many: u64| (0..many).fold(0u64, |sum, i| std::hint::black_box(sum.wrapping_add(i)));
                let mut count = |many| counter.count(&mut || Ok(work(many))).unwrap().1;
                let (few, many) = (count(1_000), count(100_000));
                assert!(many > few + 99_000, "{few} {many}");
            }
            Err(reason) => assert!(!reason.is_empty() && !reason.contains("panicked"), "{reason}"),
        }
    }

    #[test]
    fn reasons_name_a_remedy() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(why_not(&denied, "4").contains("perf_event_paranoid is 4"));
        assert!(why_not(&denied, "").contains("perf_event_paranoid is unknown"));
        assert!(why_not(&io::Error::from(io::ErrorKind::NotFound), "2").contains("no instruction counter"));
        assert!(why_not(&io::Error::other("broken"), "2").contains("broken"));
    }
}
