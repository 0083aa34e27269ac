//! The paths that determine which file a path resolves to.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The kernel's limit on links.
const MAX_LINKS: usize = 40;

/// Each symbolic link on an absolute path, followed by the final file, whether or not it exists.
pub(super) fn on_the_way(path: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let mut at = PathBuf::new();
    let mut rest: VecDeque<OsString> = parts(path).collect();
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        match std::fs::read_link(&next) {
            Ok(target) if names.len() < MAX_LINKS => {
                names.push(next);
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(part);
                }
            }
            _ => at = next,
        }
    }
    names.push(at);
    names
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter(|part| *part != Component::CurDir).map(|part| part.as_os_str().to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        std::fs::create_dir(at("..1")).unwrap();
        std::fs::write(at("..1/p.so"), "").unwrap();
        symlink("..1", at("..data")).unwrap();
        symlink("..data/p.so", at("p.so")).unwrap();
        assert_eq!(on_the_way(&at("p.so")), [at("p.so"), at("..data"), at("..1/p.so")]);
        // An absolute link, `.` and `..`, and a missing file.
        symlink(at("..data"), at("..1/back")).unwrap();
        let path = at("..1/./back/../none");
        assert_eq!(on_the_way(&path), [at("..1/back"), at("..data"), at("none")]);
        // Resolution of a link cycle ends.
        symlink("circle", at("circle")).unwrap();
        assert_eq!(on_the_way(&at("circle")).len(), MAX_LINKS + 1);
    }
}
