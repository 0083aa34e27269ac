//! Numbers with units for display.

/// Formats nanoseconds with a unit.
pub fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.2} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// Formats bytes with a unit.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Formats a ratio with at least two significant digits.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 100.0 => format!("{ratio:.0}"),
        ratio if ratio >= 0.1 || ratio <= 0.0 => format!("{ratio:.2}"),
        ratio if ratio >= 0.01 => format!("{ratio:.3}"),
        ratio if ratio >= 0.001 => format!("{ratio:.4}"),
        ratio => format!("{ratio:.1e}"),
    }
}

/// Formats an interval of ratios, with another digit if both bounds would look the same.
pub fn ratio_interval(low: f64, high: f64) -> (String, String) {
    if ratio(low) == ratio(high) && low >= 0.1 && high < 100.0 {
        return (format!("{low:.3}"), format!("{high:.3}"));
    }
    (ratio(low), ratio(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_keep_their_digits() {
        for (value, text) in
            [(1.0, "1.00"), (0.476, "0.48"), (0.0342, "0.034"), (0.003, "0.0030"), (0.00012, "1.2e-4"), (250.4, "250")]
        {
            assert_eq!(ratio(value), text);
        }
    }
    #[test]
    fn narrow_intervals_are_told_apart() {
        assert_eq!(ratio_interval(0.5612, 0.5638), ("0.561".to_owned(), "0.564".to_owned()));
        assert_eq!(ratio_interval(0.47, 0.5), ("0.47".to_owned(), "0.50".to_owned()));
    }
}
