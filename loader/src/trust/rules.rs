//! The rules of a policy, applied to the evidence.

use std::fmt::Display;
use std::path::Path;

use super::file::{FileFacts, Node};
use super::signature::{PublicKey, SignatureError, verify_signature};
use super::verdict::{Rule, Verdict, Violation};
use super::{Evidence, Require, Rules, Sha256Digest, TrustPolicy};
use crate::{ArtifactKind, LoadError};

impl TrustPolicy {
    /// Applies each rule. Can be called on any thread. Reads nothing but the evidence, and resolves
    /// the paths in `directories`.
    pub fn examine(&self, evidence: &Evidence<'_>) -> Verdict {
        examine(self.rules(evidence.kind), evidence)
    }

    /// Like [`examine`](TrustPolicy::examine), but an untrusted artifact is an error.
    ///
    /// # Errors
    ///
    /// [`LoadError::Untrusted`] with each violated rule and its remedy.
    pub fn check(&self, evidence: &Evidence<'_>) -> Result<Verdict, LoadError> {
        let verdict = self.examine(evidence);
        if verdict.is_trusted() {
            return Ok(verdict);
        }
        Err(LoadError::Untrusted { name: evidence.name.to_owned(), failures: verdict.failures().cloned().collect() })
    }
}

fn examine(rules: &Rules, evidence: &Evidence<'_>) -> Verdict {
    let section = if evidence.kind == ArtifactKind::Native { "[native]" } else { "[wasm]" };
    let mut findings = vec![allow(rules.allow, section)];
    // If the kind is denied, no other rule matters.
    if rules.allow {
        let list = &mut findings;
        list.extend(rules.sha256.as_ref().map(|allowed| sha256(allowed, evidence.bytes, section)));
        list.extend(rules.keys.as_ref().map(|keys| signature(keys, evidence, section)));
        let mut of_file = |rule: Rule, apply: &dyn Fn(&FileFacts) -> Violation| {
            list.push(evidence.file.map_or_else(|| no_file(rule, section), apply));
        };
        if let Some(owners) = &rules.owners {
            of_file(Rule::Owner, &|facts| owner(owners, facts, section));
        }
        if rules.only_owner_writes {
            of_file(Rule::Mode, &|facts| mode(facts, section));
        }
        if let Some(directories) = &rules.directories {
            of_file(Rule::Directory, &|facts| directory(directories, facts, section));
        }
    }
    Verdict::new(findings, rules.require == Require::Any)
}

fn allow(allowed: bool, section: &str) -> Violation {
    let kind = if section == "[native]" { "native code" } else { "wasm" };
    if allowed {
        return Violation::holds(Rule::Allow, format!("{kind} is allowed"));
    }
    let remedy = if section == "[native]" {
        "native code runs with all rights of the process: set allow = true under [native], with rules for what is trusted, or load the \
         .wasm of the same plugin"
    } else {
        "set allow = true under [wasm], or leave it out"
    };
    Violation::fails(Rule::Allow, format!("{kind} is not allowed"), remedy)
}

fn sha256(allowed: &[Sha256Digest], bytes: &[u8], section: &str) -> Violation {
    let digest = Sha256Digest::of(bytes);
    if allowed.contains(&digest) {
        return Violation::holds(Rule::Sha256, format!("{digest} is listed"));
    }
    let remedy = format!("if this is the artifact that you want, add that to sha256 under {section}");
    Violation::fails(Rule::Sha256, format!("{digest} is not listed"), remedy)
}

fn signature(keys: &[PublicKey], evidence: &Evidence<'_>, section: &str) -> Violation {
    let ids = list(keys.iter().map(PublicKey::id));
    let Some(text) = evidence.signature else {
        let remedy = format!(
            "sign it with one of the keys under {section} ({ids}): minisign -Sm {} writes the .minisig beside it",
            evidence.name
        );
        return Violation::fails(Rule::Signature, "there is no signature", remedy);
    };
    match verify_signature(keys, evidence.signed.unwrap_or(evidence.bytes), text) {
        Ok(id) => Violation::holds(Rule::Signature, format!("signed with the key {id}")),
        Err(error) => {
            let remedy = match error {
                SignatureError::Malformed => "take the signature from where the artifact comes from".to_owned(),
                SignatureError::UnknownKey(_) => {
                    format!(
                        "sign it with one of the keys under {section} ({ids}), or add that key to keys if you trust it"
                    )
                }
                SignatureError::OtherBytes(_) => {
                    "take artifact and signature from the same release; if they are, somebody changed the artifact"
                        .to_owned()
                }
            };
            Violation::fails(Rule::Signature, error.to_string(), remedy)
        }
    }
}

/// The violation of a rule about files by bytes from memory.
fn no_file(rule: Rule, section: &str) -> Violation {
    let remedy = format!("load it from a file, or leave {rule} out of {section}");
    Violation::fails(rule, "the artifact comes from memory, not from a file", remedy)
}

fn owner(owners: &[u32], facts: &FileFacts, section: &str) -> Violation {
    let wrong: Vec<&Node> = facts.owned_by_others(owners).collect();
    let uid =
        |node: &Node| node.access.map_or_else(|| "nobody known".to_owned(), |access| format!("uid {}", access.uid));
    if wrong.is_empty() {
        return Violation::holds(Rule::Owner, format!("the file belongs to {}", uid(&facts.file)));
    }
    let belongs = wrong.iter().map(|node| format!("{} belongs to {}", node.path.display(), uid(node)));
    let remedy = format!("chown to one of the owners under {section} (uid {}), or add that user", list(owners));
    Violation::fails(Rule::Owner, list(belongs), remedy)
}

fn mode(facts: &FileFacts, section: &str) -> Violation {
    let wrong: Vec<&Node> = facts.written_by_others().collect();
    if wrong.is_empty() {
        return Violation::holds(Rule::Mode, "only their owners can write the file and the folders above it");
    }
    let modes = wrong.iter().map(|node| match node.access {
        Some(access) => format!("{} (mode {:04o})", node.path.display(), access.mode),
        None => format!("{} (mode not known on this system)", node.path.display()),
    });
    let paths = wrong.iter().map(|node| node.path.display().to_string()).collect::<Vec<_>>().join(" ");
    let remedy = format!("chmod go-w {paths}, or leave only_owner_writes out of {section}");
    Violation::fails(Rule::Mode, format!("users other than the owner can write {}", list(modes)), remedy)
}

fn directory(directories: &[std::path::PathBuf], facts: &FileFacts, section: &str) -> Violation {
    // Resolved at each check, because a deployment may retarget a link of the operator's.
    let inside = |directory: &&Path| directory.canonicalize().is_ok_and(|real| facts.path().starts_with(real));
    if let Some(directory) = directories.iter().map(AsRef::as_ref).find(inside) {
        return Violation::holds(Rule::Directory, format!("{} is in {}", facts.path().display(), directory.display()));
    }
    let named = list(directories.iter().map(|directory| match directory.canonicalize() {
        Ok(_) => directory.display().to_string(),
        Err(error) => format!("{} ({error})", directory.display()),
    }));
    let remedy = format!("install it there, or add its folder to directories under {section}");
    Violation::fails(Rule::Directory, format!("{} is not in {named}", facts.path().display()), remedy)
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Outcome;
    use super::*;
    use crate::access::Access;

    /// A file with folders above it, from the root down; each with owner and mode.
    fn facts(nodes: &[(&str, u32, u32)]) -> FileFacts {
        let node = |(path, uid, mode): &(&str, u32, u32)| Node {
            path: path.into(),
            access: Some(Access { uid: *uid, mode: *mode }),
        };
        let (file, folders) = nodes.split_last().unwrap();
        FileFacts { file: node(file), folders: folders.iter().map(node).collect() }
    }

    #[test]
    fn folders_belong_to_an_owner_or_to_root() {
        let owned = |root: u32, folder: u32, file: u32| {
            let facts = facts(&[("/", root, 0o755), ("/d", folder, 0o755), ("/d/f", file, 0o644)]);
            owner(&[1000, 1001], &facts, "[native]")
        };
        assert_eq!(owned(0, 0, 1000).outcome, Outcome::Holds);
        assert_eq!(owned(0, 1001, 1000).outcome, Outcome::Holds);
        for (finding, fact) in [
            // Root is no exception for the file: who loads root's files says so.
            (owned(0, 0, 0), "/d/f belongs to uid 0"),
            (owned(0, 7, 1000), "/d belongs to uid 7"),
            (owned(8, 7, 9), "/d/f belongs to uid 9, / belongs to uid 8, /d belongs to uid 7"),
        ] {
            assert_eq!((finding.outcome, finding.fact.as_str()), (Outcome::Fails, fact));
            assert!(finding.remedy.contains("[native] (uid 1000, 1001)"), "{}", finding.remedy);
        }
    }

    #[test]
    fn what_the_system_does_not_tell_does_not_hold() {
        let mut facts = facts(&[("/", 0, 0o755), ("/f", 0, 0o644)]);
        assert_eq!(mode(&facts, "[wasm]").outcome, Outcome::Holds);
        assert_eq!(owner(&[0], &facts, "[wasm]").outcome, Outcome::Holds);
        facts.file.access = None;
        assert_eq!(mode(&facts, "[wasm]").outcome, Outcome::Fails);
        assert_eq!(owner(&[0], &facts, "[wasm]").outcome, Outcome::Fails);
    }
}
