//! Fat plugins: separate rules for each part, one signature for both.

use dynvm::ArtifactKind;
use dynvm::bundle::{BundleError, BundleWriter, this_machine};

use crate::fixture::*;

fn fat(signer: Option<&Signer>) -> Vec<u8> {
    let (module, image) = (wat::parse_bytes(&wasm("wasm")).unwrap().into_owned(), native("nati"));
    let writer = BundleWriter::new(&module).unwrap().image(this_machine(), &image).unwrap();
    match signer {
        None => writer.write().unwrap(),
        Some(signer) => writer.write_signed(|manifest| Ok::<_, BundleError>(signer.sign(manifest))).unwrap(),
    }
}

/// The part that runs under the policy, and the reason.
fn chosen(policy: dynvm::trust::TrustPolicy, bytes: &[u8]) -> (ArtifactKind, String) {
    let module = loader(policy).load_bytes("fat", bytes).unwrap();
    let choice = module.info().chosen.clone().expect("it is a fat plugin");
    assert_eq!(says(&module), if choice.part == ArtifactKind::Native { "nati" } else { "wasm" });
    (choice.part, choice.reason)
}

#[test]
fn the_image_needs_the_leave_that_native_code_needs() {
    let bytes = fat(None);
    let (part, reason) = chosen(policy(|_| {}), &bytes);
    assert_eq!(part, ArtifactKind::Wasm);
    assert!(reason.contains("native"), "{reason}");
    assert_eq!(chosen(policy(|policy| policy.native.allow = true), &bytes).0, ArtifactKind::Native);
}

#[test]
fn its_signature_covers_both_parts() {
    let (signer, other) = (Signer::new(), Signer::new());
    let native_signed = |signer: &Signer| {
        let keys = Some(vec![key(signer)]);
        policy(|policy| {
            policy.native.allow = true;
            policy.native.keys = keys;
        })
    };
    assert_eq!(chosen(native_signed(&signer), &fat(Some(&signer))).0, ArtifactKind::Native);
    for bytes in [fat(None), fat(Some(&other))] {
        let (part, reason) = chosen(native_signed(&signer), &bytes);
        assert_eq!(part, ArtifactKind::Wasm);
        assert!(reason.contains("sign"), "{reason}");
    }
    // The wasm rules may require the signature too, since it covers the module.
    let wasm_signed = policy(|policy| policy.wasm.keys = Some(vec![key(&signer)]));
    assert!(loader(wasm_signed.clone()).load_bytes("fat", &fat(Some(&signer))).is_ok());
    for bytes in [fat(None), fat(Some(&other))] {
        let error = loader(wasm_signed.clone()).load_bytes("fat", &bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("sign"), "{error}");
    }
}

#[test]
fn digests_are_those_of_the_image() {
    use sha2::{Digest as _, Sha256};
    let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let with = |digest: String| {
        let text = format!("[native]\nallow = true\nsha256 = [\"{digest}\"]\n");
        dynvm::trust::TrustPolicy::parse(&text, std::path::Path::new("/")).unwrap()
    };
    let bytes = fat(None);
    assert_eq!(chosen(with(digest(&native("nati"))), &bytes).0, ArtifactKind::Native);
    assert_eq!(chosen(with(digest(&bytes)), &bytes).0, ArtifactKind::Wasm);
}
