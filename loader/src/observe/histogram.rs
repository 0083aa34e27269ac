//! Histograms of durations with fixed log-linear buckets: two buckets for each power of two
//! nanoseconds.
//!
//! The bounds are 64 ns, 96 ns, 128 ns, 192 ns, and so on to 2^30 ns (1.07 s); one more bucket
//! holds longer times. A time belongs to the first bucket whose bound it does not exceed, as in
//! Prometheus. A bucket therefore determines a time to within half of its lower bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Binary logarithm of the least bound in nanoseconds.
const FIRST: u32 = 6;

/// Binary logarithm of the greatest bound in nanoseconds.
const LAST: u32 = 30;

/// Number of buckets with a bound.
const BOUNDED: usize = 2 * (LAST - FIRST) as usize + 1;

const BUCKETS: usize = BOUNDED + 1;

/// The index of the bucket for a time.
#[inline]
fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds <= 1 << FIRST {
        return 0;
    }
    // A bound belongs to the bucket below it, so the index follows from the time less one.
    let below = nanoseconds - 1;
    let power = below.ilog2();
    let upper_half = (below >> (power - 1)) & 1;
    (2 * (power - FIRST) as usize + upper_half as usize + 1).min(BOUNDED)
}

/// The bound of a bucket in nanoseconds; `None` for the last one, which has no bound.
fn bound(bucket: usize) -> Option<u64> {
    // After the first bound, each power of two has two: one and a half times it, and twice it.
    match bucket {
        0 => Some(1 << FIRST),
        BOUNDED.. => None,
        _ => Some((2 + (bucket as u64 - 1) % 2 + 1) << (FIRST as usize + (bucket - 1) / 2 - 1)),
    }
}

/// A histogram that one thread writes and others read.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Adds a time. Only one thread may call this.
    #[inline]
    pub(super) fn record(&self, nanoseconds: u64) {
        add(&self.buckets[bucket(nanoseconds)], 1);
        add(&self.sum, nanoseconds);
    }
}

/// Adds with a load and a store, without a locked instruction: there is only one writer.
#[inline]
fn add(to: &AtomicU64, amount: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// The distribution of durations at the moment of a snapshot.
///
/// Buckets are log-linear: their bounds are 64 ns, 96 ns, 128 ns, 192 ns, ..., 2^30 ns, two for
/// each power of two; one more bucket holds longer times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    sum: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution { buckets: [0; BUCKETS], sum: 0 }
    }
}

impl Distribution {
    pub(super) fn record(&mut self, time: Duration) {
        let nanoseconds = nanoseconds(time);
        self.buckets[bucket(nanoseconds)] += 1;
        self.sum += nanoseconds;
    }

    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (to, from) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *to += from.load(Ordering::Relaxed);
        }
        self.sum = self.sum.wrapping_add(histogram.sum.load(Ordering::Relaxed));
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all durations. Read while a callback ends, it can lack that one duration, or include
    /// it while [`count`](Distribution::count) does not.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The mean; `None` if there are no durations.
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The cumulative buckets in order: each bound (`None`: no bound) with the number of durations
    /// up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let mut count = 0;
        self.buckets.iter().enumerate().map(move |(index, in_bucket)| {
            count += in_bucket;
            (bound(index).map(Duration::from_nanos), count)
        })
    }

    /// The given quantile (0 to 1) as Prometheus's `histogram_quantile` estimates it: by linear
    /// interpolation between the bounds of a bucket. Durations beyond the last bound count as that
    /// bound. `None` if there are no durations.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = share.clamp(0.0, 1.0) * self.count() as f64;
        let mut before = 0;
        for (index, in_bucket) in self.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0) {
            if (before + in_bucket) as f64 >= rank {
                let lower = index.checked_sub(1).and_then(bound).unwrap_or(0);
                let upper = bound(index).unwrap_or(lower);
                let inside = (rank - before as f64).max(0.0) / in_bucket as f64;
                let estimate = lower + ((upper - lower) as f64 * inside) as u64;
                // No duration is longer than their sum.
                return Some(Duration::from_nanos(estimate.min(self.sum)));
            }
            before += in_bucket;
        }
        None
    }
}

/// A duration in nanoseconds; one of centuries, which does not fit, becomes the greatest number.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_log_linear_and_inclusive() {
        let bounds: Vec<u64> = (0..BUCKETS).map_while(bound).collect();
        assert_eq!(bounds[..6], [64, 96, 128, 192, 256, 384]);
        assert_eq!((bounds.len(), bounds.last()), (BOUNDED, Some(&(1 << 30))));
        assert!(bounds.is_sorted());
        for (index, bound) in bounds.iter().copied().enumerate() {
            assert_eq!(bucket(bound), index, "{bound} ns is in its own bucket");
            assert_eq!(bucket(bound + 1), index + 1, "and a nanosecond more in the next");
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BOUNDED));
    }

    #[test]
    fn quantiles_lie_in_their_buckets() {
        let mut times = Distribution::default();
        assert_eq!((times.quantile(0.5), times.mean()), (None, None));
        let mut one = Distribution::default();
        one.record(Duration::from_nanos(4100));
        assert_eq!(one.quantile(0.99), Some(Duration::from_nanos(4100)), "not the end of its bucket");
        for nanoseconds in [100; 90].into_iter().chain([5000; 9]).chain([1 << 40]) {
            times.record(Duration::from_nanos(nanoseconds));
        }
        let at = |share| times.quantile(share).unwrap().as_nanos();
        assert!((97..=128).contains(&at(0.5)), "{}", at(0.5));
        assert!((4097..=6144).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(at(1.0), 1 << 30, "the last bound stands for all beyond");
        assert_eq!(times.count(), 100);
        assert_eq!(times.sum().as_nanos(), 9000 + 45000 + (1 << 40));
    }
}
