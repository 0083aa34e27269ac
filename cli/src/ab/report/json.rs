//! The report as JSON.

use super::Report;

///
/// # Errors
///
/// Never in practice: all numbers are finite.
pub fn json(report: &Report) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)?)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;
    use crate::ab::report::fixture;

    /// The documented types: their fields with the fields' types.
    type Types<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>;

    /// Reads the tables under the heading "The JSON": a third-level heading is a type, a row
    /// documents one or more of its fields.
    fn documented() -> Types<'static> {
        let page = include_str!("../../../../docs/ab-report.md");
        let (_, tables) = page.split_once("\n## The JSON\n").unwrap();
        let mut types = Types::new();
        for section in tables.split("\n### ").skip(1) {
            let (name, rows) = section.split_once('\n').unwrap();
            let fields: &mut BTreeMap<_, _> = types.entry(name).or_default();
            for row in rows.lines().filter(|row| row.starts_with("| `")) {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                fields.extend(cells[1].split(", ").map(|field| (field.trim_matches('`'), cells[2])));
            }
        }
        types
    }

    /// Checks a value against a type and records the fields reached.
    fn check<'a>(types: &Types<'a>, ty: &'a str, value: &Value, place: &str, reached: &mut BTreeSet<&'a str>) {
        if let Some(ty) = ty.strip_suffix(" or null") {
            if !value.is_null() {
                check(types, ty, value, place, reached);
            }
        } else if let Some(ty) = ty.strip_prefix("list of ") {
            let items = value.as_array().unwrap_or_else(|| panic!("{place} is a list: {value}"));
            items.iter().for_each(|item| check(types, ty, item, &format!("{place}[]"), reached));
        } else if let Some(fields) = types.get(ty) {
            reached.insert(ty);
            let object = value.as_object().unwrap_or_else(|| panic!("{place} is an object: {value}"));
            let (there, known): (BTreeSet<&str>, BTreeSet<&str>) =
                (object.keys().map(String::as_str).collect(), fields.keys().copied().collect());
            assert_eq!(there, known, "the fields of {place}, a {ty}");
            for (field, ty) in fields {
                check(types, ty, &object[*field], &format!("{place}.{field}"), reached);
            }
        } else {
            let fits = match ty {
                "text" => value.is_string(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                other => panic!("{place} is of a type that the page does not have: {other}"),
            };
            assert!(fits, "{place} is a {ty}: {value}");
        }
    }

    #[test]
    fn the_documentation_has_every_field() {
        let report = serde_json::from_str(&json(&fixture::report()).unwrap()).unwrap();
        let types = documented();
        let mut reached = BTreeSet::new();
        check(&types, "Report", &report, "report", &mut reached);
        assert_eq!(reached, types.keys().copied().collect(), "every type is used");
        assert_eq!(report["schema"], "dynvm-ab/1");
    }

    #[test]
    fn numbers_survive() {
        let report: Value = serde_json::from_str(&json(&fixture::report()).unwrap()).unwrap();
        let stream = &report["measured"]["stream"];
        let p50 = stream["native"]["p50_ns"]["value"].as_f64().unwrap();
        assert!((950.0..1050.0).contains(&p50), "{stream}");
        assert!((stream["ratio"]["p50"]["value"].as_f64().unwrap() - 0.5).abs() < 0.01);
        let buckets = stream["native"]["buckets"].as_array().unwrap();
        let counted: u64 = buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
        assert_eq!(Some(counted), stream["native"]["count"].as_u64());
        assert_eq!(report["plugin"], fixture::HOSTILE);
    }
}
