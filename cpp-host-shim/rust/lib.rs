//! One archive for a C++ host to link: the shim (`src/`, C++) and the loader's C API.

#![forbid(unsafe_code)]

extern crate dynvm_loader;
