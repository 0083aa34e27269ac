//! Which tokens pass, on both backends.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dynvm_testing::{Plugin, Request, this_crate};
use hmac::{Hmac, KeyInit as _, Mac as _};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The time of the test's clock, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

fn plugin() -> Plugin {
    let configuration = format!(r#"{{"secret": "{SECRET}", "issuer": "tests", "leeway_seconds": 10}}"#);
    this_crate!().configuration(configuration).clock_at(Duration::from_secs(NOW))
}

/// A token with these claims, signed with a key.
fn signed(claims: &str, secret: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"alg": "HS256"}"#), part(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn request(claims: &str) -> Request {
    Request::get("/").header("authorization", format!("Bearer {}", signed(claims, SECRET)))
}

#[needs::wasm_rust]
#[test]
fn a_valid_token_passes_and_its_subject_with_it() {
    plugin().on_each_backend(|host| {
        let claims = format!(r#"{{"sub": "alice", "iss": "tests", "exp": {}}}"#, NOW + 60);
        let exchange = host.send(request(&claims).header("x-jwt-subject", "mallory"));
        let upstream = exchange.assert_forwarded();
        assert_eq!(upstream.header_values("x-jwt-subject"), ["alice"]);
        exchange.assert_answered().assert_status(200);
    });
}

#[needs::wasm_rust]
#[test]
fn a_request_without_a_token_is_challenged() {
    plugin().on_each_backend(|host| {
        let exchange = host.send(Request::get("/"));
        exchange.assert_not_forwarded();
        exchange
            .assert_local_reply(401)
            .assert_header("www-authenticate", "Bearer realm=\"dynvm\"")
            .assert_body("Unauthorized\n");
        host.assert_logged("refused: no token");
    });
}

#[needs::wasm_rust]
#[test]
fn a_token_expires_as_time_passes() {
    plugin().on_each_backend(|host| {
        let claims = format!(r#"{{"sub": "alice", "iss": "tests", "exp": {}}}"#, NOW + 60);
        host.send(request(&claims)).assert_forwarded();
        // The leeway is 10 seconds.
        host.advance(Duration::from_secs(69));
        host.send(request(&claims)).assert_forwarded();
        host.advance(Duration::from_secs(1));
        host.send(request(&claims)).assert_local_reply(401);
        host.assert_logged("refused: expired");
    });
}

#[needs::wasm_rust]
#[test]
fn tokens_of_others_are_refused() {
    let claims = format!(r#"{{"sub": "alice", "iss": "tests", "exp": {}}}"#, NOW + 60);
    let forged = format!("Bearer {}", signed(&claims, "another key, of 32 bytes or more"));
    plugin().on_each_backend(|host| {
        host.send(Request::get("/").header("authorization", &forged)).assert_local_reply(401);
        host.assert_logged("refused: bad signature");
        let elsewhere = format!(r#"{{"sub": "alice", "iss": "elsewhere", "exp": {}}}"#, NOW + 60);
        host.send(request(&elsewhere)).assert_local_reply(401);
        host.assert_logged("refused: wrong issuer");
    });
}

#[needs::wasm_rust]
#[test]
fn a_short_secret_is_refused() {
    let plugin = plugin().configuration(r#"{"secret": "short"}"#);
    for backend in plugin.backends() {
        let error = plugin.try_start(backend).err().expect("it is refused");
        error.assert_refused().assert_logged("the secret is shorter than 32 bytes");
    }
}
