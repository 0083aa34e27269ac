//! Pages of the text format.

use std::collections::HashSet;
use std::fmt::{self, Display, Write};
use std::time::Duration;

/// A page under construction: metric families in the order of their first mention, each with its
/// samples.
///
/// Prometheus rejects a page that has a family or a series twice. Several collectors can still
/// write to one family: their samples are merged, and of samples with the same name and labels the
/// first is kept.
pub struct Page<'a> {
    to: &'a mut dyn Write,
    families: Vec<Family>,
    /// Index of the family that the next sample belongs to.
    current: usize,
    series: HashSet<String>,
}

/// A source of metrics outside the loader: a rollout, or the embedder.
///
/// ```
/// use std::fmt;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use dynvm::observe::prometheus::Page;
/// use dynvm::observe::{Collect, Observer};
///
/// struct Connections(AtomicU64);
///
/// impl Collect for Connections {
///     fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
///         page.family("proxy_connections", "gauge", "Open connections.")?;
///         page.sample("proxy_connections", &[], self.0.load(Ordering::Relaxed))
///     }
/// }
///
/// let observer = Observer::new();
/// let connections = Arc::new(Connections(AtomicU64::new(3)));
/// let collector: Arc<dyn Collect> = connections.clone();
/// observer.register(Arc::downgrade(&collector));
/// assert!(observer.prometheus().contains("\nproxy_connections 3\n"));
/// ```
pub trait Collect: Send + Sync {
    /// Writes the current metrics.
    ///
    /// # Errors
    ///
    /// Those of the page.
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result;
}

#[derive(Default)]
struct Family {
    name: String,
    text: String,
}

impl<'a> Page<'a> {
    pub(crate) fn new(to: &'a mut dyn Write) -> Page<'a> {
        // The first entry takes samples that precede any family.
        Page { to, families: vec![Family::default()], current: 0, series: HashSet::new() }
    }

    /// Starts a family of metrics, or continues it if the page has it already; its samples follow.
    /// `kind` is `counter`, `gauge`, `histogram`, `summary` or `untyped`.
    ///
    /// # Errors
    ///
    /// None today, because a page is kept in memory until it is complete.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        if let Some(known) = self.families.iter().position(|family| family.name == name) {
            self.current = known;
            return Ok(());
        }
        let mut text = String::new();
        writeln!(text, "# HELP {name} {}", Escaped { text: help, quotes: false })?;
        writeln!(text, "# TYPE {name} {kind}")?;
        self.current = self.families.len();
        self.families.push(Family { name: name.to_owned(), text });
        Ok(())
    }

    /// Adds a sample to the current family. Its name is that of the family; in histograms and
    /// summaries with the suffix `_bucket`, `_sum` or `_count`.
    ///
    /// # Errors
    ///
    /// As [`family`](Page::family).
    pub fn sample(&mut self, name: &str, labels: &[(&str, String)], value: impl Display) -> fmt::Result {
        let mut series = name.to_owned();
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(series, "{before}{label}=\"{}\"", Escaped { text, quotes: true })?;
        }
        if !labels.is_empty() {
            series.push('}');
        }
        if self.series.contains(&series) {
            return Ok(());
        }
        writeln!(self.families[self.current].text, "{series} {value}")?;
        self.series.insert(series);
        Ok(())
    }

    /// Writes the page to its writer.
    pub(crate) fn finish(self) -> fmt::Result {
        self.families.iter().try_for_each(|family| self.to.write_str(&family.text))
    }
}

/// Text with escaped backslashes and line ends; in a label's value, also quotes.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A duration in seconds: exact, without trailing zeros.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_series_appear_once() {
        let mut text = String::new();
        let mut page = Page::new(&mut text);
        let label = |value: &str| [("plugin", value.to_owned())];
        for (plugin, value) in [("a", 1), ("b", 2), ("a", 3)] {
            page.family("x_total", "counter", "X.").unwrap();
            page.sample("x_total", &label(plugin), value).unwrap();
            page.family("y", "gauge", "Y.").unwrap();
            page.sample("y", &[("plugin", plugin.to_owned()), ("n", value.to_string())], 0).unwrap();
        }
        page.finish().unwrap();
        assert_eq!(
            text,
            "# HELP x_total X.\n# TYPE x_total counter\nx_total{plugin=\"a\"} 1\nx_total{plugin=\"b\"} 2\n\
             # HELP y Y.\n# TYPE y gauge\ny{plugin=\"a\",n=\"1\"} 0\ny{plugin=\"b\",n=\"2\"} 0\ny{plugin=\"a\",n=\"3\"} 0\n"
        );
    }

    #[test]
    fn seconds_are_exact() {
        let text = |nanoseconds| Seconds(Duration::from_nanos(nanoseconds)).to_string();
        assert_eq!([0, 64, 1_500_000_000, 10_000_000_000].map(text), ["0", "0.000000064", "1.5", "10"]);
    }
}
