//! Lets a request pass only if it carries a valid JSON Web Token.
//!
//! The token is in the header `authorization: Bearer <token>` and is signed with HMAC-SHA256
//! (`HS256`). A request without one is answered with 401 and never reaches the upstream; one that
//! passes gets the header `x-jwt-subject` with the token's `sub`, so that the upstream need not know
//! about tokens.
//!
//! Configuration, JSON:
//!
//! | key | meaning |
//! |---|---|
//! | `secret` | the shared key; required, 32 bytes at least (RFC 7518, 3.2) |
//! | `issuer` | the `iss` that a token must have; absent: any |
//! | `leeway_seconds` | how far the clocks of issuer and proxy may differ; default 0 |
//!
//! To try it, in this directory: `dynvm run .`, which sends the traffic of `scenario.json`.

#![expect(missing_docs, reason = "proxy_wasm::main! expands to a public function without documentation")]

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    secret: String,
    issuer: Option<String>,
    #[serde(default)]
    leeway_seconds: u64,
}

/// Why a request without credentials is refused.
const NO_TOKEN: &str = "no token";

/// The part of a token's header that decides how it is verified.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    iss: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Default)]
struct Root {
    /// Shared with the streams: a stream that began under one configuration ends under it.
    config: Option<Rc<Config>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice::<Config>(&bytes) {
            Ok(config) if config.secret.len() < 32 => error!("the secret is shorter than 32 bytes"),
            Ok(config) => {
                self.config = Some(Rc::new(config));
                return true;
            }
            Err(error) => error!("the configuration is not valid: {error}"),
        }
        false
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone() }))
    }
}

struct Stream {
    config: Option<Rc<Config>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Headers are read as bytes: the client chooses them, and the SDK's String variants panic
        // on bytes that are not UTF-8.
        let authorization = self.get_http_request_header_bytes("authorization");
        let verified = match (&self.config, authorization) {
            (None, _) => Err("the plugin has no configuration"),
            (_, None) => Err(NO_TOKEN),
            (Some(config), Some(value)) => self.verify(config, &value),
        };
        match verified {
            Ok(subject) => {
                // Set, not add: a client must not be able to supply its own subject.
                self.set_http_request_header("x-jwt-subject", Some(&subject));
                Action::Continue
            }
            Err(reason) => {
                info!("refused: {reason}");
                // RFC 6750, 3.1: no error code for a request without any credentials.
                let challenge = match reason {
                    NO_TOKEN => "Bearer realm=\"dynvm\"".to_owned(),
                    _ => format!("Bearer error=\"invalid_token\", error_description=\"{reason}\""),
                };
                let headers = vec![("www-authenticate", challenge.as_str())];
                self.send_http_response(401, headers, Some(b"Unauthorized\n"));
                Action::Pause
            }
        }
    }
}

impl Stream {
    /// The subject of the token, or the reason for its refusal.
    fn verify(&self, config: &Config, authorization: &[u8]) -> Result<String, &'static str> {
        let authorization = str::from_utf8(authorization).map_err(|_| "not text")?;
        let (scheme, token) = authorization.split_once(' ').ok_or("no bearer token")?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err("no bearer token");
        }
        let (signed, signature) = token.trim().rsplit_once('.').ok_or("malformed")?;
        let (header, claims) = signed.split_once('.').ok_or("malformed")?;

        // The plugin chooses the algorithm, never the token: "none" and RS256 are refused here.
        if decode::<Header>(header)?.alg != "HS256" {
            return Err("unsupported algorithm");
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "malformed")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(config.secret.as_bytes()).map_err(|_| "the key is not usable")?;
        mac.update(signed.as_bytes());
        // Compares in constant time, which `==` on the bytes would not.
        mac.verify_slice(&signature).map_err(|_| "bad signature")?;

        let claims = decode::<Claims>(claims)?;
        if config.issuer.is_some() && claims.iss != config.issuer {
            return Err("wrong issuer");
        }
        // The host's clock: the same in both builds, and set by tests.
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (now, leeway) = (now.as_secs_f64(), config.leeway_seconds as f64);
        if claims.exp.ok_or("no expiry")? + leeway <= now {
            return Err("expired");
        }
        if claims.nbf.is_some_and(|start| start - leeway > now) {
            return Err("not valid yet");
        }
        let subject = claims.sub.ok_or("no subject")?;
        // A control character in a header value would be an injection into the upstream's request.
        if subject.chars().any(char::is_control) {
            return Err("subject has control characters");
        }
        Ok(subject)
    }
}

/// One part of a token: base64url of JSON.
fn decode<T: DeserializeOwned>(part: &str) -> Result<T, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| "malformed")?;
    serde_json::from_slice(&bytes).map_err(|_| "malformed")
}
