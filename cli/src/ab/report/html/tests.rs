use super::html;
use crate::ab::report::{Verdict, fixture};

/// A tag as it is written.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    end: bool,
}

/// Splits a page into tags. What is between them has no `<` or `>`, except inside of the script and the
/// style, which end at their own tags.
fn tags(page: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a document type");
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a stray >: {:.200}", &rest[..start]);
        let inside = &rest[start + 1..];
        let end = inside.find('>').expect("a tag is closed");
        let tag = &inside[..end];
        assert!(!tag.contains('<'), "a tag in a tag: {tag}");
        let (ending, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        tags.push(Tag { name, attributes, end: ending });
        rest = &inside[end + 1..];
        if !ending && matches!(name, "script" | "style") {
            rest = &rest[rest.find(&format!("</{name}>")).expect("it ends")..];
        }
    }
    tags
}

/// Values of attributes, in double quotes all of them.
fn attributes(text: &str) -> Vec<(&str, &str)> {
    let mut attributes = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("an attribute in quotes: {rest}"));
        let (value, after) = value.split_once('"').expect("quotes are closed");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "the name of an attribute: {name}");
        attributes.push((name, value));
        rest = after.trim_start();
    }
    attributes
}

#[test]
fn tags_are_balanced_and_known() {
    let page = html(&fixture::report()).unwrap();
    let mut open = Vec::new();
    for tag in tags(&page) {
        assert_ne!(tag.name, "b", "an element of a plugin's name");
        attributes(tag.attributes);
        match tag {
            Tag { name: "meta" | "link", end, .. } => assert!(!end),
            Tag { name, end: false, .. } => open.push(name),
            Tag { name, .. } => assert_eq!(open.pop(), Some(name), "what is closed is what was opened last"),
        }
    }
    assert!(open.is_empty(), "all is closed: {open:?}");
}

#[test]
fn nothing_is_fetched_and_no_script_runs() {
    let page = html(&fixture::report()).unwrap();
    for tag in tags(&page).iter().filter(|tag| !tag.end) {
        for (name, value) in attributes(tag.attributes) {
            assert!(!name.starts_with("on"), "a handler: {name}");
            assert!(!matches!(name, "src" | "srcset" | "action" | "data" | "background"), "{name}=\"{value}\"");
            assert!(name != "href" || value == "data:,", "{value}");
        }
        assert!(tag.name != "script" || tag.attributes == "type=\"application/json\" id=\"dynvm-ab\"");
    }
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("//"));
    assert!(page.contains("content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;; img-src data:\""));
}

#[test]
fn hostile_names_stay_text() {
    let page = html(&fixture::report()).unwrap();
    assert!(!page.contains("</script><b>") && !page.contains("<b>") && !page.contains("<!--"));
    assert!(page.contains("&lt;/script&gt;&lt;b&gt;&quot;&#39;&gt;&lt;!--&amp;"));
    assert_eq!(page.matches("</script>").count(), 1);
}

#[test]
fn the_raw_data_is_the_report() {
    let report = fixture::report();
    let page = html(&report).unwrap();
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"dynvm-ab\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(data, whole);
}

#[test]
fn figures_have_a_text_for_those_who_cannot_see_them() {
    let page = html(&fixture::report()).unwrap();
    let figures: Vec<_> = tags(&page).into_iter().filter(|tag| tag.name == "svg" && !tag.end).collect();
    assert!(figures.len() >= 14, "seven figures, each for wide and narrow screens: {}", figures.len());
    for figure in figures {
        let attributes = attributes(figure.attributes);
        assert!(attributes.contains(&("role", "img")));
        let label = attributes.iter().find(|(name, _)| *name == "aria-label").unwrap().1;
        assert!(label.len() > 20, "{label}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""), "coordinates are numbers");
}

#[test]
fn what_is_missing_is_said() {
    let mut report = fixture::report();
    report.measured = None;
    report.not_measured = Some("a VM failed".to_owned());
    report.verdict = Verdict::Identical;
    let page = html(&report).unwrap();
    assert!(page.contains("Not measured: a VM failed."));
    assert!(!page.contains("<svg"));

    let mut report = fixture::report();
    let numbers = report.measured.as_mut().unwrap();
    numbers.sweep = None;
    numbers.sweep_unavailable = Some("the scenario has no request".to_owned());
    numbers.whole.instructions = None;
    numbers.whole.instructions_unavailable = Some("no counter".to_owned());
    numbers.memory_per_vm_bytes = crate::ab::report::numbers::Sides { native: None, wasm: None };
    numbers.traffic.ratio.p50 = None;
    let page = html(&report).unwrap();
    for part in ["Not measured: the scenario has no request.", "not available, no counter", "Memory per VM: unknown"] {
        assert!(page.contains(part), "{part}");
    }
}
