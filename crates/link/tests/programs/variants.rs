//! Programs built in all usual ways.

use std::process::Command;

use crate::fixture::{self, AARCH64, ABORTS, C, CXX, CXX_SDK, GNU, Kind, MUSL, RUST};

macro_rules! variants {
    ($($(#[$doc:meta])* $name:ident: $($option:literal)*;)*) => {
        $(
            $(#[$doc])*
            #[needs::cc]
            #[needs::lld]
            #[test]
            fn $name() {
                fixture::check(GNU, stringify!($name), &[$($option),*], &[RUST, C]);
            }
        )*
    };
}

variants! {
    release: "-Copt-level=3" "-Cstrip=symbols";
    debug: "-Cdebuginfo=2";
    lto_fat: "-Copt-level=3" "-Clto=fat";
    lto_thin: "-Copt-level=3" "-Clto=thin";
    panic_abort: "-Copt-level=3" "-Cpanic=abort";
    lto_fat_panic_abort: "-Copt-level=3" "-Clto=fat" "-Cpanic=abort" "-Ccodegen-units=1";
    fixed_position: "-Copt-level=3" "-Crelocation-model=static";
    exported_symbols: "-Copt-level=3" "-Clink-arg=-rdynamic";
    identical_code_folded: "-Copt-level=3" "-Clink-arg=-fuse-ld=lld" "-Clink-arg=-Wl,--icf=all";
    gnu_linker: "-Copt-level=3" "-Clinker-features=-lld" "-Clink-arg=-fuse-ld=bfd";
    static_glibc: "-Copt-level=3" "-Ctarget-feature=+crt-static";
}

/// Without a linker for it, up to the last step but one.
#[needs::aarch64_rust]
#[needs::lld]
#[test]
fn aarch64() {
    let output = fixture::linked(AARCH64, &RUST[0]);
    let object = fixture::out_dir(AARCH64).join("aarch64.o");
    fixture::succeed(fixture::compile(AARCH64, "aarch64", &[RUST]).args(["--emit=obj", "-o"]).arg(&object));
    let lld = fixture::lld();
    let program = fixture::out_dir(AARCH64).join("aarch64.program");
    let mut link = Command::new(lld);
    // What is missing are the standard library and the C library.
    link.args(["-flavor", "gnu", "-pie", "--unresolved-symbols=ignore-all", "-o"]).arg(&program).arg(&object);
    fixture::succeed(link.arg(&output.library));
    assert!(std::fs::metadata(program).unwrap().len() > 100_000, "the plugin is in it");
}

#[needs::aarch64_rust]
#[needs::aarch64_emulator]
#[needs::lld]
#[test]
fn aarch64_in_an_emulator() {
    let options = ["-Copt-level=3", "-Clinker=aarch64-linux-gnu-gcc"];
    fixture::check(AARCH64, "aarch64_emulated", &options, &[RUST]);
}

#[needs::musl_rust]
#[needs::lld]
#[test]
fn static_musl() {
    fixture::check(MUSL, "musl", &["-Copt-level=3"], &[RUST]);
}

#[needs::musl_rust]
#[needs::lld]
#[test]
fn static_musl_fat_abort() {
    fixture::check(MUSL, "musl_fat", &["-Copt-level=3", "-Clto=fat", "-Cpanic=abort"], &[RUST]);
}

const ALL: &[&[Kind]] = &[RUST, C, CXX];

#[needs::cxx]
#[needs::lld]
#[test]
fn cxx_release() {
    fixture::check(GNU, "cxx_release", &["-Copt-level=3"], ALL);
}

#[needs::cxx]
#[needs::lld]
#[test]
fn cxx_lto_fat_abort() {
    fixture::check(GNU, "cxx_lto_fat_abort", &["-Copt-level=3", "-Clto=fat", "-Cpanic=abort"], ALL);
}

#[needs::cxx]
#[needs::lld]
#[test]
fn cxx_gnu_linker() {
    fixture::check(GNU, "cxx_gnu_linker", &["-Clinker-features=-lld", "-Clink-arg=-fuse-ld=bfd"], ALL);
}

#[needs::cpp_sdk]
#[needs::lld]
#[test]
fn cxx_sdk() {
    fixture::check(GNU, "cxx_sdk", &["-Copt-level=3"], &[CXX_SDK, RUST]);
}

/// The process ends, and where the program decides about it.
#[needs::cc]
#[needs::lld]
#[test]
fn a_panic_out_of_a_callback_aborts_through_the_program() {
    let output = fixture::run(GNU, "aborts", &["-Copt-level=3"], &[ABORTS]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a plugin aborts\n");
}
