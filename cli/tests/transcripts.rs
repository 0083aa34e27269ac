//! The transcripts of `transcripts.md` are what the tool prints.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/transcripts.md");
}
