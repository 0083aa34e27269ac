//! Number formats of the page: three digits, a no-break space, the unit.

use crate::ab::measure::statistics::Estimate;
use crate::units;

/// Formats nanoseconds.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        // The clock's resolution is 1 ns.
        ns if (10.0..1e3).contains(&ns) || ns.fract() == 0.0 && ns < 10.0 => return format!("{ns:.0}\u{a0}ns"),
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{}\u{a0}{unit}", digits(value))
}

/// Formats bytes.
pub fn size(bytes: f64) -> String {
    let (value, unit) = match bytes {
        bytes if bytes < 1024.0 => (bytes, "B"),
        bytes if bytes < 1_048_576.0 => (bytes / 1024.0, "KiB"),
        bytes => (bytes / 1_048_576.0, "MiB"),
    };
    format!("{}\u{a0}{unit}", digits(value))
}

/// Formats a count, with thin spaces between thousands.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits, without trailing zeros.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.2}"),
    }
}

pub fn ratio(ratio: f64) -> String {
    units::ratio(ratio)
}

/// Formats an interval, with `text` for its bounds.
pub fn interval(estimate: &Estimate, text: fn(f64) -> String) -> Option<String> {
    Some(format!("{}\u{a0}– {}", text(estimate.low?), text(estimate.high?)))
}

pub fn ratio_interval(ratio: &Estimate) -> Option<String> {
    let (low, high) = units::ratio_interval(ratio.low?, ratio.high?);
    Some(format!("{low}\u{a0}– {high}"))
}

/// Formats an optional number.
pub fn or_dash(estimate: Option<Estimate>, text: fn(f64) -> String) -> String {
    estimate.map_or_else(|| "–".to_owned(), |estimate| text(estimate.value))
}

/// The name of a callback without the common prefix.
pub fn callback(name: &str) -> &str {
    name.trim_start_matches("proxy_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (ns, text) in
            [(0.0, "0 ns"), (7.25, "7.25 ns"), (999.0, "999 ns"), (1234.0, "1.23 µs"), (81.2e6, "81.2 ms")]
        {
            assert_eq!(time(ns).replace('\u{a0}', " "), text);
        }
        assert_eq!(size(1_258_291.0).replace('\u{a0}', " "), "1.20 MiB");
        assert_eq!(count(1_234_567.0).replace('\u{202f}', " "), "1 234 567");
        assert_eq!(count(12.0), "12");
    }
}
