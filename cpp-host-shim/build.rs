//! Compiles the shim against the headers of proxy-wasm-cpp-host if `DYNVM_CPP_HOST_INCLUDE` names the include
//! directories, separated by colons. Without them the library contains only the loader's C API.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=DYNVM_CPP_HOST_INCLUDE");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=include");
    let Ok(host) = std::env::var("DYNVM_CPP_HOST_INCLUDE") else { return };
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .warnings(true)
        .includes(host.split(':'))
        .includes([Path::new("include"), Path::new("../loader/include")]);
    build.files(["src/dyn_vm.cc", "src/loading.cc"]).compile("dynvm_cpp_host_shim");
}
