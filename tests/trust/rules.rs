//! Each rule except signatures.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use dynvm::trust::{Rule, Sha256Digest};
use dynvm::{LoadError, Loader, LoaderOptions};

use crate::fixture::*;

#[test]
fn native_code_needs_the_policys_leave() {
    let folder = Folder::new();
    let plugin = folder.path.join("plugin.so");
    std::fs::write(&plugin, native("here")).unwrap();
    let by_default = policy(|_| ());
    let message = refusal(&by_default, &plugin);
    contains(
        &message,
        &[plugin.to_str().unwrap(), "`allow`", "native code is not allowed", "allow = true under [native]"],
    );
    accepted(&by_default, &folder.plugin);
    let allowed = policy(|policy| policy.native.allow = true);
    assert_eq!(says(&loader(allowed.clone()).load_file(&plugin).unwrap()), "here");

    // The policy does not replace the embedder's own decision.
    let mut options = LoaderOptions::default();
    options.trust = Some(allowed);
    let error = Loader::with_options(options).unwrap().load_file(&plugin).unwrap_err();
    assert!(matches!(error, LoadError::NativeNotAllowed { .. }), "{error}");
}

#[test]
fn wasm_can_be_refused() {
    let message = refusal(&policy(|policy| policy.wasm.allow = false), &Folder::new().plugin);
    contains(&message, &["`allow`", "wasm is not allowed", "under [wasm]"]);
}

#[test]
fn rules_are_of_one_kind() {
    let folder = Folder::new();
    let plugin = folder.path.join("plugin.so");
    std::fs::write(&plugin, native("here")).unwrap();
    let policy = policy(|policy| {
        policy.native.allow = true;
        policy.native.sha256 = Some(vec![Sha256Digest::of(b"another")]);
    });
    contains(&refusal(&policy, &plugin), &["`sha256`", "to sha256 under [native]"]);
    accepted(&policy, &folder.plugin);
}

#[test]
fn digests() {
    let folder = Folder::new();
    let other = Sha256Digest::of(b"another");
    let mut policy = policy(|policy| policy.wasm.sha256 = Some(vec![other]));
    let error = loader(policy.clone()).load_file(&folder.plugin).unwrap_err();
    let LoadError::Untrusted { name, failures } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), failures.len(), failures[0].rule), (folder.plugin.to_str().unwrap(), 1, Rule::Sha256));
    // The message contains the digest to add.
    let quoted: Sha256Digest = failures[0].fact.split(' ').next().unwrap().parse().unwrap();
    policy.wasm.sha256 = Some(vec![other, quoted]);
    accepted(&policy, &folder.plugin);
    loader(policy.clone()).load_bytes("memory", &wasm("here")).unwrap();
    loader(policy.clone()).load_bytes("memory", &wasm("gone")).unwrap_err();
    std::fs::write(&folder.plugin, wasm("gone")).unwrap();
    refusal(&policy, &folder.plugin);
}

#[test]
fn an_empty_list_allows_nothing() {
    let folder = Folder::new();
    contains(&refusal(&policy(|p| p.wasm.sha256 = Some(vec![])), &folder.plugin), &["`sha256`"]);
    contains(&refusal(&policy(|p| p.wasm.keys = Some(vec![])), &folder.plugin), &["`keys`", "(none)"]);
    contains(&refusal(&policy(|p| p.wasm.owners = Some(vec![])), &folder.plugin), &["`owners`"]);
    contains(&refusal(&policy(|p| p.wasm.directories = Some(vec![])), &folder.plugin), &["`directories`"]);
}

#[test]
fn owners_of_the_file_and_the_folders() {
    let folder = Folder::new();
    accepted(&policy(|policy| policy.wasm.owners = Some(owners(&folder.plugin))), &folder.plugin);
    let mine = folder.plugin.metadata().unwrap().uid();
    let message = refusal(&policy(|policy| policy.wasm.owners = Some(vec![mine + 1])), &folder.plugin);
    let file = format!("{} belongs to uid {mine}", folder.plugin.display());
    contains(&message, &["`owners`", &file, &format!("(uid {})", mine + 1)]);
}

#[test]
fn modes_of_the_file_and_the_folders() {
    let folder = Folder::new();
    let inner = folder.path.join("inner");
    std::fs::create_dir(&inner).unwrap();
    let plugin = inner.join("plugin.wat");
    std::fs::write(&plugin, wasm("here")).unwrap();
    let policy = policy(|policy| policy.wasm.only_owner_writes = true);
    let modes = |outer: u32, inner_mode: u32, file: u32| {
        chmod(&folder.path, outer);
        chmod(&inner, inner_mode);
        chmod(&plugin, file);
    };
    modes(0o755, 0o755, 0o644);
    accepted(&policy, &plugin);
    // In a folder with the sticky bit, only the owner of an entry can replace it.
    modes(0o1777, 0o755, 0o644);
    accepted(&policy, &plugin);
    for (modes_, path, mode) in [
        ((0o755, 0o755, 0o664), &plugin, "0664"),
        ((0o755, 0o755, 0o646), &plugin, "0646"),
        ((0o755, 0o775, 0o644), &inner, "0775"),
        ((0o757, 0o755, 0o644), &folder.path, "0757"),
    ] {
        modes(modes_.0, modes_.1, modes_.2);
        let message = refusal(&policy, &plugin);
        let parts = [format!("{} (mode {mode})", path.display()), format!("chmod go-w {},", path.display())];
        contains(&message, &["`only_owner_writes`", &parts[0], &parts[1]]);
    }
    // The same through a link in a safe folder.
    chmod(&folder.path, 0o755);
    chmod(&inner, 0o777);
    let link = folder.path.join("link.wat");
    symlink(&plugin, &link).unwrap();
    contains(&refusal(&policy, &link), &["inner (mode 0777)"]);
}

#[test]
fn directories_and_links() {
    let folder = Folder::new();
    let (allowed, other) = (folder.path.join("allowed"), folder.path.join("allowed-not"));
    for dir in [&allowed, &other] {
        std::fs::create_dir_all(dir.join("deep")).unwrap();
        std::fs::write(dir.join("deep/plugin.wat"), wasm("here")).unwrap();
    }
    let by = |dirs: &[&std::path::Path]| {
        policy(|policy| policy.wasm.directories = Some(dirs.iter().map(|dir| dir.to_path_buf()).collect()))
    };
    let only = by(&[&allowed]);
    accepted(&only, &allowed.join("deep/plugin.wat"));
    accepted(&by(&[&folder.path.join("missing"), &allowed]), &allowed.join("deep/plugin.wat"));

    // The name of a sibling folder begins with the same letters.
    let message = refusal(&only, &other.join("deep/plugin.wat"));
    contains(&message, &["`directories`", &format!("is not in {} (", allowed.display())]);
    refusal(&only, &allowed.join("../allowed-not/deep/plugin.wat"));
    accepted(&only, &other.join("../allowed/deep/plugin.wat"));

    // The target of a link matters, not its location.
    symlink(other.join("deep/plugin.wat"), allowed.join("out.wat")).unwrap();
    contains(&refusal(&only, &allowed.join("out.wat")), &["allowed-not/deep/plugin.wat is not in"]);
    symlink(allowed.join("deep/plugin.wat"), other.join("in.wat")).unwrap();
    accepted(&only, &other.join("in.wat"));
    symlink(other.join("deep"), allowed.join("folder")).unwrap();
    refusal(&only, &allowed.join("folder/plugin.wat"));

    // An allowed folder may itself be a link.
    symlink(&other, folder.path.join("current")).unwrap();
    accepted(&by(&[&folder.path.join("current")]), &other.join("deep/plugin.wat"));

    let message = refusal(&by(&[&folder.path.join("missing")]), &allowed.join("deep/plugin.wat"));
    contains(&message, &["missing (No such file or directory"]);
}

#[test]
fn bytes_from_memory_have_no_file() {
    type Change = fn(&mut dynvm::trust::Rules);
    let rules: [(&str, Change); 3] = [
        ("owners", |rules| rules.owners = Some(vec![0])),
        ("only_owner_writes", |rules| rules.only_owner_writes = true),
        ("directories", |rules| rules.directories = Some(vec!["/".into()])),
    ];
    for (rule, change) in rules {
        let error = loader(policy(|policy| change(&mut policy.wasm))).load_bytes("memory", &wasm("here")).unwrap_err();
        let rule = format!("memory: refused by the trust policy: rule `{rule}`");
        contains(&error.to_string(), &[&rule, "comes from memory", "load it from a file"]);
    }
}

#[test]
fn each_rule_that_fails_is_named() {
    let folder = Folder::new();
    chmod(&folder.plugin, 0o666);
    let policy = policy(|policy| {
        policy.wasm.sha256 = Some(vec![]);
        policy.wasm.keys = Some(vec![]);
        policy.wasm.owners = Some(vec![]);
        policy.wasm.only_owner_writes = true;
        policy.wasm.directories = Some(vec![]);
    });
    let error = loader(policy).load_file(&folder.plugin).unwrap_err();
    let LoadError::Untrusted { failures, .. } = error else { panic!("{error}") };
    let rules: Vec<Rule> = failures.iter().map(|failure| failure.rule).collect();
    assert_eq!(rules, [Rule::Sha256, Rule::Signature, Rule::Owner, Rule::Mode, Rule::Directory]);
    assert!(failures.iter().all(|failure| !failure.fact.is_empty() && !failure.remedy.is_empty()), "{failures:?}");
}

/// A pipe has no writer: opening it must not block.
#[test]
fn what_is_no_regular_file() {
    let folder = Folder::new();
    let pipe = folder.path.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let policy = policy(|policy| policy.wasm.only_owner_writes = true);
    contains(&refusal(&policy, &pipe), &[pipe.to_str().unwrap(), "a pipe or a device"]);
    contains(&refusal(&policy, &folder.path), &[folder.path.to_str().unwrap(), "a directory"]);
    contains(&refusal(&policy, &folder.path.join("missing")), &["missing", "No such file"]);
    std::fs::write(folder.path.join("text"), "hello").unwrap();
    contains(&refusal(&policy, &folder.path.join("text")), &["this is a text file"]);
}

/// An inspection reports the loader's verdict.
#[test]
fn inspections_tell_the_refusal() {
    let folder = Folder::new();
    let loader = loader(policy(|policy| policy.wasm.only_owner_writes = true));
    assert_eq!(dynvm::inspect::inspect_file(&loader, &folder.plugin).unwrap().refusal, None);
    chmod(&folder.plugin, 0o666);
    let inspection = dynvm::inspect::inspect_file(&loader, &folder.plugin).unwrap();
    contains(&inspection.refusal.unwrap(), &["`only_owner_writes`", "mode 0666"]);
    contains(&dynvm::inspect::inspect(&loader, "memory", &wasm("here")).refusal.unwrap(), &["comes from memory"]);
}
