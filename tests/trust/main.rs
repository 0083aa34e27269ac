//! The trust policy: each rule satisfied and violated, on the loaded bytes, and policies as files.

mod fat;
mod fixture;
mod policy_file;
mod rules;
mod signatures;
mod signer;
mod swapped;
