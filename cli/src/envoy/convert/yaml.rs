//! YAML, and JSON with it, as nodes that know their place in the text.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Maximum nesting depth. Envoy's configurations have about thirty levels.
const MOST_LEVELS: usize = 256;

/// A position in a text, both numbers counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An error with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    pub message: String,
}

#[derive(Debug)]
pub struct Node {
    pub content: Content,
    /// Its bytes. Of a collection: from its first to its last character that is not a comment.
    pub range: Range<usize>,
    pub place: Place,
}

#[derive(Debug)]
pub enum Content {
    Scalar(String),
    Sequence(Vec<Child>),
    Mapping(Vec<(Child, Child)>),
}

/// A node where it is used: an alias shares its node with the anchor, and has a place of its own.
#[derive(Clone, Debug)]
pub struct Child {
    pub node: Rc<Node>,
    /// The bytes here: of the node, or of the alias.
    pub range: Range<usize>,
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[(Child, Child)] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Key and value of a mapping's field, under any of its names.
    pub fn entry(&self, names: &[&str]) -> Option<&(Child, Child)> {
        self.entries().iter().find(|(key, _)| key.node.text().is_some_and(|text| names.contains(&text)))
    }

    /// The value of a mapping's field, under any of its names.
    pub fn field(&self, names: &[&str]) -> Option<&Rc<Node>> {
        self.entry(names).map(|(_, value)| &value.node)
    }

    /// Whether a collection is written with brackets, as in JSON.
    pub fn is_flow(&self, text: &str) -> bool {
        is_bracket(&text[self.range.clone()])
    }

    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { place: self.place, message: message.into() }
    }
}

/// A collection that is still open.
struct Open {
    children: Vec<Child>,
    is_mapping: bool,
    anchor: usize,
    start: Marker,
}

/// Byte offsets of the parser's positions, which count characters.
struct Offsets(Vec<usize>);

impl Offsets {
    fn of(text: &str) -> Offsets {
        Offsets(text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect())
    }

    fn range(&self, start: Marker, end: Marker) -> Range<usize> {
        let offset = |marker: Marker| self.0[marker.index().min(self.0.len() - 1)];
        offset(start)..offset(end).max(offset(start))
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// The text of a node behind its anchor and tag.
fn behind_properties(text: &str) -> &str {
    let mut text = text;
    while text.starts_with(['&', '!']) {
        text = text.trim_start_matches(|c: char| !c.is_whitespace()).trim_start();
    }
    text
}

/// Whether a collection's text begins with a bracket.
fn is_bracket(text: &str) -> bool {
    behind_properties(text).starts_with(['{', '['])
}

/// The parser counts a comment behind a quoted text as a part of it.
fn without_comment(text: &str, range: Range<usize>) -> Range<usize> {
    let node = &text[range.clone()];
    let quoted = behind_properties(node);
    let start = range.end - quoted.len();
    let mut characters = quoted.char_indices();
    let Some((_, quote)) = characters.next() else { return range };
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => drop(characters.next()),
            // Two single quotes stand for one: they open a text again.
            _ if character == quote && !(quote == '\'' && quoted[offset + 1..].starts_with('\'')) => {
                return range.start..start + offset + 1;
            }
            '\'' if quote == '\'' => drop(characters.next()),
            _ => {}
        }
    }
    range
}

/// The roots of all documents of a text.
pub fn load(text: &str) -> Result<Vec<Rc<Node>>, Mistake> {
    let offsets = Offsets::of(text);
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    // By the parser's anchor id; 0 means no anchor.
    let mut anchors: HashMap<usize, Rc<Node>> = HashMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Mistake { place: place(*error.marker()), message: error.info().to_owned() })?;
        let here = offsets.range(span.start, span.end);
        // Without the line breaks that a block of text ends with.
        let here = here.start..here.start + text[here.clone()].trim_end().len();
        let at = |content, range| Rc::new(Node { content, range, place: place(span.start) });
        let (child, anchor) = match event {
            Event::Scalar(value, style, anchor, _) => {
                let here = match style {
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => without_comment(text, here),
                    _ => here,
                };
                let node = at(Content::Scalar(value.into_owned()), here.clone());
                (Child { node, range: here }, anchor)
            }
            Event::Alias(anchor) => {
                let unknown =
                    || Mistake { place: place(span.start), message: "an alias inside its own anchor".to_owned() };
                (Child { node: anchors.get(&anchor).cloned().ok_or_else(unknown)?, range: here }, 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if open.len() == MOST_LEVELS {
                    return Err(Mistake { place: place(span.start), message: "nested too deeply".to_owned() });
                }
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open { children: Vec::new(), is_mapping, anchor, start: span.start });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(closed) => {
                    let start = offsets.range(closed.start, closed.start).start;
                    let is_flow = is_bracket(&text[start..]);
                    // The end of a block is where the next token is, behind comments.
                    let last = closed.children.last().map_or(start, |child| child.range.end);
                    let range = start..if is_flow { here.end } else { last.max(start) };
                    let place = place(closed.start);
                    let anchor = closed.anchor;
                    let node = Rc::new(Node { content: content(closed), range: range.clone(), place });
                    (Child { node, range }, anchor)
                }
                None => continue,
            },
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, child.node.clone());
        }
        match open.last_mut() {
            Some(parent) => parent.children.push(child),
            None => documents.push(child.node),
        }
    }
    Ok(documents)
}

fn content(closed: Open) -> Content {
    if !closed.is_mapping {
        return Content::Sequence(closed.children);
    }
    let mut children = closed.children.into_iter();
    let mut entries = Vec::new();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        entries.push((key, value));
    }
    Content::Mapping(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of each field of a document's root.
    fn fields(text: &str) -> Vec<(&str, &str)> {
        let documents = load(text).unwrap();
        documents[0]
            .entries()
            .iter()
            .map(|(key, value)| (&text[key.range.clone()], &text[value.range.clone()]))
            .collect()
    }

    #[test]
    fn ranges_cover_what_is_written() {
        let text = "\u{feff}# ü\n\"a\" : 'x''\\'  # 'c'\nb: {c: [1, 2] }\nd:\n  - e\n  # no part of it\n\nf: |\n  one\n\n  two\n\ng: &h \"\\\"\" # c\nj: *h # c\n";
        let expected = [
            ("\"a\"", "'x''\\'"),
            ("b", "{c: [1, 2] }"),
            ("d", "- e"),
            ("f", "one\n\n  two"),
            ("g", "\"\\\"\""),
            ("j", "*h"),
        ];
        for ((key, value), expected) in fields(text).into_iter().zip(expected) {
            assert_eq!((key, value.strip_prefix("&h ").unwrap_or(value)), expected, "{text}");
        }
    }

    #[test]
    fn several_documents_and_json() {
        let text = "a: 1\n---\n{\"b\": {\"c\": [true]}}\n";
        let documents = load(text).unwrap();
        assert_eq!(documents.len(), 2);
        let inner = documents[1].field(&["b"]).unwrap();
        assert!(inner.is_flow(text) && !documents[0].is_flow(text));
        assert_eq!(inner.place, Place { line: 3, column: 7 });
    }

    #[test]
    fn mistakes_have_a_place() {
        let mistake = load("a: [1\nb: 2\n").unwrap_err();
        assert_eq!(mistake.place.line, 2, "{mistake:?}");
        assert!(load(&"[".repeat(5000)).is_err());
    }
}
