//! `walhook condition` as an administrator meets it, and what the documentation of the language says of it.

mod document;
mod judged;
mod on_a_server;
mod tested;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `walhook condition` with these arguments in a folder.
fn condition(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.current_dir(folder).arg("condition").args(arguments);
    command.stdin(Stdio::null()).env_remove("WALHOOK_CONFIG").output().unwrap()
}

/// What a command prints (both channels) and its exit code.
fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}
