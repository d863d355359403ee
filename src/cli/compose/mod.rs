//! `turnout compose`: arguments, then one file a group of commands.

pub mod args;

use std::{ffi::OsString, process::ExitCode};

/// Runs `turnout compose …`; `rest` is everything after `compose`.
pub fn run(rest: Vec<OsString>) -> ExitCode {
    let rest: Vec<String> = rest.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    super::compose_config::run(&rest)
}
