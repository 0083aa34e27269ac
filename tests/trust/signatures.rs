//! Detached minisign signatures.

use dynvm::ArtifactKind;
use dynvm::trust::{
    Evidence, Outcome, PublicKey, Require, Sha256Digest, SignatureError, TrustPolicy, verify_signature,
};

use crate::fixture::*;

fn wants(signer: &Signer) -> TrustPolicy {
    policy(|policy| policy.wasm.keys = Some(vec![key(&Signer::new()), key(signer)]))
}

#[test]
fn beside_the_file() {
    let (folder, signer) = (Folder::new(), Signer::new());
    let policy = wants(&signer);
    let beside = folder.path.join("plugin.wat.minisig");
    let message = refusal(&policy, &folder.plugin);
    let id = key(&signer).id().to_string();
    contains(&message, &["`keys`", "there is no signature", &id, &format!("minisign -Sm {}", folder.plugin.display())]);

    std::fs::write(&beside, signer.sign(&wasm("here"))).unwrap();
    accepted(&policy, &folder.plugin);

    std::fs::write(&beside, signer.sign(&wasm("gone"))).unwrap();
    contains(&refusal(&policy, &folder.plugin), &["the signature is of other bytes", &id, "same release"]);

    let stranger = Signer::new();
    std::fs::write(&beside, stranger.sign(&wasm("here"))).unwrap();
    let message = refusal(&policy, &folder.plugin);
    contains(&message, &[&format!("signed with the key {}, which is not among the keys", key(&stranger).id()), &id]);

    std::fs::write(&beside, b"\xff\xfe").unwrap();
    contains(&refusal(&policy, &folder.plugin), &["damaged, truncated"]);

    // A malformed signature differs from an absent one.
    std::fs::remove_file(&beside).unwrap();
    std::fs::create_dir(&beside).unwrap();
    contains(&refusal(&policy, &folder.plugin), &[beside.to_str().unwrap(), "cannot be read"]);
}

#[test]
fn elsewhere_and_in_memory() {
    let (folder, signer) = (Folder::new(), Signer::new());
    let loader = loader(wants(&signer));
    let elsewhere = folder.path.join("signature");
    let missing = loader.load_file_signed(&folder.plugin, &elsewhere).unwrap_err();
    contains(&missing.to_string(), &[elsewhere.to_str().unwrap(), "cannot be read"]);
    std::fs::write(&elsewhere, signer.sign(&wasm("here"))).unwrap();
    loader.load_file_signed(&folder.plugin, &elsewhere).unwrap();
    loader.load_file(&folder.plugin).unwrap_err();

    let (bytes, text) = (wasm("here"), signer.sign(&wasm("here")));
    loader.load_bytes_signed("memory", &bytes, &text).unwrap();
    contains(&loader.load_bytes_signed("memory", &wasm("gone"), &text).unwrap_err().to_string(), &["other bytes"]);
    contains(&loader.load_bytes("memory", &bytes).unwrap_err().to_string(), &["there is no signature"]);
}

#[test]
fn damaged() {
    let signer = Signer::new();
    let text = signer.sign(b"some bytes");
    damage(&key(&signer), b"some bytes", text.trim_end());
    let comment = text.replace("release 1", "release 2");
    let refused = verify_signature(&[key(&signer)], b"some bytes", &comment);
    assert_eq!(refused, Err(SignatureError::OtherBytes(key(&signer).id())));
}

/// A signature with any part missing or changed is invalid.
fn damage(key: &PublicKey, bytes: &[u8], text: &str) {
    let keys = std::slice::from_ref(key);
    assert_eq!(verify_signature(keys, bytes, text), Ok(key.id()));
    for len in 0..text.len() {
        assert!(verify_signature(keys, bytes, &text[..len]).is_err(), "{len} bytes of {text}");
    }
    // The first line is an unprotected comment; all other lines count.
    let protected = text.find('\n').unwrap() + 1;
    for at in (protected..text.len()).filter(|at| text.as_bytes()[*at] != b'\n') {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify_signature(keys, bytes, &changed).is_err(), "byte {at}: {changed}");
    }
}

/// Signatures of the bytes themselves, minisign's default before 0.11, and of their hash. From minisign-verify's own
/// tests.
#[test]
fn of_both_kinds() {
    let signatures = [
        "untrusted comment: signature from minisign secret key\n\
         RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
         trusted comment: timestamp:1555779966\tfile:test\n\
         QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==",
        "untrusted comment: signature from minisign secret key\n\
         RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
         trusted comment: timestamp:1556193335\tfile:test\n\
         y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==",
    ];
    let key: PublicKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".parse().unwrap();
    let policy = policy(|policy| policy.wasm.keys = Some(vec![key.clone()]));
    for signature in signatures {
        let evidence = |bytes| Evidence {
            kind: ArtifactKind::Wasm,
            name: "test",
            bytes,
            signed: None,
            file: None,
            signature: Some(signature),
        };
        let verdict = policy.check(&evidence(b"test")).unwrap();
        contains(&verdict.findings()[1].fact, &["signed with the key E7620F1842B4E81F"]);
        contains(&policy.check(&evidence(b"Test")).unwrap_err().to_string(), &["other bytes"]);
        damage(&key, b"test", signature);
    }
}

#[test]
fn digest_or_signature_or_both() {
    let signer = Signer::new();
    let bytes = wasm("here");
    let (good_digest, bad_digest) = (Sha256Digest::of(&bytes), Sha256Digest::of(b"another"));
    let (good, bad) = (signer.sign(&bytes), signer.sign(b"another"));
    for (require, digest_holds, signature_holds, trusted) in [
        (Require::All, true, true, true),
        (Require::All, true, false, false),
        (Require::All, false, true, false),
        (Require::All, false, false, false),
        (Require::Any, true, true, true),
        (Require::Any, true, false, true),
        (Require::Any, false, true, true),
        (Require::Any, false, false, false),
    ] {
        let policy = policy(|policy| {
            policy.wasm.require = require;
            policy.wasm.sha256 = Some(vec![if digest_holds { good_digest } else { bad_digest }]);
            policy.wasm.keys = Some(vec![key(&signer)]);
        });
        let signature = if signature_holds { &good } else { &bad };
        let loaded = loader(policy.clone()).load_bytes_signed("memory", &bytes, signature);
        assert_eq!(loaded.is_ok(), trusted, "{require:?} {digest_holds} {signature_holds}");
        let evidence = Evidence {
            signed: None,
            kind: ArtifactKind::WasmText,
            name: "memory",
            bytes: &bytes,
            file: None,
            signature: Some(signature),
        };
        let expected = |holds: bool| match (holds, trusted) {
            (true, _) => Outcome::Holds,
            (false, true) => Outcome::NotNeeded,
            (false, false) => Outcome::Fails,
        };
        let outcomes: Vec<Outcome> = policy.examine(&evidence).findings()[1..].iter().map(|f| f.outcome).collect();
        assert_eq!(outcomes, [expected(digest_holds), expected(signature_holds)]);
    }
    // `require = "any"` accepts one of these two rules, but does not relax others.
    let policy = policy(|policy| {
        policy.wasm.require = Require::Any;
        policy.wasm.sha256 = Some(vec![good_digest]);
        policy.wasm.only_owner_writes = true;
    });
    contains(&loader(policy).load_bytes("memory", &bytes).unwrap_err().to_string(), &["`only_owner_writes`"]);
}
