//! The cache of compiled wasm: its entries are native code, so only this user may have written them.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use dynvm::{LoadError, Loader, LoaderOptions, Module, VmConfig};
use harness::Harness;
use tempfile::TempDir;

/// A plugin that logs a text.
fn plugin(text: &str) -> Vec<u8> {
    format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 16) "{text}")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "_initialize") (drop (call $log (i32.const 2) (i32.const 16) (i32.const {})))))"#,
        text.len()
    )
    .into_bytes()
}

fn loader(dir: &Path) -> Result<Loader, LoadError> {
    let mut options = LoaderOptions::default();
    options.wasm.cache_dir = Some(dir.to_owned());
    Loader::with_options(options)
}

fn load(dir: &Path, text: &str) -> Result<Module, LoadError> {
    loader(dir)?.load_bytes(text, &plugin(text))
}

/// The log of the code that is loaded for a plugin.
fn says(module: &Module) -> Vec<String> {
    Harness::of(module, VmConfig::default(), "").log()
}

fn private(path: PathBuf) -> PathBuf {
    fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    path
}

/// A directory whose mode lets others write could contain planted code.
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The only entry of a directory.
fn entry(dir: &Path) -> PathBuf {
    let entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [entry] = &entries[..] else { panic!("one entry: {entries:?}") };
    entry.clone()
}

/// A directory whose entry for one plugin is the code of another.
fn planted(base: &TempDir, name: &str) -> PathBuf {
    let evil = private(base.path().join(format!("{name}-evil")));
    load(&evil, "evil").unwrap();
    let good = private(base.path().join(format!("{name}-good")));
    load(&good, "good").unwrap();
    let dir = private(base.path().join(name));
    fs::copy(entry(&evil), dir.join(entry(&good).file_name().unwrap())).unwrap();
    dir
}

#[track_caller]
fn refused(dir: &Path, at: &Path, fact: &str) {
    let error = match load(dir, "good") {
        Err(error) => error.to_string(),
        Ok(module) => panic!("it is used: {:?}", says(&module)),
    };
    let at = at.canonicalize().unwrap();
    for part in [dir.to_str().unwrap(), &format!("{fact} {}", at.display()), "chmod go-w", "another directory"] {
        assert!(error.contains(part), "{part:?} is in {error:?}");
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let base = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        let dir = planted(&base, &format!("d{mode:o}"));
        set_mode(&dir, mode);
        refused(&dir, &dir, "users other than the owner can write");
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, mode, "and left as it is");
    }
}

/// A user who can write a parent folder can replace the directory.
#[test]
fn a_directory_that_others_can_exchange_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let above = private(base.path().join("above"));
    let dir = private(above.join("cache"));
    set_mode(&above, 0o770);
    refused(&dir, &above, "users other than the owner can write");
    // The same through a link, which may be anywhere.
    let link = base.path().join("link");
    symlink(&dir, &link).unwrap();
    refused(&link, &above, "users other than the owner can write");
    // In a sticky folder such as /tmp only owners rename, so nobody can replace it.
    set_mode(&above, 0o1777);
    assert_eq!(says(&load(&dir, "good").unwrap()), ["good"]);
}

/// The directory becomes writable by others while the loader lives.
#[test]
fn a_directory_that_is_opened_to_others_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let dir = planted(&base, "cache");
    let loader = loader(&dir).unwrap();
    set_mode(&dir, 0o777);
    let loaded = loader.load_bytes("good", &plugin("good"));
    let error = loaded.map(|module| says(&module)).expect_err("it is refused").to_string();
    assert!(error.contains("users other than the owner can write"), "{error}");
}

/// Entries of a directory that replaced the checked one are ignored.
#[test]
fn a_directory_that_was_exchanged_is_not_looked_at() {
    let base = tempfile::tempdir().unwrap();
    let dir = private(base.path().join("cache"));
    let loader = loader(&dir).unwrap();
    let planted = planted(&base, "planted");
    fs::rename(&dir, base.path().join("old")).unwrap();
    fs::rename(&planted, &dir).unwrap();
    assert_eq!(says(&loader.load_bytes("good", &plugin("good")).unwrap()), ["good"]);
    entry(&base.path().join("old"));
}

/// An entry is bound to its module, whoever wrote it.
#[test]
fn an_entry_under_another_name_is_not_used() {
    let base = tempfile::tempdir().unwrap();
    let dir = planted(&base, "cache");
    assert_eq!(says(&load(&dir, "good").unwrap()), ["good"]);
}

/// What is done to an entry; the second path is free for use.
type Change = fn(&Path, &Path);

/// An entry that another user may have written is replaced, even if its content is right.
#[test]
fn an_entry_that_others_may_have_made_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let changes: [(&str, Change); 4] = [
        ("writable", |entry, _| set_mode(entry, 0o664)),
        ("linked", |entry, aside| fs::hard_link(entry, aside).unwrap()),
        ("symbolic", |entry, aside| {
            fs::rename(entry, aside).unwrap();
            symlink(aside, entry).unwrap();
        }),
        ("directory", |entry, _| {
            fs::remove_file(entry).unwrap();
            fs::create_dir(entry).unwrap();
        }),
    ];
    for (name, change) in changes {
        let dir = private(base.path().join(name));
        load(&dir, "good").unwrap();
        let entry = entry(&dir);
        change(&entry, &base.path().join(format!("{name}-aside")));
        let before = fs::symlink_metadata(&entry).unwrap();
        assert_eq!(says(&load(&dir, "good").unwrap()), ["good"]);
        let after = fs::symlink_metadata(&entry).unwrap();
        if name == "directory" {
            assert!(after.is_dir(), "it cannot be replaced, and is not used");
            continue;
        }
        assert_ne!(before.ino(), after.ino(), "{name}: it is another file");
        assert!(after.is_file() && after.nlink() == 1 && after.mode() & 0o077 == 0, "{name}: {:o}", after.mode());
    }
}

#[test]
fn a_directory_is_made_private() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("a/b");
    load(&dir, "good").unwrap();
    for made in [&dir, dir.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o7777, 0o700);
    }
    let written = fs::metadata(entry(&dir)).unwrap();
    assert_eq!(says(&load(&dir, "good").unwrap()), ["good"]);
    assert_eq!(fs::metadata(entry(&dir)).unwrap().ino(), written.ino(), "taken, not made again");
}
