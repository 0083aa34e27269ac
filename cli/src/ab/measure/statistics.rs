//! Estimates with distribution-free confidence intervals.

use serde::Serialize;

/// A measured number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Point estimate: a median.
    pub value: f64,
    /// Lower bound of the 95 % confidence interval; `None`: too few samples.
    pub low: Option<f64>,
    /// Upper bound; see `low`.
    pub high: Option<f64>,
}

impl Estimate {
    /// A number without an interval.
    pub fn point(value: f64) -> Estimate {
        Estimate { value, low: None, high: None }
    }

    /// The median of samples with its order-statistic interval: the number of samples below the
    /// true median is binomial for every distribution, so the probability that the k-th smallest
    /// and the k-th largest sample enclose it is known.
    ///
    /// `None` without samples.
    pub fn median_of(samples: &[f64]) -> Option<Estimate> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let count = sorted.len();
        let middle = |index: usize| sorted.get(index).copied();
        let value = if count % 2 == 1 {
            middle(count / 2)?
        } else {
            f64::midpoint(middle((count / 2).checked_sub(1)?)?, middle(count / 2)?)
        };
        let bounds = rank(count).map(|rank| (sorted[rank - 1], sorted[count - rank]));
        Some(Estimate { value, low: bounds.map(|bounds| bounds.0), high: bounds.map(|bounds| bounds.1) })
    }

    /// Quotient of two independent estimates, with the widest possible interval. `None`: the divisor may be zero.
    pub fn over(self, other: Estimate) -> Option<Estimate> {
        (self.value > 0.0 && other.low.unwrap_or(other.value) > 0.0).then(|| Estimate {
            value: self.value / other.value,
            low: self.low.zip(other.high).map(|(low, high)| low / high),
            high: self.high.zip(other.low).map(|(high, low)| high / low),
        })
    }

    /// Half of the interval's width relative to the value; `None` without an interval.
    pub fn half_width(&self) -> Option<f64> {
        let (low, high) = (self.low?, self.high?);
        (self.value > 0.0).then(|| (high - low) / 2.0 / self.value)
    }
}

/// The largest k for which the k-th smallest and the k-th largest of `count` samples enclose the
/// median with a probability of at least 95 %; `None` for fewer than 6 samples, for which there is
/// none.
fn rank(count: usize) -> Option<usize> {
    if count > 1000 {
        // The binomial distribution is close to normal here, and its terms underflow a float.
        let spread = 1.96 * (count as f64).sqrt() / 2.0;
        return Some((count as f64 / 2.0 - spread).floor() as usize);
    }
    let mut term = 0.5f64.powi(count as i32);
    let mut at_most = 0.0;
    for below in 0..count {
        at_most += term;
        if at_most > 0.025 {
            return (below > 0).then_some(below);
        }
        term *= (count - below) as f64 / (below + 1) as f64;
    }
    None
}

/// A line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Value at zero.
    pub base: f64,
    /// Increase per unit.
    pub slope: f64,
}

/// Theil–Sen line: the median of the slopes between all pairs of points, through the median of the
/// residuals. Up to a quarter of the points may be outliers without moving it.
///
/// `None` for fewer than two distinct positions.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[..index].iter().filter(|(x0, _)| x0 != x).map(|(x0, y0)| (y - y0) / (x - x0)));
    }
    let slope = Estimate::median_of(&slopes)?.value;
    let rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Some(Line { base: Estimate::median_of(&rest)?.value, slope })
}

#[cfg(test)]
mod tests {
    use dynvm_differential::generate::Random;

    use super::*;

    /// A deterministic number from 0 to 1.
    fn uniform(random: &mut Random) -> f64 {
        (random.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Two-sided 95 % interval of the median, from tables of the sign test.
        for (count, expected) in
            [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (12, Some(3)), (20, Some(6)), (50, Some(18))]
        {
            assert_eq!(rank(count), expected, "{count} samples");
        }
        assert_eq!((rank(0), rank(1)), (None, None));
        // No jump where the exact computation ends and the approximation begins.
        assert!(rank(1001).unwrap().abs_diff(rank(1000).unwrap()) <= 1);
    }

    #[test]
    fn medians_of_few_samples() {
        assert_eq!(Estimate::median_of(&[]), None);
        assert_eq!(Estimate::median_of(&[3.0]), Some(Estimate::point(3.0)));
        assert_eq!(Estimate::median_of(&[4.0, 1.0]), Some(Estimate::point(2.5)));
        let six = Estimate::median_of(&[6.0, 1.0, 5.0, 2.0, 4.0, 3.0]).unwrap();
        assert_eq!(six, Estimate { value: 3.5, low: Some(1.0), high: Some(6.0) });
    }

    /// Over many samplings from a distribution with a known median, the interval encloses it in 95 % or slightly more.
    #[test]
    fn intervals_enclose_the_median_as_often_as_they_say() {
        type Quantile = fn(f64) -> f64;
        let distributions: [(&str, f64, Quantile); 3] = [
            ("uniform", 0.5, |u| u),
            ("exponential", std::f64::consts::LN_2, |u| -(1.0 - u).ln()),
            // Tails heavier than any latency's: the mean does not exist.
            ("Cauchy", 0.0, |u| (std::f64::consts::PI * (u - 0.5)).tan()),
        ];
        let mut random = Random::new(1);
        for (name, median, quantile) in distributions {
            for count in [6, 25, 60] {
                let mut enclosed = 0;
                for _ in 0..2000 {
                    let samples: Vec<f64> = (0..count).map(|_| quantile(uniform(&mut random))).collect();
                    let estimate = Estimate::median_of(&samples).unwrap();
                    enclosed += usize::from(estimate.low.unwrap() <= median && median <= estimate.high.unwrap());
                }
                let share = enclosed as f64 / 2000.0;
                assert!((0.94..=0.985).contains(&share), "{name}, {count} samples: {share}");
            }
        }
    }

    #[test]
    fn a_disturbed_minority_does_not_move_the_median() {
        let mut random = Random::new(2);
        let quiet: Vec<f64> = (0..60).map(|_| 100.0 + uniform(&mut random)).collect();
        let mut disturbed = quiet.clone();
        disturbed[..12].fill(1e6);
        let (quiet, disturbed) = (Estimate::median_of(&quiet).unwrap(), Estimate::median_of(&disturbed).unwrap());
        assert!((quiet.value - disturbed.value).abs() < 0.5, "{quiet:?} {disturbed:?}");
        assert!(disturbed.high.unwrap() < 101.0);
        assert!(disturbed.half_width().unwrap() < 0.005);
    }

    #[test]
    fn quotients_take_both_intervals_at_their_worst() {
        let estimate = Estimate { value: 2.0, low: Some(1.0), high: Some(4.0) };
        let other = Estimate { value: 4.0, low: Some(2.0), high: Some(5.0) };
        assert_eq!(estimate.over(other), Some(Estimate { value: 0.5, low: Some(0.2), high: Some(2.0) }));
        assert_eq!(estimate.over(Estimate::point(4.0)), Some(Estimate::point(0.5)));
        assert_eq!(estimate.over(Estimate { low: Some(0.0), ..other }), None);
        assert_eq!(estimate.half_width(), Some(0.75));
        assert_eq!(Estimate::point(1.0).half_width(), None);
    }

    #[test]
    fn lines_go_through_what_is_linear() {
        let points: Vec<(f64, f64)> = [0.0, 1.0, 16.0, 64.0, 1024.0].map(|x| (x, 500.0 + 30.0 * x)).to_vec();
        assert_eq!(line(&points), Some(Line { base: 500.0, slope: 30.0 }));
        let mut off = points.clone();
        off[2].1 = 1e9;
        let fitted = line(&off).unwrap();
        assert!((fitted.slope - 30.0).abs() < 1.0, "{fitted:?}");
        assert_eq!(line(&[]), None);
        assert_eq!(line(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }
}
