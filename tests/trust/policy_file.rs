//! Policies as files: their meaning, and each way in which a file can be invalid.

use std::path::Path;

use dynvm::trust::{PolicyError, Require, Sha256Digest, TrustPolicy};

use crate::fixture::*;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The line and message of an invalid policy.
#[track_caller]
fn broken(text: &str) -> PolicyError {
    TrustPolicy::parse(text, Path::new("/nowhere")).expect_err(text)
}

#[test]
fn everything_that_can_be_said() {
    let (folder, signer, second) = (Folder::new(), Signer::new(), Signer::new());
    std::fs::write(folder.path.join("release.pub"), second.file()).unwrap();
    chmod(&folder.path.join("release.pub"), 0o644);
    let text = format!(
        r#"
        # Comments are fine.
        [native]
        allow = true
        require = "any"
        sha256 = ["{DIGEST}", "sha256:{DIGEST}"]
        keys = ["{}", "release.pub"]
        owners = ["root", 4711]
        only_owner_writes = true
        directories = ["plugins", "/usr/lib/dynvm"]

        [wasm]
        allow = false
        "#,
        signer.text()
    );
    std::fs::write(folder.path.join("trust.toml"), &text).unwrap();
    chmod(&folder.path.join("trust.toml"), 0o644);
    let parsed = TrustPolicy::parse(&text, &folder.path).unwrap();
    for policy in [parsed, TrustPolicy::from_file(folder.path.join("trust.toml")).unwrap()] {
        let rules = &policy.native;
        assert!(rules.allow && rules.only_owner_writes && !policy.wasm.allow);
        assert_eq!(rules.require, Require::Any);
        assert_eq!(rules.sha256.as_deref(), Some(&[Sha256Digest::of(b""); 2][..]));
        assert_eq!(rules.keys.as_deref(), Some(&[key(&signer), key(&second)][..]));
        assert_eq!(rules.owners.as_deref(), Some(&[0, 4711][..]));
        assert_eq!(rules.directories.as_deref(), Some(&[folder.path.join("plugins"), "/usr/lib/dynvm".into()][..]));
    }
}

#[test]
fn what_is_left_out() {
    for text in ["", "[native]", "[wasm]\nallow = true"] {
        let policy = TrustPolicy::parse(text, Path::new("")).unwrap();
        assert!(!policy.native.allow && policy.wasm.allow);
        for rules in [&policy.native, &policy.wasm] {
            assert!(rules.sha256.is_none() && rules.keys.is_none() && rules.owners.is_none());
            assert!(rules.directories.is_none() && !rules.only_owner_writes && rules.require == Require::All);
        }
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("allow = true", 1, &["unknown field `allow`", "`native`", "`wasm`"]),
        ("[native]\n\nalow = true", 3, &["unknown field `alow`", "`allow`"]),
        ("[nativ]\nallow = true", 1, &["unknown field `nativ`"]),
        ("[native]\nallow = \"yes\"", 2, &["expected a boolean", "allow = \"yes\""]),
        ("[native]\nallow = true\nallow = true", 3, &["duplicate key"]),
        ("[native]\n[native]", 2, &["duplicate key"]),
        ("native = 1", 1, &["native = 1"]),
        ("[native]\nrequire = \"some\"", 2, &["unknown variant `some`", "`all`", "`any`"]),
        ("[native]\nsha256 = \"abc\"", 2, &["expected a sequence", "sha256 = "]),
        ("[native]\nsha256 = [\n  \"abc\"\n]", 3, &["in `sha256`", "\"abc\" is not a SHA-256", "sha256sum"]),
        ("[wasm]\nsha256 = []", 2, &["`sha256` is empty"]),
        ("[wasm]\nkeys = []", 2, &["`keys` is empty"]),
        ("[wasm]\nowners = []", 2, &["`owners` is empty"]),
        ("[wasm]\ndirectories = []", 2, &["`directories` is empty"]),
        ("[wasm]\nkeys = [\"RWQ\"]", 2, &["in `keys`", "not a minisign public key", "ends with .pub"]),
        ("[wasm]\nkeys = [\"missing.pub\"]", 2, &["in `keys`: /nowhere/missing.pub: cannot be read: No such file"]),
        ("[wasm]\nowners = [\n0,\n\"no such user\"]", 4, &["in `owners`: there is no user \"no such user\""]),
        ("[wasm]\nowners = [-1]", 2, &["a user's name or number"]),
        ("[wasm]\nowners = [\"a\\u0000b\"]", 2, &["there is no user"]),
        ("[wasm]\nonly_owner_writes = 1", 2, &["expected a boolean", "only_owner_writes = 1"]),
        ("[wasm]\ndirectories = [1]", 2, &["directories = [1]"]),
        ("[wasm\nallow = true", 1, &["[wasm"]),
        ("[wasm]\nallow = ", 2, &["allow ="]),
        ("{\"wasm\": {}}", 1, &["{\"wasm\": {}}"]),
    ];
    for (text, line, parts) in cases {
        let error = broken(text);
        assert_eq!(error.line, Some(*line), "{text:?}: {error}");
        contains(&error.to_string(), parts);
        assert!(error.to_string().starts_with(&format!("line {line}: ")) && !error.what.contains('\n'), "{error}");
    }
}

#[test]
fn key_files_that_are_none() {
    let folder = Folder::new();
    let parse = || TrustPolicy::parse("[wasm]\nkeys = [\"a.pub\"]", &folder.path).unwrap_err().to_string();
    let file = folder.path.join("a.pub");
    for (content, part) in
        [(&b"hello"[..], "\"hello\" is not a minisign"), (b"", "not a minisign"), (b"\xff\n\xff", "not a")]
    {
        std::fs::write(&file, content).unwrap();
        contains(&parse(), &["line 2: in `keys`", file.to_str().unwrap(), part]);
    }
    std::fs::write(&file, [b'A'; 5000]).unwrap();
    contains(&parse(), &["larger than 4096 bytes"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    contains(&parse(), &["not a regular file"]);
}

#[test]
fn others_may_not_write_what_allows_native_code() {
    let (folder, signer) = (Folder::new(), Signer::new());
    let (file, key) = (folder.path.join("trust.toml"), folder.path.join("release.pub"));
    std::fs::write(&key, signer.file()).unwrap();
    let from_file = |text: &str, of_file: u32, of_key: u32| {
        std::fs::write(&file, text).unwrap();
        chmod(&file, of_file);
        chmod(&key, of_key);
        TrustPolicy::from_file(&file).map(|_| ()).map_err(|error| error.to_string())
    };
    let native = "[native]\nallow = true\nkeys = [\"release.pub\"]";
    assert_eq!(from_file(native, 0o644, 0o644), Ok(()));
    for mode in [0o664, 0o646] {
        let message = from_file(native, mode, 0o644).unwrap_err();
        contains(&message, &[file.to_str().unwrap(), "allows native code", "chmod go-w"]);
        let message = from_file(native, 0o644, mode).unwrap_err();
        contains(&message, &["trust.toml:3: in `keys`", key.to_str().unwrap(), "chmod go-w"]);
    }
    // In a folder that others can write, they can put another file in its place.
    chmod(&folder.path, 0o777);
    let message = from_file(native, 0o644, 0o644).unwrap_err();
    contains(&message, &[&format!("can write {} (mode 0777)", folder.path.display()), "chmod go-w"]);
    // The sticky bit prevents that.
    chmod(&folder.path, 0o1777);
    assert_eq!(from_file(native, 0o644, 0o644), Ok(()));
    // Others may write a policy that only allows wasm, since that stays in the sandbox.
    chmod(&folder.path, 0o777);
    assert_eq!(from_file("[wasm]\nkeys = [\"release.pub\"]", 0o664, 0o664), Ok(()));
}

#[test]
fn files_that_are_no_text() {
    let folder = Folder::new();
    let file = folder.path.join("trust.toml");
    let message = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        TrustPolicy::from_file(&file).unwrap_err().to_string()
    };
    contains(&message(b"[wasm]\n\xff\xff"), &[&format!("{}:2: ", file.display()), "not text in UTF-8"]);
    contains(&message(&vec![b'#'; (4 << 20) + 1]), &["larger than"]);
    contains(&message(b"\x7fELF\x00"), &[&format!("{}:1: ", file.display())]);
    contains(&TrustPolicy::from_file(&folder.path).unwrap_err().to_string(), &["not a regular file"]);
    contains(
        &TrustPolicy::from_file(folder.path.join("no")).unwrap_err().to_string(),
        &["/no: cannot be read: No such"],
    );
}

/// Any text is either a policy or an error.
#[test]
fn arbitrary_text() {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let good = format!(
        "[native]\nallow = true\nrequire = \"any\"\nsha256 = [\"{DIGEST}\"]\nkeys = \
         [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\", \"a.pub\"]\nowners = [\"root\", 1]\n[wasm]\ndirectories = [\"é\"]\n"
    );
    let mut refused = 0;
    for round in 0..20_000 {
        let bytes: Vec<u8> = if round % 2 == 0 {
            (0..random(60)).map(|_| random(256) as u8).collect()
        } else {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                bytes[at] = b"[]\"\\{}=#.\n, \xc3\x00aZ09-+"[random(20)];
            }
            bytes
        };
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = TrustPolicy::parse(&text, Path::new("/nowhere")) {
            assert!(!error.what.is_empty());
            refused += 1;
        }
        let _ = text.parse::<Sha256Digest>();
        let _ = text.parse::<dynvm::trust::PublicKey>();
        let _ = dynvm::trust::verify_signature(&[], &bytes, &text);
    }
    assert!(refused > 1000);
    broken(&"[".repeat(100_000));
    broken(&format!("wasm = {}", "[".repeat(100_000)));
}
