//! Values with the interval that they are in, and how arithmetic carries both.

/// A value and its interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The point estimate.
    pub value: f64,
    /// The upper bound.
    pub high: f64,
}

impl Interval {
    /// A value that is known exactly.
    pub fn exact(value: f64) -> Interval {
        Interval { low: value, value, high: value }
    }

    pub(crate) fn negative(self) -> Interval {
        Interval { low: -self.high, value: -self.value, high: -self.low }
    }

    pub(crate) fn plus(self, other: Interval) -> Interval {
        Interval { low: self.low + other.low, value: self.value + other.value, high: self.high + other.high }
    }

    pub(crate) fn times(self, other: Interval) -> Interval {
        self.corners(other, self.value * other.value, |a, b| a * b)
    }

    /// Division. Where the divisor may be zero, anything may come out.
    pub(crate) fn divided_by(self, other: Interval) -> Interval {
        let value = self.value / other.value;
        if other.low <= 0.0 && other.high >= 0.0 {
            return Interval { low: f64::NEG_INFINITY, value, high: f64::INFINITY };
        }
        self.corners(other, value, |a, b| a / b)
    }

    /// The least and the most among the results of the bounds. As an interval of both together it is a wide one: it takes the two for
    /// independent, and both at their worst.
    fn corners(self, other: Interval, value: f64, operation: fn(f64, f64) -> f64) -> Interval {
        let corner = |a: f64, b: f64| {
            let result = operation(a, b);
            // Nothing times no bound: nothing.
            if result.is_nan() { 0.0 } else { result }
        };
        let corners = [
            corner(self.low, other.low),
            corner(self.low, other.high),
            corner(self.high, other.low),
            corner(self.high, other.high),
        ];
        let low = corners.iter().copied().fold(f64::INFINITY, f64::min);
        let high = corners.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Interval { low, value, high }
    }
}
