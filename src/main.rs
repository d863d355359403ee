//! `turnout`: argv -> cli -> exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    turnout::cli::run()
}
