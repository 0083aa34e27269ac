//! Attributes for tests that need a tool. Without the tool, the test becomes `#[ignore = "needs ..."]`, so that `cargo
//! test` counts and names it, with what to install; `cargo test -- --ignored` runs it anyway.
//!
//! ```text
//! #[needs::valgrind]
//! #[test]
//! fn the_example_leaks_nothing() {}
//! ```

#![forbid(unsafe_code)]

use proc_macro::{TokenStream, TokenTree};

/// The test, ignored if there is a reason.
fn unless(reason: &str, item: TokenStream) -> TokenStream {
    let attributes: Vec<String> = attributes(item.clone()).collect();
    if !attributes.iter().any(|name| name == "test") {
        return r#"compile_error!("attributes of the crate `needs` go above #[test]");"#.parse().expect("Rust");
    }
    // Only the first reason is used: a second attribute would be a warning.
    if reason.is_empty() || attributes.iter().any(|name| name == "ignore") {
        return item;
    }
    let mut ignored: TokenStream = format!("#[ignore = {:?}]", format!("needs {reason}")).parse().expect("Rust");
    ignored.extend(item);
    ignored
}

/// The first word of each attribute before the item.
fn attributes(item: TokenStream) -> impl Iterator<Item = String> {
    let mut tokens = item.into_iter();
    std::iter::from_fn(move || match (tokens.next()?, tokens.next()?) {
        (TokenTree::Punct(hash), TokenTree::Group(group)) if hash.as_char() == '#' => {
            Some(group.stream().into_iter().next().map(|word| word.to_string()).unwrap_or_default())
        }
        _ => None,
    })
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident: $variable:literal;)*) => {
        $(
            $(#[$doc])*
            #[proc_macro_attribute]
            pub fn $name(_: TokenStream, item: TokenStream) -> TokenStream {
                unless(env!($variable), item)
            }
        )*
    };
}

needs! {
    /// A C compiler for this machine, which Rust's linker usually is.
    cc: "DYNVM_NEEDS_CC";
    /// A C++ compiler for this machine.
    cxx: "DYNVM_NEEDS_CXX";
    /// A clang that compiles C++ for this machine.
    clang_cxx: "DYNVM_NEEDS_CLANG_CXX";
    /// A clang and a linker for wasm without a C library.
    wasm_clang: "DYNVM_NEEDS_WASM_CLANG";
    /// A clang, a linker and a C library for WASI, as `dynvm build` uses for C.
    wasi_clang: "DYNVM_NEEDS_WASI_CLANG";
    /// A clang and a linker for aarch64.
    aarch64_clang: "DYNVM_NEEDS_AARCH64_CLANG";
    /// The library that bindgen reads headers with.
    libclang: "DYNVM_NEEDS_LIBCLANG";
    /// Rust for wasm, as `dynvm build` uses.
    wasm_rust: "DYNVM_NEEDS_WASM_RUST";
    /// An LLD to join plugins with: rustc's own, or an installed one.
    lld: "DYNVM_NEEDS_LLD";
    /// Rust for musl on this machine's processor.
    musl_rust: "DYNVM_NEEDS_MUSL_RUST";
    /// Rust for aarch64.
    aarch64_rust: "DYNVM_NEEDS_AARCH64_RUST";
    /// A C compiler for aarch64, with its C library, and an emulator to run programs for it.
    aarch64_emulator: "DYNVM_NEEDS_AARCH64_EMULATOR";
    /// CMake.
    cmake: "DYNVM_NEEDS_CMAKE";
    /// GNU's linker and tools for object files.
    binutils: "DYNVM_NEEDS_BINUTILS";
    /// pkg-config.
    pkg_config: "DYNVM_NEEDS_PKG_CONFIG";
    /// The compiler of protocol buffers.
    protoc: "DYNVM_NEEDS_PROTOC";
    /// Go, with cgo.
    go: "DYNVM_NEEDS_GO";
    /// A C compiler that builds with AddressSanitizer, and its runtime.
    asan: "DYNVM_NEEDS_ASAN";
    /// Valgrind.
    valgrind: "DYNVM_NEEDS_VALGRIND";
    /// An Envoy with V8 and dynamic modules, named by `DYNVM_ENVOY`.
    envoy: "DYNVM_NEEDS_ENVOY";
    /// A Chromium, named by `DYNVM_BROWSER`.
    browser: "DYNVM_NEEDS_BROWSER";
    /// A built proxy-wasm-cpp-host, named by `DYNVM_CPP_HOST_INCLUDE` and `DYNVM_CPP_HOST_LIB`.
    cpp_host: "DYNVM_NEEDS_CPP_HOST";
    /// The same, with the C++ SDK among the include directories.
    cpp_sdk: "DYNVM_NEEDS_CPP_SDK";
}

/// A `std::process::Command` that starts this program again, in the emulator if it runs in one.
#[proc_macro]
pub fn this_program(_: TokenStream) -> TokenStream {
    let mut words = env!("DYNVM_NEEDS_RUNNER").split_whitespace();
    let program = "::std::env::current_exe().unwrap()";
    let command = match words.next() {
        None => format!("::std::process::Command::new({program})"),
        Some(runner) => {
            let arguments: String = words.map(|word| format!("{word:?}, ")).collect();
            let arguments = format!("let arguments: &[&str] = &[{arguments}]; command.args(arguments).arg({program});");
            format!("{{ let mut command = ::std::process::Command::new({runner:?}); {arguments} command }}")
        }
    };
    command.parse().expect("Rust")
}
