//! Reads lists of dependencies in the format of make, which cargo and C compilers write beside what they build.

use std::fs;
use std::path::{Path, PathBuf};

/// The files that the list names. Empty if it cannot be read: then nothing but the plugin's own files is known.
pub fn read(list: &Path) -> Vec<PathBuf> {
    parse(&fs::read_to_string(list).unwrap_or_default())
}

fn parse(text: &str) -> Vec<PathBuf> {
    let text = text.replace("\\\n", " ");
    let lists = text.lines().filter_map(|line| line.split_once(": "));
    lists.flat_map(|(_, files)| words(files)).collect()
}

/// Words separated by blanks; a blank inside of a name follows a backslash.
fn words(line: &str) -> Vec<PathBuf> {
    let protected = line.replace("\\ ", "\0");
    protected.split_whitespace().map(|word| word.replace('\0', " ").into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let text = "/t/lib x.a: /p/src/lib.rs /p/my\\ file.rs \\\n  /p/b.h\n\n/t/other: /p/c.h\n";
        let expected = ["/p/src/lib.rs", "/p/my file.rs", "/p/b.h", "/p/c.h"].map(PathBuf::from);
        assert_eq!(parse(text), expected);
        assert!(read(Path::new("/nonexistent.d")).is_empty());
    }
}
