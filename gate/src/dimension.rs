//! What a value is a number of.

use std::fmt;

/// What a value is a number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A plain number: ratios, counts.
    Number,
    /// A time, in nanoseconds.
    Time,
    /// A size, in bytes.
    Size,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dimension::Number => "a plain number",
            Dimension::Time => "a time",
            Dimension::Size => "a size",
        })
    }
}

/// The units, what they count, and how many of it.
const UNITS: [(&str, Dimension, f64); 9] = [
    ("ns", Dimension::Time, 1.0),
    ("us", Dimension::Time, 1e3),
    ("ms", Dimension::Time, 1e6),
    ("s", Dimension::Time, 1e9),
    ("B", Dimension::Size, 1.0),
    ("KiB", Dimension::Size, 1024.0),
    ("MiB", Dimension::Size, 1_048_576.0),
    ("GiB", Dimension::Size, 1_073_741_824.0),
    ("%", Dimension::Number, 0.01),
];

/// A unit by its name.
pub fn unit(name: &str) -> Option<(Dimension, f64)> {
    UNITS.iter().find(|(known, ..)| *known == name).map(|(_, dimension, factor)| (*dimension, *factor))
}

/// The units that fit a dimension, for a message.
pub fn units_of(dimension: Dimension) -> String {
    let names: Vec<&str> = UNITS.iter().filter(|(_, of, _)| *of == dimension).map(|(name, ..)| *name).collect();
    names.join(", ")
}

/// All units, for a message.
pub fn all_units() -> String {
    UNITS.map(|(name, ..)| name).join(", ")
}
