//! `turnout compose`: the command line of Docker Compose on our own engine. Arguments, then one file a group of commands.

mod ahead;
mod apart;
mod api_socket;
pub mod args;
mod attach;
mod bake;
mod by_repo;
mod config;
mod converge;
mod copy;
mod deprecated;
mod digests;
mod exec;
mod files;
mod follow;
mod images;
mod inspect;
mod lifecycle;
mod logs;
mod plugin;
mod printer;
mod process;
mod progress;
mod prompt;
mod provider;
mod ps;
mod push;
mod refused;
mod remote_stack;
mod run;
mod session;
mod stats;
mod template;
mod terminal;
mod time;
mod up;
mod variables;
mod wait;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use args::{ComposeCli, ComposeCommand, VersionArgs};
pub use by_repo::Choose;
use clap::{CommandFactory as _, FromArgMatches as _};
use plugin::Called;
use session::Session;
use turnout_compose::labels::{COMPOSE_VERSION, name_as_compose_1};
use turnout_docker::ApplyError;
use turnout_report::redact;

/// Exit code of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs a program that was called by the name of Docker's plugin; `None` = it was called by another name.
pub fn run_as_plugin(argv: &[OsString], repository: &Choose) -> Option<ExitCode> {
    let by_docker = std::env::var_os("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND").is_some();
    Some(match plugin::called(argv, by_docker)? {
        Called::Command(words) => run(words, repository),
        Called::Refused(why) => complain(&anyhow::Error::msg(why)),
        Called::Metadata(text) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.into()),
        },
    })
}

/// Runs `turnout compose …`; `rest` is everything after `compose`, `repository` tells what `--repo` means.
pub fn run(rest: Vec<OsString>, repository: &Choose) -> ExitCode {
    let argv = std::iter::once(OsString::from("turnout compose")).chain(rest);
    let unread = |error: clap::Error| {
        if error.kind() == clap::error::ErrorKind::DisplayVersion {
            return match version(&VersionArgs { short: false, format: "pretty".to_owned() }) {
                Ok(code) => ExitCode::from(code),
                Err(error) => complain(&error),
            };
        }
        // A reader that has gone is not worth a word.
        let _ = error.print();
        ExitCode::from(u8::from(error.use_stderr()))
    };
    let argv: Vec<OsString> = argv.collect();
    let grammar = || refused::known(ComposeCli::command());
    let matches = match grammar().try_get_matches_from(&argv) {
        // Help and the version are no failure.
        Err(error) if error.use_stderr() => args::lenient(grammar()).try_get_matches_from(&argv),
        read => read,
    };
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) => return unread(error),
    };
    if let Some(refusal) = refused::refusal(&matches) {
        return complain(&anyhow::Error::msg(refusal));
    }
    let ComposeCli { global, command } = match ComposeCli::from_arg_matches(&matches) {
        Ok(parsed) => parsed,
        Err(error) => return unread(error),
    };
    if let Err(error) = deprecated::note(&argv, &global, &command) {
        return complain(&error);
    }
    let mut global = global;
    let mut session = match by_repo::choose(&mut global, repository) {
        Ok(chosen) => Session::new(global, chosen.as_ref()),
        Err(error) => return complain(&error),
    };
    if session.compatible() {
        name_as_compose_1();
    }
    if let ComposeCommand::Build(args) = &command
        && let Some(kind) = args.progress
    {
        session.global.progress = kind;
    }
    if let Err(error) = session.check_settings() {
        return complain(&error);
    }
    let done = match command {
        // No engine, no runtime.
        ComposeCommand::Config(args) => config::config(&session, &args),
        ComposeCommand::Version(args) => version(&args),
        command => with_runtime(&session, command),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => complain(&error),
    }
}

fn with_runtime(session: &Session, command: ComposeCommand) -> anyhow::Result<u8> {
    // One thread: the work is waiting for the engine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(execute(session, command));
    // A thread that still reads standard input must not hold the exit up.
    runtime.shutdown_background();
    done
}

async fn execute(session: &Session, command: ComposeCommand) -> anyhow::Result<u8> {
    match command {
        ComposeCommand::Config(args) => config::config(session, &args),
        ComposeCommand::Version(args) => version(&args),
        ComposeCommand::Up(args) => up::up(session, &args).await,
        ComposeCommand::Create(args) => up::create(session, &args).await,
        ComposeCommand::Build(args) => images::build(session, &args).await,
        ComposeCommand::Pull(args) => images::pull_images(session, &args).await,
        ComposeCommand::Start(args) => lifecycle::start(session, &args).await,
        ComposeCommand::Stop(args) => lifecycle::stop(session, &args).await,
        ComposeCommand::Restart(args) => lifecycle::restart(session, &args).await,
        ComposeCommand::Kill(args) => lifecycle::kill(session, &args).await,
        ComposeCommand::Rm(args) => lifecycle::rm(session, &args).await,
        ComposeCommand::Down(args) => lifecycle::down(session, &args).await,
        ComposeCommand::Ps(args) => ps::ps(session, &args).await,
        ComposeCommand::Ls(args) => ps::ls(session, &args).await,
        ComposeCommand::Logs(args) => logs::logs(session, &args).await,
        ComposeCommand::Exec(args) => exec::exec(session, &args).await,
        ComposeCommand::Run(args) => run::run(session, &args).await,
        ComposeCommand::Events(args) => inspect::events(session, &args).await,
        ComposeCommand::Port(args) => inspect::port(session, &args).await,
        ComposeCommand::Top(args) => inspect::top(session, &args).await,
        ComposeCommand::Images(args) => inspect::images(session, &args).await,
        ComposeCommand::Attach(args) => exec::attach(session, &args).await,
        ComposeCommand::Commit(args) => copy::commit(session, &args).await,
        ComposeCommand::Cp(args) => copy::cp(session, &args).await,
        ComposeCommand::Export(args) => copy::export(session, &args).await,
        ComposeCommand::Pause(args) => lifecycle::pause(session, &args, false).await,
        ComposeCommand::Unpause(args) => lifecycle::pause(session, &args, true).await,
        ComposeCommand::Push(args) => push::push(session, &args).await,
        ComposeCommand::Scale(args) => up::scale(session, &args).await,
        ComposeCommand::Stats(args) => stats::stats(session, &args).await,
        ComposeCommand::Volumes(args) => stats::volumes(session, &args).await,
        ComposeCommand::Wait(args) => lifecycle::wait(session, &args).await,
        ComposeCommand::Watch(args) => watch::watch(session, &args).await,
    }
}

fn version(args: &VersionArgs) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    let own = env!("CARGO_PKG_VERSION");
    if args.short {
        writeln!(out, "{COMPOSE_VERSION}")?;
    } else if args.format == "json" {
        writeln!(out, "{}", serde_json::json!({ "version": COMPOSE_VERSION, "turnout": own }))?;
    } else {
        writeln!(out, "Docker Compose version {COMPOSE_VERSION} (as turnout {own} does it)")?;
    }
    Ok(0)
}

/// Says what went wrong on standard error.
fn complain(error: &anyhow::Error) -> ExitCode {
    if let Some(io) = error.downcast_ref::<io::Error>()
        && io.kind() == io::ErrorKind::BrokenPipe
    {
        // The reader has gone.
        return ExitCode::SUCCESS;
    }
    let text = turnout_report::with_sources(error.as_ref());
    let _ = writeln!(io::stderr(), "{}", redact::redact_shapes(&text));
    match error.downcast_ref::<ApplyError>() {
        Some(ApplyError::Cancelled { .. }) => ExitCode::from(INTERRUPTED),
        _ => ExitCode::FAILURE,
    }
}
