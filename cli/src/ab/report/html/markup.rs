//! Writes HTML and SVG; every text and attribute is escaped, because the API has no unescaped way in.

use std::fmt::{Display, Write as _};

/// A fragment of a page.
#[derive(Default)]
pub struct Markup(String);

/// Names and values of attributes.
pub type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Markup {
    /// An element with children.
    pub fn tag(&mut self, name: &'static str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Markup)) {
        self.open(name, attributes);
        inside(self);
        let _ = write!(self.0, "</{name}>");
    }

    /// An element with text.
    pub fn text_tag(&mut self, name: &'static str, attributes: Attributes<'_>, text: impl Display) {
        self.tag(name, attributes, |inside| inside.text(text));
    }

    /// A void element, e.g. `<meta>`.
    pub fn void_tag(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes);
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        let _ = write!(self.0, "<{name}");
        for (attribute, value) in attributes {
            let _ = write!(self.0, " {attribute}=\"");
            let _ = write!(Escaped(&mut self.0), "{value}");
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Escaped text.
    pub fn text(&mut self, text: impl Display) {
        let _ = write!(Escaped(&mut self.0), "{text}");
    }

    /// Static text that needs no escaping: the style sheet.
    pub fn own(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// JSON in a script element; `<` is written as `\u003c`, which JSON reads as the same character.
    pub fn json_script(&mut self, id: &'static str, json: &str) {
        let _ = write!(self.0, "<script type=\"application/json\" id=\"{id}\">");
        for character in json.chars() {
            match character {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(character));
                }
                other => self.0.push(other),
            }
        }
        self.0.push_str("</script>");
    }

    pub fn append(&mut self, other: Markup) {
        self.0.push_str(&other.0);
    }

    /// The finished page.
    pub fn finish(self) -> String {
        self.0
    }
}

/// Escapes text and attributes in double quotes.
struct Escaped<'a>(&'a mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Not allowed in HTML.
                '\0' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_the_escape() {
        let mut markup = Markup::default();
        markup.tag("p", &[("title", &"\"><script>&'")], |inside| inside.text("</p><b>&amp;\0"));
        markup.json_script("x", r#"{"a":"</script><!--&"}"#);
        assert_eq!(
            markup.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;&amp;&#39;\">&lt;/p&gt;&lt;b&gt;&amp;amp;\u{fffd}</p>\
             <script type=\"application/json\" id=\"x\">{\"a\":\"\\u003c/script\\u003e\\u003c!--\\u0026\"}</script>"
        );
    }
}
