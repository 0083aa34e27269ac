//! A program with plugins, built in several ways by the tests.

#![allow(dead_code, reason = "each program uses what its plugins need")]

mod checks;
mod hostcalls;
mod libc;
mod vm;

/// The descriptors of the plugins, and a function that checks them.
mod plugins {
    include!(env!("PLUGINS"));
}

fn main() {
    plugins::check();
    println!("all right");
}
