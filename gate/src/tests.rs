use crate::{Condition, Dimension, Error, Interval, Outcome};

fn dimension_of(name: &str) -> Option<Dimension> {
    match name {
        "a.time" | "b.time" => Some(Dimension::Time),
        "a.size" => Some(Dimension::Size),
        "ratio" | "zero" | "huge" => Some(Dimension::Number),
        _ => None,
    }
}

fn value_of(name: &str) -> Result<Interval, String> {
    let (low, value, high) = match name {
        "a.time" => (900.0, 1000.0, 1100.0),
        "b.time" => (1800.0, 2000.0, 2100.0),
        "a.size" => (2048.0, 2048.0, 2048.0),
        "ratio" => (0.47, 0.48, 0.52),
        "zero" => (-1.0, 0.5, 1.0),
        "huge" => (1e300, 1e300, 1e300),
        other => return Err(format!("{other} was not measured")),
    };
    Ok(Interval { low, value, high })
}

fn decide(text: &str) -> Result<Outcome, Error> {
    let condition = Condition::parse(text)?;
    condition.check(&dimension_of)?;
    condition.decide(&value_of)
}

#[test]
fn conditions_are_decided() {
    for (text, holds, certain) in [
        ("a.time > 0.4 * b.time", true, true),
        ("a.time > 0.7 * b.time", false, true),
        ("a.time > 0.5 * b.time", false, false),
        ("a.time >= 0.5 * b.time", true, false),
        ("a.time < 2us", true, true),
        ("a.time < 2 us and a.size <= 2 KiB", true, true),
        ("a.size > 2KiB", false, true),
        ("a.size < 2 KiB || not (a.time < 0.5us)", true, true),
        ("!a.time < 1us", true, false),
        ("a.time / b.time > 50%", false, false),
        ("ratio > 50 %", false, false),
        ("ratio > 0.52", false, true),
        ("1e3 * 1ns + 1us < 1ms", true, true),
        ("-a.time < 0ns", true, true),
        ("--a.time > 0 ns", true, true),
        ("a.time - b.time < 0s", true, true),
        // Precedence: `and` before `or`, `*` before `+`, from the left.
        ("1 > 0 or 1 > 0 and 1 < 0", true, true),
        ("1 + 2 * 3 >= 7 and 1 + 2 * 3 <= 7", true, true),
        ("8 / 4 / 2 <= 1 and 8 - 4 - 2 <= 2", true, true),
        (".5 < 1 and 1. > .5", true, true),
        // A divisor that may be zero: the estimate decides, and nothing is certain.
        ("1 / zero > 1", true, false),
    ] {
        let outcome = decide(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(outcome, Outcome { holds, certain }, "{text}");
    }
}

#[test]
fn mistakes_are_shown_in_their_place() {
    for (text, place, message) in [
        ("", "", "the condition is empty"),
        ("a.time >", "", "ends where a name, a number or a parenthesis is missing"),
        ("> a.time", ">", "a name, a number or a parenthesis is missing before this"),
        ("a.time b.time", "b.time", "an operator is missing before this"),
        ("(a.time > 1us", "(", "this parenthesis is not closed"),
        ("a.time > 1us)", ")", "this closes no parenthesis"),
        ("1us < a.time < 2us", "<", "comparisons do not chain"),
        ("a.time == 1us", "==", "\"==\" means nothing for measured values"),
        ("a.time != 1us", "!=", "\"!=\" means nothing for measured values"),
        ("a.time = 1us", "=", "\"=\" means nothing for measured values"),
        ("a.time > 1 & 2", "&", "'&' has no meaning here"),
        ("a.time > 1µs", "µs", "there is no unit \"µs\"; the units are ns, us, ms, s, B, KiB, MiB, GiB, %"),
        ("a.time > 1 parsec", "parsec", "there is no unit \"parsec\""),
        ("a.time > 1.2.3us", "1.2.3", "\"1.2.3\" is not a number"),
        ("a.time > 1e999 ns", "1e999", "\"1e999\" is not a number"),
        ("a.tmie > 1us", "a.tmie", "nothing is named a.tmie"),
        ("a.time > 5", "5", "a plain number cannot be compared with a time; give it a unit: ns, us, ms, s"),
        ("5 > a.size", "5", "give it a unit: B, KiB, MiB, GiB"),
        ("a.time > a.size", "a.size", "a size cannot be compared with a time"),
        ("a.time + a.size > 1us", "a.size", "a size cannot be added to or taken from a time"),
        ("a.time * b.time > 1us", "b.time", "a time times a time is not a value"),
        ("1 / a.time > 1us", "a.time", "a plain number divided by a time is not a value"),
        ("a.time", "a.time", "this is a value, not a condition"),
        ("a.time and ratio > 1", "a.time", "this is a value, not a condition"),
        ("not ratio", "ratio", "this is a value, not a condition"),
        ("(ratio > 1) > 1", "(ratio > 1)", "this is a condition, not a value"),
        ("-(ratio > 1) > 1", "(ratio > 1)", "this is a condition, not a value"),
        ("ratio / 0 > 1", "0", "this is zero"),
        ("huge * huge > 1", "huge * huge", "this is not a number within its interval"),
    ] {
        let error = decide(text).expect_err(text);
        assert_eq!(&text[error.at()], place, "{text}: {error}");
        assert!(error.what().contains(message), "{text}: {error}");
    }
}

#[test]
fn a_value_that_is_missing_is_an_error() {
    let condition = Condition::parse("ratio < 1 and instructions > 1").unwrap();
    condition.check(&|_| Some(Dimension::Number)).unwrap();
    let error = condition.decide(&value_of).unwrap_err();
    assert_eq!(error.to_string().lines().next(), Some("column 15: instructions was not measured"));
}

#[test]
fn an_error_is_printed_with_a_mark() {
    let error = decide("ratio > 0.5 and a.time > 5").unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("column 26: a plain number"), "{error}");
    assert_eq!(lines[1..], ["  ratio > 0.5 and a.time > 5", "                           ^"]);
    // Columns are counted in characters, and a line break does not break the line.
    let error = decide("ä.é >\n1").unwrap_err();
    assert_eq!(error.to_string(), "column 1: nothing is named ä.é\n  ä.é > 1\n  ^^^");
}

#[test]
fn nesting_and_length_are_limited() {
    let deep = format!("{}ratio > 1{}", "(".repeat(2000), ")".repeat(2000));
    assert!(Condition::parse(&deep).unwrap_err().what().contains("nests too deep"));
    assert!(Condition::parse(&"-".repeat(3000)).unwrap_err().what().contains("nests too deep"));
    assert!(Condition::parse(&"not ".repeat(1000)).unwrap_err().what().contains("nests too deep"));
    assert!(Condition::parse(&"1+".repeat(3000)).unwrap_err().what().contains("bytes long"));
    // Long but not deep.
    assert!(decide(&format!("{}1 > 1", "1+".repeat(2000))).unwrap().holds);
}

#[test]
fn names_are_listed_once_each() {
    let condition = Condition::parse("b.time > a.time and a.time > 0.5 * b.time").unwrap();
    assert_eq!(condition.names().into_iter().collect::<Vec<_>>(), ["a.time", "b.time"]);
    assert_eq!(condition.error_at("a.time", "x").at(), 9..15);
}

/// Whatever is random: no panic, places within the text and at characters, and what is estimated lies between the certain answers.
#[test]
fn any_text_is_taken() {
    let pieces = [
        "a.time", "ratio", "zero", "1", "0", "2us", "µ", "(", ")", "not", "and", "or", ">", "<=", "-", "/", "*", "+",
        " ",
    ];
    let mut state = 1u64;
    let mut decided = 0;
    for _ in 0..200_000 {
        let mut text = String::new();
        for _ in 0..(state >> 60) % 6 + 1 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text += pieces[(state >> 33) as usize % pieces.len()];
        }
        match decide(&text) {
            Ok(_) => decided += 1,
            Err(error) => assert!(text.get(error.at()).is_some() || text.is_empty(), "{text:?}: {error:?}"),
        }
    }
    assert!(decided > 10, "{decided} of them are conditions");
}
