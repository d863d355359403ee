//! Runs one program and writes what it took: wall time from the moment it is asked for until it has ended, and the
//! largest resident set of any one process of it. `script/bench` measures with it, as a shell that starts GNU time which
//! starts the program adds 2 ms of starting processes to every figure, which is half of a short command.
//!
//!     cargo run --release --example measured -- FILE PROGRAM [ARGUMENT...]
//!
//! FILE then holds milliseconds and KiB, on one line. Ends with the program's exit code.
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::{
    error::Error,
    fs,
    process::{Command, ExitCode},
    time::Instant,
};

use wait4::Wait4 as _;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("usage: measured FILE PROGRAM [ARGUMENT...]".into());
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    let began = Instant::now();
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    let ended = child.wait4()?;
    let took = began.elapsed();
    let peak = ended.rusage.maxrss / 1024;
    fs::write(&file, format!("{:.3} {peak}\n", took.as_secs_f64() * 1e3))?;
    Ok(ended.status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
