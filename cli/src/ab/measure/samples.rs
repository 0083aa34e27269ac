//! Samples of one quantity on one side, in blocks.

use hdrhistogram::Histogram;

use super::clock::Clock;
use super::statistics::Estimate;

/// Estimated statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    P50,
    P90,
    P99,
    Mean,
}

impl Stat {
    pub const ALL: [Stat; 4] = [Stat::P50, Stat::P90, Stat::P99, Stat::Mean];

    pub fn name(self) -> &'static str {
        match self {
            Stat::P50 => "p50",
            Stat::P90 => "p90",
            Stat::P99 => "p99",
            Stat::Mean => "mean",
        }
    }

    /// Minimum number of samples for this statistic.
    fn fewest(self) -> u64 {
        match self {
            Stat::P50 | Stat::Mean => 1,
            Stat::P90 => 10,
            Stat::P99 => 100,
        }
    }

    fn of(self, histogram: &Histogram<u64>) -> Option<f64> {
        if histogram.len() < self.fewest() {
            return None;
        }
        Some(match self {
            Stat::P50 => histogram.value_at_quantile(0.5) as f64,
            Stat::P90 => histogram.value_at_quantile(0.9) as f64,
            Stat::P99 => histogram.value_at_quantile(0.99) as f64,
            Stat::Mean => histogram.mean(),
        })
    }
}

/// Times in nanoseconds: a histogram with three significant digits, and statistics per block.
pub struct Samples {
    /// Resolution of the clock.
    step: f64,
    all: Histogram<u64>,
    block: Histogram<u64>,
    blocks: Vec<[Option<f64>; Stat::ALL.len()]>,
}

impl Samples {
    pub fn new(clock: &Clock) -> anyhow::Result<Samples> {
        Ok(Samples { step: clock.step, all: Histogram::new(3)?, block: Histogram::new(3)?, blocks: Vec::new() })
    }

    pub fn record(&mut self, nanoseconds: u64) {
        // A resizing histogram records any value.
        let _ = self.block.record(nanoseconds);
    }

    /// Ends a block, even an empty one: blocks of both sides are paired.
    pub fn end_block(&mut self) {
        self.blocks.push(Stat::ALL.map(|stat| stat.of(&self.block)));
        let _ = self.all.add(&self.block);
        self.block.clear();
    }

    pub fn all(&self) -> &Histogram<u64> {
        &self.all
    }

    fn of_blocks(&self, stat: Stat) -> impl Iterator<Item = Option<f64>> + '_ {
        let index = Stat::ALL.iter().position(|known| *known == stat).unwrap_or_default();
        self.blocks.iter().map(move |block| block[index])
    }

    /// The median over blocks if most blocks have enough samples; otherwise the statistic of all
    /// samples, without an interval; `None` if even these are too few. The interval is widened by
    /// half a clock step at either end.
    pub fn estimate(&self, stat: Stat) -> Option<Estimate> {
        let blocks: Vec<f64> = self.of_blocks(stat).flatten().collect();
        if 2 * blocks.len() > self.blocks.len() {
            return Estimate::median_of(&blocks).map(|estimate| Estimate {
                low: estimate.low.map(|low| (low - self.step / 2.0).max(0.0)),
                high: estimate.high.map(|high| high + self.step / 2.0),
                ..estimate
            });
        }
        stat.of(&self.all).map(Estimate::point)
    }
}

/// Samples of one quantity on both sides: native, wasm.
pub struct Pair {
    pub sides: [Samples; 2],
}

impl Pair {
    pub fn new(clock: &Clock) -> anyhow::Result<Pair> {
        Ok(Pair { sides: [Samples::new(clock)?, Samples::new(clock)?] })
    }

    pub fn end_block(&mut self) {
        self.sides.iter_mut().for_each(Samples::end_block);
    }

    /// Native to wasm: the median of the ratios per block; both times of a block are measured
    /// within the same fraction of a second. The interval includes the effect of the clock's
    /// resolution.
    ///
    /// `None` if either side has too few samples or is below the clock's resolution.
    pub fn ratio(&self, stat: Stat) -> Option<Estimate> {
        let [native, wasm] = &self.sides;
        let ratio = |(native, wasm): (Option<f64>, Option<f64>)| ratio_of(native?, wasm?);
        let blocks: Vec<f64> = native.of_blocks(stat).zip(wasm.of_blocks(stat)).filter_map(ratio).collect();
        if 2 * blocks.len() > native.blocks.len() {
            let (native, wasm) = (native.estimate(stat)?, wasm.estimate(stat)?);
            let share = self.sides[0].step / 2.0 * (1.0 / native.value + 1.0 / wasm.value);
            // A time within one clock step allows any ratio.
            if share >= 1.0 {
                return None;
            }
            return Estimate::median_of(&blocks).map(|ratio| Estimate {
                low: ratio.low.map(|low| low * (1.0 - share)),
                high: ratio.high.map(|high| high * (1.0 + share)),
                ..ratio
            });
        }
        ratio_of(stat.of(&native.all)?, stat.of(&wasm.all)?).map(Estimate::point)
    }
}

fn ratio_of(native: f64, wasm: f64) -> Option<f64> {
    (native > 0.0 && wasm > 0.0).then(|| native / wasm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { overhead: 20.0, step: 1.0 };

    /// Blocks of `per_block` samples on both sides; the load of the machine differs per block.
    fn pair(blocks: &[u64], per_block: u64) -> Pair {
        let mut pair = Pair::new(&CLOCK).unwrap();
        for load in blocks {
            for index in 0..per_block {
                pair.sides[0].record(load * (100 + index));
                pair.sides[1].record(load * (200 + 2 * index));
            }
            pair.end_block();
        }
        pair
    }

    #[test]
    fn a_ratio_is_not_moved_by_what_slows_both() {
        let pair = pair(&[1, 3, 1, 7, 2, 1, 9, 4, 1, 5], 100);
        let ratio = pair.ratio(Stat::P50).unwrap();
        assert!((ratio.value - 0.5).abs() < 0.01, "{ratio:?}");
        assert!(ratio.half_width().unwrap() < 0.01, "{ratio:?}");
        let native = pair.sides[0].estimate(Stat::P50).unwrap();
        assert!(native.half_width().unwrap() > 0.5, "the times themselves are less certain: {native:?}");
    }

    #[test]
    fn percentiles_want_enough_samples() {
        let few = pair(&[1; 8], 20);
        assert!(few.sides[0].estimate(Stat::P90).unwrap().low.is_some());
        let p99 = few.sides[0].estimate(Stat::P99).unwrap();
        assert_eq!((p99.value, p99.low), (119.0, None), "of all 160 samples, since no block has 100");
        assert_eq!(few.ratio(Stat::P99).unwrap().low, None);
        assert_eq!(pair(&[1; 2], 20).sides[0].estimate(Stat::P99), None, "not of 40");
        assert_eq!(Pair::new(&CLOCK).unwrap().ratio(Stat::P50), None);
    }

    #[test]
    fn a_coarse_clock_is_in_the_interval() {
        let mut pair = Pair::new(&Clock { overhead: 20.0, step: 10.0 }).unwrap();
        for _ in 0..10 {
            pair.sides[0].record(20);
            pair.sides[1].record(40);
            pair.end_block();
        }
        let native = pair.sides[0].estimate(Stat::P50).unwrap();
        assert_eq!(native, Estimate { value: 20.0, low: Some(15.0), high: Some(25.0) });
        let ratio = pair.ratio(Stat::P50).unwrap();
        assert!(ratio.low.unwrap() < 0.35 && ratio.high.unwrap() > 0.65, "{ratio:?}");

        let mut short = Pair::new(&Clock { overhead: 20.0, step: 10.0 }).unwrap();
        for _ in 0..10 {
            short.sides.iter_mut().for_each(|side| side.record(10));
            short.end_block();
        }
        assert_eq!(short.ratio(Stat::P50), None, "of one step each");
    }

    #[test]
    fn what_takes_no_time_has_no_ratio() {
        let mut pair = Pair::new(&CLOCK).unwrap();
        for _ in 0..10 {
            pair.sides[0].record(0);
            pair.sides[1].record(10);
            pair.end_block();
        }
        assert_eq!(pair.ratio(Stat::P50), None);
        assert_eq!(pair.sides[0].estimate(Stat::P50).unwrap().value, 0.0);
        assert_eq!(pair.sides[0].all().len(), 10);
    }
}
