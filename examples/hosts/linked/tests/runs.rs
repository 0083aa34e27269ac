//! The program runs its plugins.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-linked")).args(arguments).output().unwrap()
}

#[needs::lld]
#[needs::cxx]
#[test]
fn three_plugins_by_name() {
    let output = run(&[]);
    assert!(output.status.success(), "{output:?}");
    let expected =
        "cxx (ABI 0.2.1) says Continue\nheader_rewrite (ABI 0.2.1) says Continue\nsdk_old (ABI 0.1.0) says Continue\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[needs::lld]
#[needs::cxx]
#[test]
fn a_name_that_is_not_linked() {
    let output = run(&["header-rewrite"]);
    let expected = "error: no linked plugin `header-rewrite`; linked: cxx, header_rewrite, sdk_old;";
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(expected), "{output:?}");
    assert!(!output.status.success());
}
