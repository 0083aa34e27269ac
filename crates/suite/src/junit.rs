//! Results as JUnit XML, which CI services display.

use std::fmt::Write as _;

use crate::TestResult;

/// The results of one suite: one test case per test and engine, with the class `Test_<engine>`.
pub fn report(suite: &str, results: &[TestResult]) -> String {
    let failed = results.iter().filter(|result| !result.passed()).count();
    let time: f64 = results.iter().map(|result| result.time.as_secs_f64()).sum();
    let counts = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{time:.6}\"", results.len());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{}\" {counts}>\n",
        escape(suite)
    );
    for result in results {
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "    <testcase classname=\"Test_{}\" name=\"{}\" time=\"{:.6}\"",
            result.engine,
            escape(&result.name),
            result.time.as_secs_f64()
        );
        if result.passed() {
            xml.push_str("/>\n");
            continue;
        }
        xml.push_str(">\n");
        for failure in &result.failures {
            let text = format!("[{}] {}", failure.phase, failure.message);
            let first = text.lines().next().unwrap_or_default();
            let _ = writeln!(xml, "      <failure message=\"{}\">{}</failure>", escape(first), escape(&text));
        }
        xml.push_str("    </testcase>\n");
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Escapes text for an attribute or an element. Characters not allowed in XML are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(char),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;

    #[test]
    fn passed_and_failed() {
        let result = |name: &str, failures| TestResult {
            name: name.to_owned(),
            engine: dynvm::BackendKind::Wasm,
            failures,
            observed: Vec::new(),
            time: std::time::Duration::from_millis(1500),
        };
        let failure = Failure { phase: "request_headers", message: "header \"a\" is <1>\n\u{1} & more".to_owned() };
        assert_eq!(
            report("s&t", &[result("one", Vec::new()), result("two", vec![failure])]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites tests=\"2\" failures=\"1\" errors=\"0\" time=\"3.000000\">\n\
             \x20 <testsuite name=\"s&amp;t\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"3.000000\">\n\
             \x20   <testcase classname=\"Test_wasm\" name=\"one\" time=\"1.500000\"/>\n\
             \x20   <testcase classname=\"Test_wasm\" name=\"two\" time=\"1.500000\">\n\
             \x20     <failure message=\"[request_headers] header &quot;a&quot; is &lt;1&gt;\">\
             [request_headers] header &quot;a&quot; is &lt;1&gt;\n\u{fffd} &amp; more</failure>\n\
             \x20   </testcase>\n  </testsuite>\n</testsuites>\n"
        );
    }
}
