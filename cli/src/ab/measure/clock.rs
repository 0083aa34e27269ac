//! The clock of the measurements: its overhead and its resolution.

use std::time::Instant;

/// Overhead and resolution, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Time between two consecutive readings, which every measured time includes.
    pub overhead: f64,
    /// Resolution. The clocks of some machines advance in steps of 10 ns or more.
    pub step: f64,
}

impl Clock {
    pub fn probe() -> Clock {
        let looks = (0..20_000).map(|_| {
            let start = Instant::now();
            start.elapsed().as_nanos() as u64
        });
        Clock::of(looks.collect())
    }

    /// Derives both from consecutive readings.
    fn of(mut looks: Vec<u64>) -> Clock {
        looks.sort_unstable();
        // Drop readings that were interrupted.
        looks.truncate(looks.len() * 99 / 100);
        let overhead = looks.iter().sum::<u64>() as f64 / looks.len().max(1) as f64;
        Clock { overhead, step: step(&looks) }
    }

    /// Subtracts the overhead of `looks` readings.
    pub fn without_overhead(&self, nanoseconds: u64, looks: usize) -> u64 {
        (nanoseconds as f64 - self.overhead * looks as f64).round().max(0.0) as u64
    }
}

/// The distance between frequent values. Adjacent values are one value after rounding, unless all values are adjacent.
fn step(sorted: &[u64]) -> f64 {
    let often = sorted.len() / 1000;
    let groups = sorted.chunk_by(|a, b| a == b).filter(|equal| equal.len() > often);
    let values: Vec<u64> = groups.filter_map(|equal| equal.first().copied()).collect();
    let runs: Vec<&[u64]> = values.chunk_by(|a, b| b - a <= 1).collect();
    let gaps = runs.windows(2).filter_map(|pair| Some(pair[1].first()? - pair[0].first()?));
    gaps.min().unwrap_or(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clocks_are_seen() {
        // Steps of 10.04 ns after rounding, with a few interruptions.
        let coarse: Vec<u64> = (0..10_000).map(|i| [20, 20, 30, 31, 40][i % 5]).chain([900; 50]).collect();
        let clock = Clock::of(coarse);
        assert_eq!(clock.step, 10.0);
        assert!((28.0..28.3).contains(&clock.overhead), "the mean without interruptions: {clock:?}");
        let fine: Vec<u64> = (0..10_000).map(|i| 18 + i % 5).collect();
        assert_eq!(Clock::of(fine).step, 1.0);
        assert_eq!(Clock::of(vec![25; 1000]).step, 1.0, "the resolution is unknown");
        assert_eq!(Clock::of(Vec::new()).overhead, 0.0);
    }

    #[test]
    fn the_cost_of_looking_is_taken_away() {
        let clock = Clock { overhead: 20.4, step: 1.0 };
        assert_eq!(clock.without_overhead(1000, 10), 796);
        assert_eq!(clock.without_overhead(10, 1), 0);
        assert!(Clock::probe().overhead > 0.0);
    }
}
