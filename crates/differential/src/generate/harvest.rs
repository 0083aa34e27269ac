//! Extracts words from the data segments of a wasm module: header names, paths and methods that no scenario contains.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// Maximum number of extracted words.
const MOST: usize = 400;

/// The words in a module's data, in order; none if the bytes are not a module.
///
/// Rust stores strings without separators, so this works best for plugins in other languages.
pub fn words(module: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for payload in Parser::new(0).parse_all(module) {
        let Ok(Payload::DataSection(section)) = payload else { continue };
        for data in section.into_iter().flatten() {
            for run in data.data.split(|byte| !byte.is_ascii_graphic()) {
                found.extend(std::str::from_utf8(run).ok().filter(|run| is_word(run)).map(str::to_owned));
            }
        }
    }
    found.into_iter().take(MOST).collect()
}

/// Whether a run of characters could be a header's name or value, a path or a method.
fn is_word(run: &str) -> bool {
    let plain = |run: &str| run.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte));
    (2..=40).contains(&run.len()) && plain(run) && run.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a word is spelled like a header name.
pub(super) fn is_header_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_data() {
        // (module (memory 1) (data (i32.const 0) "x-rare\00/admin\00no word!\00\ff"))
        let mut module = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01".to_vec();
        let data = b"x-rare\0/admin\0 !! \0\xff";
        module.extend([11, data.len() as u8 + 6, 1, 0, 0x41, 0, 0x0b, data.len() as u8]);
        module.extend(data);
        assert_eq!(words(&module), ["/admin", "x-rare"]);
        assert!(is_header_name("x-rare") && !is_header_name("/admin"));
        assert!(words(b"not a module").is_empty());
    }
}
