//! Times, taken in turns and printed as a table.

use std::time::Instant;

/// Nanoseconds per call of one subject, one value for each round.
#[derive(Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn push(&mut self, nanoseconds: f64) {
        self.0.push(nanoseconds);
    }

    /// For times of several calls.
    pub fn scale(&mut self, factor: f64) {
        self.0.iter_mut().for_each(|time| *time *= factor);
    }

    pub fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[self.0.len() / 2]
    }

    pub fn fastest(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// A subject: makes the given number of calls, and returns their duration in nanoseconds.
pub type Runner<'a> = Box<dyn FnMut(u32) -> anyhow::Result<f64> + 'a>;

/// A subject that is timed from outside.
pub fn timed<'a>(mut call: impl FnMut() + 'a) -> Runner<'a> {
    Box::new(move |count| {
        let started = Instant::now();
        for _ in 0..count {
            call();
        }
        Ok(started.elapsed().as_nanos() as f64)
    })
}

/// The length of a turn: long compared with the cost of the clock, short compared with disturbances of the machine.
const TURN_NANOSECONDS: f64 = 300_000.0;

/// Runs the subjects in turns.
pub fn interleave(subjects: &mut [Runner<'_>], rounds: usize) -> anyhow::Result<Vec<Times>> {
    // The slowest subject determines the number of calls in a turn, since all make the same number.
    let mut slowest: f64 = 0.0;
    for subject in &mut *subjects {
        subject(3)?;
        slowest = slowest.max(subject(3)? / 3.0);
    }
    let count = (TURN_NANOSECONDS / slowest).clamp(1.0, 20_000.0) as u32;
    let mut times: Vec<Times> = subjects.iter().map(|_| Times::default()).collect();
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            // Another subject starts each round.
            let index = (round + turn) % subjects.len();
            times[index].push(subjects[index](count)? / f64::from(count));
        }
    }
    Ok(times)
}

/// Prints a row.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Prints the header of a table.
pub fn head(cells: &[&str]) {
    row(&cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    println!("|{}", "---|".repeat(cells.len()));
}

/// Readable times: the median, and the fastest in brackets.
pub fn cell(times: &mut Times) -> String {
    format!("{} ({})", duration(times.median()), duration(times.fastest()))
}

/// Nanoseconds in a suitable unit.
pub fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 20.0 => format!("{ns:.1} ns"),
        ns if ns < 10_000.0 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

/// A ratio.
pub fn ratio(of: f64, to: f64) -> String {
    format!("{:.2}", of / to)
}
