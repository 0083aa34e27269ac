//! Reads a minisign secret key and its password, and signs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use minisign::{ErrorKind, SecretKey, SecretKeyBox};

use crate::exit::usage;

/// Environment variable with the password.
const PASSWORD: &str = "MINISIGN_PASSWORD";

/// Length of a secret key's second line: 158 bytes in base64. A public key's is shorter.
const ENCODED_LEN: usize = 212;

/// Reads a secret key as written by `minisign -G`. Prompts for a missing password.
pub fn secret_key(path: &Path) -> Result<SecretKey> {
    let wrong = |what: &str| usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let encoded = text.lines().nth(1).map_or(0, |line| line.trim().len());
    if encoded != ENCODED_LEN || !text.starts_with("untrusted comment: ") {
        return Err(wrong("this is not a minisign secret key (minisign -G creates one)"));
    }
    let key = SecretKeyBox::from(text);
    match SecretKey::from_unencrypted_box(key.clone()) {
        Ok(key) => return Ok(key),
        // Probably encrypted; other errors show when it is decrypted.
        Err(error) if matches!(error.kind(), ErrorKind::Io) => {}
        Err(error) => return Err(wrong(&format!("incomplete minisign secret key: {error}"))),
    }
    let password = match std::env::var(PASSWORD) {
        Ok(password) => password,
        Err(_) => rpassword::prompt_password(format!("Password of {}: ", path.display())).map_err(|error| {
            wrong(&format!(
                "the key has a password, and there is no terminal to prompt for it ({error}); set {PASSWORD}"
            ))
        })?,
    };
    SecretKey::from_box(key, Some(password)).map_err(|error| match error.kind() {
        ErrorKind::Verify => wrong(&format!("the password is wrong; set {PASSWORD}, or unset it for a prompt")),
        _ => wrong(&format!("unusable minisign secret key: {error}")),
    })
}

/// A signature in minisign's format. The trusted comment, which it covers, has the time and the file name.
pub fn sign(key: &SecretKey, bytes: &[u8], file: &Path) -> Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // A file name may contain anything, but a comment is one line.
    let name = file.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?");
    let trusted = format!("timestamp:{time}\tfile:{name}\thashed");
    let signed = minisign::sign(None, key, bytes, Some(&trusted), Some("signature of a fat plugin's manifest"));
    Ok(signed.map_err(|error| usage(format!("the key cannot sign: {error}")))?.into_string())
}
