//! Converts scalars by their text, however quoted, as yaml-cpp does.

use prost_reflect::{Kind, Value};

/// The value of a text for a field kind.
pub(super) fn value(text: &str, kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Bool => boolean(text).map(Value::Bool),
        Kind::Int32 => integer(text)?.try_into().ok().map(Value::I32),
        Kind::Int64 => integer(text)?.try_into().ok().map(Value::I64),
        Kind::Uint32 => integer(text)?.try_into().ok().map(Value::U32),
        Kind::Uint64 => integer(text)?.try_into().ok().map(Value::U64),
        Kind::String => Some(Value::String(text.to_owned())),
        Kind::Bytes => Some(Value::Bytes(text.as_bytes().to_vec().into())),
        Kind::Enum(names) => {
            let number = || names.get_value(integer(text)?.try_into().ok()?);
            let value = names.get_value_by_name(text).or_else(number)?;
            Some(Value::EnumNumber(value.number()))
        }
        _ => None,
    }
}

/// Parses decimal, hexadecimal (0x), or octal (0) numbers.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // A second sign is invalid.
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+')),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8).ok(),
        None => digits.parse::<u64>().ok(),
    };
    number.map(|number| if negative { -i128::from(number) } else { number.into() })
}

/// YAML 1.1's booleans: in lower case, upper case, or capitalized.
fn boolean(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let mut capital = lower.clone();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if ![lower.as_str(), &capital, &lower.to_ascii_uppercase()].contains(&text) {
        return None;
    }
    match lower.as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("12", Some(12)),
            (" -7 ", Some(-7)),
            ("+1", Some(1)),
            ("0x1F", Some(31)),
            ("017", Some(15)),
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("18446744073709551616", None),
            ("08", None),
            ("0x", None),
            ("--1", None),
            ("0x+1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn truth() {
        for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
            assert_eq!(boolean(text), Some(true), "{text}");
        }
        for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["yES", "tRue", "1", "", "é"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }
}
