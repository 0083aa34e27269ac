//! Metrics of plugins as a Prometheus page, under their own names.

use std::collections::BTreeSet;
use std::fmt;

use super::MetricValue;
use crate::observe::prometheus::Page;

/// Formats the metrics of plugins, from
/// [`InProcessMetrics::snapshot`](crate::host::InProcessMetrics::snapshot), as a page for
/// Prometheus.
///
/// A metric keeps the plugin's name, after the prefix, which may be empty: Envoy uses none here.
/// Characters that Prometheus does not allow in a name (anything but ASCII letters, digits, `_` and
/// `:`) become `_`, so `acme.requests` is `acme_requests`. A name that begins with a digit, or with
/// the loader's `dynvm_`, gets a `_` in front. If two metrics would have the same name, the later
/// one in `metrics` gets its type appended (`_counter`, `_gauge`, `_histogram`). A histogram
/// becomes a Prometheus summary without quantiles, because only number and sum of the samples are
/// kept.
pub fn plugin_metrics(metrics: &[(String, MetricValue)], prefix: &str) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_plugin_metrics(&mut page, metrics, prefix);
    page
}

/// Writes the page of [`plugin_metrics`] to a writer.
///
/// # Errors
///
/// Those of the writer.
pub fn write_plugin_metrics(to: &mut impl fmt::Write, metrics: &[(String, MetricValue)], prefix: &str) -> fmt::Result {
    let mut page = Page::new(to);
    let mut taken = BTreeSet::new();
    for (original, value) in metrics {
        let mut name = allowed(&format!("{prefix}{original}"));
        while !take(&mut taken, &name, value) {
            name = format!("{name}_{}", type_of(value).0);
        }
        let help = format!("Metric {original:?} of a plugin.");
        page.family(&name, type_of(value).1, &help)?;
        match value {
            MetricValue::Counter(value) => page.sample(&name, &[], value)?,
            MetricValue::Gauge(value) => page.sample(&name, &[], value)?,
            MetricValue::Histogram { count, sum } => {
                page.sample(&format!("{name}_sum"), &[], sum)?;
                page.sample(&format!("{name}_count"), &[], count)?;
            }
        }
    }
    page.finish()
}

/// The types of a metric in the ABI and in Prometheus.
fn type_of(value: &MetricValue) -> (&'static str, &'static str) {
    match value {
        MetricValue::Counter(_) => ("counter", "counter"),
        MetricValue::Gauge(_) => ("gauge", "gauge"),
        MetricValue::Histogram { .. } => ("histogram", "summary"),
    }
}

/// Replaces the characters that Prometheus does not allow in a name.
fn allowed(name: &str) -> String {
    let mut text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' }).collect();
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("dynvm_") {
        text.insert(0, '_');
    }
    text
}

/// Reserves the names of a metric and of its samples, if all are free.
fn take(taken: &mut BTreeSet<String>, name: &str, value: &MetricValue) -> bool {
    let mut names = vec![name.to_owned()];
    if let MetricValue::Histogram { .. } = value {
        names.extend([format!("{name}_sum"), format!("{name}_count")]);
    }
    let free = names.iter().all(|name| !taken.contains(name));
    if free {
        taken.extend(names);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_where_they_can_be() {
        let metrics = [
            ("a.b", MetricValue::Counter(3)),
            ("a.b", MetricValue::Gauge(-1)),
            ("a_b", MetricValue::Gauge(4)),
            ("9 lives", MetricValue::Gauge(9)),
            ("dynvm_vms", MetricValue::Gauge(7)),
            ("h\u{e9}", MetricValue::Histogram { count: 2, sum: 12 }),
            ("h__count", MetricValue::Counter(1)),
            ("", MetricValue::Counter(0)),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let page = plugin_metrics(&metrics, "");
        let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "a_b 3",
                "a_b_gauge -1",
                "a_b_gauge_gauge 4",
                "_9_lives 9",
                "_dynvm_vms 7",
                "h__sum 12",
                "h__count 2",
                "h__count_counter 1",
                "_ 0"
            ]
        );
        assert!(page.contains("# TYPE h_ summary\n"), "{page}");
        assert!(page.contains("# HELP a_b Metric \"a.b\" of a plugin.\n"), "{page}");
        assert!(plugin_metrics(&metrics[..1], "wasmcustom.").ends_with("\nwasmcustom_a_b 3\n"));
    }
}
