//! `turnout`: argv -> cli -> exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((command, rest)) if command == "compose" => turnout::cli::compose_config::run(rest),
        _ => ExitCode::FAILURE,
    }
}
