//! The trust policy: each rule satisfied and violated, on the bytes that are loaded, and policies as files.

mod fat;
mod fixture;
mod policy_file;
mod rules;
mod signatures;
mod signer;
mod swapped;
