//! The nodes of a document, with line numbers.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::read::ParseError;

/// Maximum nesting depth. A suite needs fewer than ten levels.
const MOST_LEVELS: usize = 64;

pub(super) struct Node {
    pub(super) content: Content,
    line: usize,
}

pub(super) enum Content {
    Null,
    Scalar(String),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    pub(super) fn mistake(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: Some(self.line), message: message.into() }
    }

    /// Name of the node's kind in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "null",
            Content::Scalar(_) => "a scalar",
            Content::Sequence(_) => "a sequence",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// A sequence or mapping that is still open.
struct Open {
    children: Vec<Rc<Node>>,
    is_mapping: bool,
    anchor: usize,
    line: usize,
}

/// Loads the first document of a text, if any.
pub(super) fn load(text: &str) -> Result<Option<Rc<Node>>, ParseError> {
    let mut open: Vec<Open> = Vec::new();
    // By the parser's anchor id; 0 means no anchor.
    let mut anchors: HashMap<usize, Rc<Node>> = HashMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| ParseError { line: Some(error.marker().line()), message: error.info().to_owned() })?;
        let line = span.start.line();
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = style == ScalarStyle::Plain && tag.is_none() && is_null(&text);
                let content = if is_null { Content::Null } else { Content::Scalar(text.into_owned()) };
                (Rc::new(Node { content, line }), anchor)
            }
            Event::Alias(anchor) => {
                let node = anchors.get(&anchor).cloned();
                let unknown = || ParseError { line: Some(line), message: "an alias inside its own anchor".to_owned() };
                (node.ok_or_else(unknown)?, 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if open.len() == MOST_LEVELS {
                    return Err(ParseError { line: Some(line), message: "this is nested too deeply".to_owned() });
                }
                let is_mapping = matches!(event, Event::MappingStart(..));
                open.push(Open { children: Vec::new(), is_mapping, anchor, line });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(closed) => close(closed),
                None => continue,
            },
            Event::StreamEnd => return Ok(None),
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => return Ok(Some(node)),
        }
    }
    Ok(None)
}

fn close(Open { children, is_mapping, anchor, line }: Open) -> (Rc<Node>, usize) {
    let content = if is_mapping {
        let mut children = children.into_iter();
        let mut entries = Vec::new();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            entries.push((key, value));
        }
        Content::Mapping(entries)
    } else {
        Content::Sequence(children)
    };
    (Rc::new(Node { content, line }), anchor)
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
