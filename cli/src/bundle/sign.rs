//! A minisign secret key, and its password.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use minisign::{ErrorKind, SecretKey, SecretKeyBox};

use crate::exit::usage;

/// Where the password is looked for first.
const PASSWORD: &str = "MINISIGN_PASSWORD";

/// Characters of a secret key's second line: 158 bytes in base64. A public key's has fewer.
const ENCODED_LEN: usize = 212;

/// Reads a secret key as `minisign -G` writes it. Asks for the password if there is one and the environment does not have it.
pub fn secret_key(path: &Path) -> Result<SecretKey> {
    let wrong = |what: &str| usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let encoded = text.lines().nth(1).map_or(0, |line| line.trim().len());
    if encoded != ENCODED_LEN || !text.starts_with("untrusted comment: ") {
        return Err(wrong("this is not a minisign secret key (minisign -G makes one)"));
    }
    let key = SecretKeyBox::from(text);
    match SecretKey::from_unencrypted_box(key.clone()) {
        Ok(key) => return Ok(key),
        // With a password, as far as this can tell; all else will be said when it is tried.
        Err(error) if matches!(error.kind(), ErrorKind::Io) => {}
        Err(error) => return Err(wrong(&format!("this is not a whole minisign secret key: {error}"))),
    }
    let password = match std::env::var(PASSWORD) {
        Ok(password) => password,
        Err(_) => rpassword::prompt_password(format!("Password of {}: ", path.display())).map_err(|error| {
            wrong(&format!("the key has a password, and there is no terminal to ask for it ({error}): set {PASSWORD}"))
        })?,
    };
    SecretKey::from_box(key, Some(password)).map_err(|error| match error.kind() {
        ErrorKind::Verify => wrong(&format!("the password is wrong: set {PASSWORD}, or unset it to be asked")),
        _ => wrong(&format!("this is not a minisign secret key that can be used: {error}")),
    })
}

/// A signature as minisign prints it. The trusted comment, which it covers, has the time and the name of the file.
pub fn sign(key: &SecretKey, bytes: &[u8], file: &Path) -> Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // A name may hold anything; a comment is one line.
    let name = file.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?");
    let trusted = format!("timestamp:{time}\tfile:{name}\thashed");
    let signed = minisign::sign(None, key, bytes, Some(&trusted), Some("signature of a fat plugin's manifest"));
    Ok(signed.map_err(|error| usage(format!("the key cannot sign: {error}")))?.into_string())
}
