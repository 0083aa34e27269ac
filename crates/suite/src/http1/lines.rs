//! The lines of a message's headers.

/// A header, without white space around its value. Its name is spelled as it was.
pub(super) struct Line<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Line<'_> {
    /// Whether it is of this name, which is in lower case.
    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A first line, with its end, and the header lines after it, up to the blank one.
pub(super) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let (first, rest) = message.split_at(line_end(message));
    let mut end = 0;
    while let line @ ([_, _, _, ..] | [_, b'\n']) = &rest[end..][..line_end(&rest[end..])]
        && line != b"\r\n"
    {
        end += line.len();
    }
    (first, &rest[..end])
}

/// Where the next line begins.
fn line_end(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |newline| newline + 1)
}

/// The headers of lines, of which one that begins with white space belongs to the one before it, line end and all.
pub(super) fn headers(mut lines: &[u8]) -> Result<Vec<Line<'_>>, String> {
    let mut headers = Vec::new();
    while !lines.is_empty() {
        let mut end = line_end(lines);
        while let Some(byte) = lines.get(end).filter(|byte| **byte <= b' ') {
            if !matches!(byte, b' ' | b'\t') {
                return Err("a line of the headers begins with a control character".to_owned());
            }
            end += line_end(&lines[end..]);
        }
        headers.push(header(&lines[..end])?);
        lines = &lines[end..];
    }
    Ok(headers)
}

fn header(line: &[u8]) -> Result<Line<'_>, String> {
    let line = trim_end(line);
    let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    let name = &line[..end];
    if name.is_empty() || name.iter().any(|byte| is_no_name(*byte)) {
        return Err(format!("{:?} is not the name of a header", String::from_utf8_lossy(name)));
    }
    // A line without a colon is a name without a value.
    Ok(Line { name, value: trim(line.get(end + 1..).unwrap_or_default()) })
}

/// Bytes that names do not have.
fn is_no_name(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || b"(),/;<=>?@[\\]{}".contains(&byte)
}

pub(super) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte > b' ').unwrap_or(text.len());
    trim_end(&text[start..])
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
    &text[..end]
}
