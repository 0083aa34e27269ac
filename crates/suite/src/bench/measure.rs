//! Measures several subjects in interleaved rounds.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Figures;
use super::subject::Subject;

/// Times of one subject's rounds in nanoseconds, timer overhead subtracted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// Number of rounds.
    pub rounds: u64,
    /// Minimum.
    pub min_ns: u64,
    /// Median.
    pub median_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Mean.
    pub mean_ns: f64,
}

/// Rounds of one subject before the next subject's turn.
const TURN: usize = 16;

/// A subject that is still running, or its failure.
type Side<'a> = Result<Measuring<'a>, String>;

/// Measures all subjects, for `time` each. A subject that fails is dropped.
pub(super) fn measure(
    subjects: Vec<Result<Box<dyn Subject + '_>, String>>,
    time: Duration,
) -> Vec<Result<Figures, String>> {
    let overhead = overhead();
    let mut sides: Vec<Side<'_>> = subjects.into_iter().map(|subject| subject.and_then(Measuring::new)).collect();
    for side in &mut sides {
        // Fills caches and trains branch predictors.
        turn(side, overhead);
        if let Ok(measuring) = side {
            measuring.times.clear();
        }
    }
    let limit = time * sides.iter().filter(|side| side.is_ok()).count() as u32;
    let (start, mut reversed) = (Instant::now(), false);
    while start.elapsed() < limit && sides.iter().any(Result::is_ok) {
        // The first subject in a turn finds colder caches, so the order alternates.
        if reversed {
            sides.iter_mut().rev().for_each(|side| turn(side, overhead));
        } else {
            sides.iter_mut().for_each(|side| turn(side, overhead));
        }
        reversed = !reversed;
    }
    sides.into_iter().map(|side| side.map(Measuring::figures)).collect()
}

struct Measuring<'a> {
    subject: Box<dyn Subject + 'a>,
    times: Histogram<u64>,
}

impl<'a> Measuring<'a> {
    fn new(subject: Box<dyn Subject + 'a>) -> Side<'a> {
        let times = Histogram::new(3).map_err(|error| error.to_string())?;
        Ok(Measuring { subject, times })
    }

    fn figures(self) -> Figures {
        let times = Times {
            rounds: self.times.len(),
            min_ns: self.times.min(),
            median_ns: self.times.value_at_quantile(0.5),
            p99_ns: self.times.value_at_quantile(0.99),
            mean_ns: self.times.mean(),
        };
        self.subject.figures(times)
    }
}

fn turn(side: &mut Side<'_>, overhead: Duration) {
    for _ in 0..TURN {
        let Ok(measuring) = side else { return };
        let recorded = measuring.subject.round().and_then(|time| {
            let time = time.saturating_sub(overhead).as_nanos() as u64;
            // The histogram resizes itself; saturating_record would clamp to its current range.
            measuring.times.record(time).map_err(|error| error.to_string())
        });
        if let Err(error) = recorded {
            *side = Err(error);
        }
    }
}

/// Time between two consecutive readings of the clock.
fn overhead() -> Duration {
    let mut times: Vec<Duration> = (0..1000)
        .map(|_| {
            let start = Instant::now();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
