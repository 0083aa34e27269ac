//! Policies as TOML files: see `docs/trust-policy.md`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::file::open;
use super::{FileFacts, PublicKey, Require, Rules, TrustPolicy};

/// Size limit of a policy file in bytes: tens of thousands of digests.
const POLICY_LIMIT: usize = 4 << 20;

/// Size limit of a key file in bytes. A key has two lines, one of which is a comment.
const KEY_LIMIT: usize = 4096;

/// Error of parsing a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", self.place())]
#[non_exhaustive]
pub struct PolicyError {
    /// The policy file, if it was read from one.
    pub file: Option<PathBuf>,
    /// The line of the error, counted from 1, if it is in one line.
    pub line: Option<usize>,
    /// The error, and the remedy.
    pub what: String,
}

impl TrustPolicy {
    /// Reads a policy from a file. Relative paths in it start at the folder of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not a policy. Or it allows native code, and a user other than
    /// root and the one of this process can change it or a key file that it names: as the owner of
    /// the file or of a folder above it, or with write permission there.
    pub fn from_file(path: impl AsRef<Path>) -> Result<TrustPolicy, PolicyError> {
        let path = path.as_ref();
        let named = |error: PolicyError| PolicyError { file: Some(path.to_owned()), ..error };
        let bytes = read(path, POLICY_LIMIT);
        let (bytes, facts) = bytes.map_err(|error| named(PolicyError::new(None, cannot_be_read(&error))))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = line_of(error.as_bytes(), valid);
            named(PolicyError::new(Some(line), "this is not text in UTF-8; a policy is a TOML file".to_owned()))
        })?;
        // Absolute, so that a later change of the working directory does not change the meaning.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let base = absolute.parent().unwrap_or(Path::new("/"));
        let policy = TrustPolicy::parse(&text, base).map_err(named)?;
        match changeable(&facts) {
            Some(how) if policy.native.allow => {
                Err(named(PolicyError::new(None, format!("it allows native code, but {how}"))))
            }
            _ => Ok(policy),
        }
    }

    /// Parses a policy. Relative paths in it start at `base_dir`. Key files that it names are read.
    ///
    /// # Errors
    ///
    /// The line, and the error in it. Never panics.
    pub fn parse(text: &str, base_dir: &Path) -> Result<TrustPolicy, PolicyError> {
        let raw: RawPolicy = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text.as_bytes(), span.start));
            let message = error.message().trim().replace('\n', ", ");
            // The message about a wrong type does not name the key, but the line does.
            let source = line.and_then(|line| text.lines().nth(line - 1)).map(str::trim).unwrap_or_default();
            let source = source.chars().take(80).collect::<String>();
            PolicyError::new(line, if source.is_empty() { message } else { format!("{message}, in `{source}`") })
        })?;
        let mut policy = TrustPolicy::default();
        let native_allowed = raw.native.allow == Some(true);
        let context = Context { text, base_dir, native_allowed };
        raw.native.into_rules(&mut policy.native, &context)?;
        raw.wasm.into_rules(&mut policy.wasm, &context)?;
        Ok(policy)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(default)]
    native: RawRules,
    #[serde(default)]
    wasm: RawRules,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    allow: Option<bool>,
    require: Option<Require>,
    sha256: Option<RawList<String>>,
    keys: Option<RawList<String>>,
    owners: Option<RawList<RawOwner>>,
    only_owner_writes: Option<bool>,
    directories: Option<RawList<PathBuf>>,
}

type RawList<T> = Spanned<Vec<Spanned<T>>>;

#[derive(Deserialize)]
#[serde(untagged, expecting = "a user's name or number")]
enum RawOwner {
    Uid(u32),
    Name(String),
}

struct Context<'a> {
    text: &'a str,
    base_dir: &'a Path,
    native_allowed: bool,
}

impl RawRules {
    fn into_rules(self, rules: &mut Rules, context: &Context<'_>) -> Result<(), PolicyError> {
        rules.allow = self.allow.unwrap_or(rules.allow);
        rules.require = self.require.unwrap_or_default();
        rules.sha256 = context.list("sha256", self.sha256, |text| text.parse())?;
        rules.keys = context.list("keys", self.keys, |text| context.key(&text))?;
        rules.owners = context.list("owners", self.owners, |owner| match owner {
            RawOwner::Uid(uid) => Ok(uid),
            RawOwner::Name(name) => uid_of(&name),
        })?;
        rules.only_owner_writes = self.only_owner_writes.unwrap_or_default();
        rules.directories =
            context.list("directories", self.directories, |directory| Ok(context.base_dir.join(directory)))?;
        Ok(())
    }
}

impl Context<'_> {
    /// Parses each item of a list.
    fn list<T, U>(
        &self,
        key: &str,
        list: Option<RawList<T>>,
        mut read: impl FnMut(T) -> Result<U, String>,
    ) -> Result<Option<Vec<U>>, PolicyError> {
        let Some(list) = list else { return Ok(None) };
        let error = |at: usize, what: String| PolicyError::new(Some(line_of(self.text.as_bytes(), at)), what);
        let at = list.span().start;
        let items = list.into_inner();
        if items.is_empty() {
            let what = format!(
                "`{key}` is empty, which nothing satisfies: list something, leave it out, or set allow = false"
            );
            return Err(error(at, what));
        }
        let mut read_item = |item: Spanned<T>| {
            let at = item.span().start;
            read(item.into_inner()).map_err(|what| error(at, format!("in `{key}`: {what}")))
        };
        items.into_iter().map(&mut read_item).collect::<Result<Vec<U>, _>>().map(Some)
    }

    /// Parses a key, or reads the file that has it. The base64 of a key contains no full stop, so
    /// the two cannot be confused.
    fn key(&self, text: &str) -> Result<PublicKey, String> {
        if !text.ends_with(".pub") {
            return text.parse().map_err(|error| format!("{error}; the name of a key file ends with .pub"));
        }
        let path = self.base_dir.join(text);
        let named = |what: String| format!("{}: {what}", path.display());
        let (bytes, facts) = read(&path, KEY_LIMIT).map_err(|error| named(cannot_be_read(&error)))?;
        if let Some(how) = changeable(&facts).filter(|_| self.native_allowed) {
            return Err(named(format!("the policy allows native code, but {how}")));
        }
        String::from_utf8_lossy(&bytes).parse().map_err(named)
    }
}

impl PolicyError {
    fn new(line: Option<usize>, what: String) -> PolicyError {
        PolicyError { file: None, line, what }
    }

    fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
            (Some(file), None) => format!("{}: ", file.display()),
            (None, Some(line)) => format!("line {line}: "),
            (None, None) => String::new(),
        }
    }
}

/// The way in which users other than root and the one of this process can change a file. `None`:
/// they cannot, or the system has no owners and modes.
fn changeable(facts: &FileFacts) -> Option<String> {
    #[cfg(unix)]
    let user = uzers::get_effective_uid();
    #[cfg(not(unix))]
    let user = 0;
    if let Some((node, access)) = facts.owned_by_others(&[0, user]).find_map(|node| Some((node, node.access?))) {
        let path = node.path.display();
        return Some(format!(
            "{path} belongs to uid {}; chown it to root or to uid {user}, which runs this",
            access.uid
        ));
    }
    let (node, access) = facts.written_by_others().find_map(|node| Some((node, node.access?)))?;
    let path = node.path.display();
    Some(format!("group or others can write {path} (mode {:04o}); chmod go-w {path}", access.mode))
}

/// The content of a file, and its owner, mode and folders, from one descriptor.
fn read(path: &Path, limit: usize) -> io::Result<(Vec<u8>, FileFacts)> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let facts = FileFacts::of(&file, path)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok((bytes, facts))
}

fn cannot_be_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn uid_of(name: &str) -> Result<u32, String> {
    #[cfg(unix)]
    let found = uzers::get_user_by_name(name).map(|user| user.uid());
    #[cfg(not(unix))]
    let found = None;
    found.ok_or_else(|| {
        format!("there is no user {name:?} on this machine: write a name that `getent passwd` knows, or a number")
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::file::Node;
    use super::*;
    use crate::access::Access;

    /// Whether a file with folders above it can be changed; each with owner and mode, from the root down.
    fn changed(nodes: &[(&str, u32, u32)]) -> Option<String> {
        let node = |(path, uid, mode): &(&str, u32, u32)| Node {
            path: path.into(),
            access: Some(Access { uid: *uid, mode: *mode }),
        };
        let (file, folders) = nodes.split_last().unwrap();
        changeable(&FileFacts { file: node(file), folders: folders.iter().map(node).collect() })
    }

    #[test]
    fn root_and_the_user_of_the_process_own_policies() {
        let user = uzers::get_effective_uid();
        let other = user + 1;
        let owned = |root, folder, file| changed(&[("/", root, 0o755), ("/p", folder, 0o755), ("/p/t", file, 0o644)]);
        for uid in [0, user] {
            assert_eq!(owned(0, uid, uid), None);
        }
        for (how, path) in [(owned(0, 0, other), "/p/t"), (owned(0, other, user), "/p"), (owned(other, 0, 0), "/")] {
            let how = how.unwrap();
            assert!(
                how.starts_with(&format!("{path} belongs to uid {other}; chown it to root or to uid {user}")),
                "{how}"
            );
        }
    }
}
