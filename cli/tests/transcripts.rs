//! The transcripts are what the tool prints.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/transcripts.md");
}

/// Its commands name the machine.
#[cfg(target_arch = "x86_64")]
#[needs::wasi_clang]
#[test]
fn bundle() {
    trycmd::TestCases::new().case("tests/bundle.md");
}

#[needs::cc]
#[needs::lld]
#[test]
fn static_libraries() {
    trycmd::TestCases::new().case("tests/static.md");
}
