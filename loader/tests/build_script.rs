//! What the build script prints when the C compiler fails.

use std::process::Command;

#[path = "../build_command.rs"]
mod command_line;

#[test]
fn the_environment_is_not_printed() {
    let mut command = Command::new("/usr/bin/cc");
    command.env("SECRET_TOKEN", "hunter2").args(["-shared", "-o", "dynvm_imports.so"]);
    assert!(format!("{command:?}").contains("hunter2"), "what is avoided");
    assert_eq!(command_line::command_line(&command), "/usr/bin/cc -shared -o dynvm_imports.so");
    let script = include_str!("../build.rs");
    assert!(!script.contains(":?}"), "no `Debug` of a command in a message");
}
