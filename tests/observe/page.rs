//! A strict reader of Prometheus' text format: it panics on an invalid page.

use std::collections::{BTreeMap, BTreeSet};

/// Names and values.
type Labels = Vec<(String, String)>;

/// A family of metrics.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub fn parse(page: &str) -> BTreeMap<String, Family> {
    assert!(page.is_empty() || page.ends_with('\n'), "the last line has an end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut lines = page.lines();
    let mut current = String::new();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("HELP has a name and a text");
            assert!(is_name(name), "{name:?} is no name");
            assert!(!help.is_empty());
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")).map(str::to_owned));
            let kind = kind.unwrap_or_else(|| panic!("the TYPE of {name} follows its HELP"));
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind.as_str()), "{kind}");
            current = name.to_owned();
            let family = Family { kind, samples: Vec::new() };
            assert!(families.insert(current.clone(), family).is_none(), "{name} is there twice");
            continue;
        }
        assert!(!line.starts_with('#'), "unexpected comment {line:?}");
        let sample = sample(line);
        let family = families.get_mut(&current).expect("a family comes before its samples");
        let suffix = sample.name.strip_prefix(&current).unwrap_or_else(|| panic!("{line:?} is not of {current}"));
        let suffixes: &[&str] = match family.kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line:?} is no {}", family.kind);
        assert_eq!(sample.label("le").is_some(), suffix == "_bucket", "{line:?}");
        let mut labels = sample.labels.clone();
        labels.sort();
        assert!(labels.windows(2).all(|pair| pair[0].0 != pair[1].0), "a label twice: {line:?}");
        assert!(series.insert((sample.name.clone(), labels)), "a sample twice: {line:?}");
        family.samples.push(sample);
    }
    for (name, family) in families.iter().filter(|(_, family)| family.kind == "histogram") {
        check_histograms(name, family);
    }
    families
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(allowed) && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line:?} has no value"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{name:?} is no name");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label has a value in quotes");
            assert!(is_name(label) && !label.contains(':'), "{label:?} is no label");
            let (value, after) = unescape(after);
            labels.push((label.to_owned(), value));
            match after.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                (other, _) => panic!("{other:?} after a label in {line:?}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no space before the value in {line:?}"));
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("{value:?} is no number")) }
}

/// The value of a label up to its closing quote, and the rest.
fn unescape(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("\\{other:?} is no escape"),
            }),
            other => value.push(other),
        }
    }
    panic!("a label's value without an end: {text:?}");
}

/// Bounds and counts increase, and the last bucket counts all samples.
fn check_histograms(name: &str, family: &Family) {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for sample in &family.samples {
        let labels: Labels = sample.labels.iter().filter(|(label, _)| label != "le").cloned().collect();
        if let Some(le) = sample.label("le") {
            buckets.entry(labels).or_default().push((le.parse().expect("a bound is a number"), sample.value));
        } else if sample.name.ends_with("_count") {
            counts.insert(labels, sample.value);
        }
    }
    assert_eq!(buckets.len(), counts.len(), "{name}: buckets and a count for each");
    for (labels, buckets) in buckets {
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{name} {labels:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, counts[&labels])), "{name} {labels:?}");
    }
}
