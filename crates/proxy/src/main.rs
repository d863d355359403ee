//! `turnout-proxy`: listens where stacks are published, and passes connections on to the colour that is live.
//!
//! It knows neither git, nor the store, nor the engine, nor Compose: a route table (crate `turnout-traffic`), which it keeps
//! in a file of its own and serves from it with nobody else there. What it cannot do yet is refused by name.
//!
//! From the ground up: `limits`, `dies` (points at which a test has it die), `worker` (threads), `handed` (what a service manager keeps between two proxies), `route_file` (the
//! file), `socket`, `date`, `counts`, `metrics`, `access` (its log), `standing` (held, maintained), `tls`,
//! `preamble` (PROXY protocol), `hello` (a TLS client's first words), `challenges` and `certificates`
//! (obtained by ACME), `arrives` (whose a connection is, and which host it names),
//! `board` (who gets a connection), `pass` (bytes both ways),
//! `http` (HTTP/1.1 and HTTP/2), `house` (what all share), `door`
//! (a listener), `change` (from one table to the next), `overlap` (from one process to the next), `control` (the socket),
//! `scrape` (the metrics' listener), `renew` (asks for a successor), `start` (what it
//! begins with), `run`.

mod access;
mod args;
mod arrives;
mod board;
mod certificates;
mod challenges;
mod change;
mod control;
mod counts;
mod date;
mod dies;
mod door;
mod handed;
mod hello;
mod house;
mod http;
mod limits;
mod metrics;
mod overlap;
mod pass;
mod preamble;
mod renew;
mod route_file;
mod run;
mod scrape;
mod socket;
mod standing;
mod start;
mod tls;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let outcome = match command {
        Command::Run(_) if overlap::is_launched() => overlap::launch(),
        Command::Run(settings) => run::run(*settings),
        Command::Renew { socket } => renew::ask(&socket),
        Command::Redirect => turnout_nat::serve(),
        Command::Check { file } => check(&file),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&message);
            ExitCode::FAILURE
        }
    }
}

/// The last words; whoever started it may have closed standard error.
fn say(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "turnout-proxy: {message}");
}

/// `check`: one line a mistake, those of certificates in files included.
fn check(file: &std::path::Path) -> Result<(), String> {
    match route_file::read(file) {
        Ok(Some((_, served))) => {
            use std::io::Write as _;
            // What is obtained may be missing, and whether it may be is said where the proxy is started.
            tls::Store::default().load(&served.table, None).map_err(|mistakes| told(file, &mistakes))?;
            let routes: usize = served.table.repositories.values().map(|repository| repository.routes.len()).sum();
            let (routes, serial) = (turnout_report::counted(routes, "route"), served.serial);
            let _ = writeln!(std::io::stdout(), "{}: no mistake; serial {serial}, {routes}", file.display());
            Ok(())
        }
        Ok(None) => Err(format!("{}: there is no such file", file.display())),
        Err(mistakes) => Err(told(file, &mistakes)),
    }
}

fn told(file: &std::path::Path, mistakes: &turnout_traffic::Mistakes) -> String {
    let lines: Vec<String> = mistakes.0.iter().map(|mistake| format!("{}: {mistake}", file.display())).collect();
    lines.join("\nturnout-proxy: ")
}
