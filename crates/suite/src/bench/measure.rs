//! Rounds of several subjects in turns, and their times.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Figures;
use super::subject::Subject;

/// Times of one subject's rounds in nanoseconds, the time to take the time subtracted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// Rounds.
    pub rounds: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The median.
    pub median_ns: u64,
    /// Of a hundred rounds, one takes longer.
    pub p99_ns: u64,
    /// The mean.
    pub mean_ns: f64,
}

/// Rounds of one subject before it is another's turn.
const TURN: usize = 16;

/// A subject that has not failed yet, or how it failed.
type Side<'a> = Result<Measuring<'a>, String>;

/// Measures all subjects, for so long each. One that fails is left out from then on.
pub(super) fn measure(
    subjects: Vec<Result<Box<dyn Subject + '_>, String>>,
    time: Duration,
) -> Vec<Result<Figures, String>> {
    let overhead = overhead();
    let mut sides: Vec<Side<'_>> = subjects.into_iter().map(|subject| subject.and_then(Measuring::new)).collect();
    for side in &mut sides {
        // Caches fill, branches are learnt.
        turn(side, overhead);
        if let Ok(measuring) = side {
            measuring.times.clear();
        }
    }
    let limit = time * sides.iter().filter(|side| side.is_ok()).count() as u32;
    let (start, mut reversed) = (Instant::now(), false);
    while start.elapsed() < limit && sides.iter().any(Result::is_ok) {
        // Whichever goes first has the colder caches: they take turns in that too.
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
            // The histogram grows with what it is given; saturating_record would cut it to what it has.
            measuring.times.record(time).map_err(|error| error.to_string())
        });
        if let Err(error) = recorded {
            *side = Err(error);
        }
    }
}

/// The time between two looks at the clock.
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
