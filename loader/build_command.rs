//! A command as build logs may have it.

use std::process::Command;

/// Program and arguments. `Debug` of a command prints its environment too, and cc's commands have one: it may hold secrets.
pub fn command_line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}
