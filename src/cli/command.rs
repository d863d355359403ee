//! From parsed arguments to an exit code.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser as _;

use super::{
    args::{Arguments, Command, DeployArgs, ReleaseArgs, SocketArg},
    backup, by_repo, check,
    client::{Client, ClientError},
    colours, deliveries, deploy, documents, history, letters,
    logging::is_journal,
    notify::notify,
    plan, prune, rollout, serve, show,
    trouble::Trouble,
};
use crate::{composer, config};

/// Exit code of an error in what was asked, or in the settings.
const USAGE: u8 = 2;
/// Exit code when no daemon answers.
const UNREACHABLE: u8 = 4;
/// Exit code when the reader of the output has gone, as a shell shows it of a program that SIGPIPE ended.
const NO_READER: u8 = 141;

/// Runs the program.
pub fn run() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    if let Some(code) = composer::run_as_plugin(&argv, &by_repo::choose) {
        return code;
    }
    // `compose` has a grammar of its own; the daemon's need not be declared for it.
    let mut words = argv.into_iter().skip(1);
    if words.next().is_some_and(|first| first == "compose") {
        return composer::run(words.collect(), &by_repo::choose);
    }
    let arguments = Arguments::parse();
    if let Command::Compose(args) = arguments.command {
        return composer::run(args.rest, &by_repo::choose);
    }
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
    let workers = if matches!(arguments.command, Command::Serve(_)) { threads } else { 1 };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("turnout")
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Trouble::Other(error.into())),
    };
    let serves = matches!(arguments.command, Command::Serve(_));
    let done = runtime.block_on(execute(arguments));
    if let (true, Err(trouble)) = (serves, &done) {
        tell_systemd(trouble);
    }
    // Threads that still wait for a silent peer must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done.unwrap_or_else(|trouble| complain(&trouble))
}

async fn execute(arguments: Arguments) -> Result<ExitCode, Trouble> {
    let top = arguments.socket;
    let client = |own: &SocketArg| Client::new(&socket(own.socket.clone().or_else(|| top.socket.clone())));
    match arguments.command {
        Command::Serve(mut args) => {
            if let Some(socket) = top.socket {
                args.settings.given.entry("socket").or_insert_with(|| socket.to_string_lossy().into_owned());
            }
            serve(config::gather(&args.settings)?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Deploy(args) => deploy::deploy(&client(&args.socket), &args).await,
        Command::Release(args) => {
            let ReleaseArgs { repo, detach, socket } = args;
            let args = DeployArgs { repo, detach, release: true, socket, ..DeployArgs::default() };
            deploy::deploy(&client(&args.socket), &args).await
        }
        Command::Rollback(args) => colours::rollback(&client(&args.socket), &args.repo, args.to).await,
        Command::Promote(args) => colours::promote(&client(&args.socket), &args.repo, args.full).await,
        Command::Preview(args) => colours::preview(&client(&args.socket), &args.repo).await,
        Command::Pause(args) => colours::pause(&client(&args.socket), &args.repo).await,
        Command::Resume(args) => colours::resume(&client(&args.socket), &args.repo).await,
        Command::Maintain(args) => colours::maintain(&client(&args.socket), &args).await,
        Command::Rollout(args) => rollout::rollout(&client(&args.socket), &args).await,
        Command::Abort(args) => colours::abort(&client(&args.socket), &args.repo).await,
        Command::Cancel(args) => show::cancel(&client(&args.socket), args.deployment).await,
        Command::Status(args) => show::status(&client(&args.socket), &args).await,
        Command::History(args) => history::history(&client(&args.socket), &args).await,
        Command::Deliveries(args) => deliveries::deliveries(&client(&args.socket), &args).await,
        Command::Letters(args) => letters::letters(&client(&args.socket), &args).await,
        Command::Logs(args) => show::logs(&client(&args.socket), &args).await,
        Command::Plan(args) => {
            let own = SocketArg { socket: args.settings.given.get("socket").map(PathBuf::from) };
            plan::plan(&client(&own), &args).await
        }
        Command::Prune(args) => prune::prune(&args).await,
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Check(args) => check::check(&args).await,
        Command::Schema(args) => documents::schema(&args),
        Command::Documents(args) => documents::documents(&args),
        Command::Compose(args) => Ok(composer::run(args.rest, &by_repo::choose)),
    }
}

/// The control socket: command line, environment, systemd's directory, default.
fn socket(given: Option<PathBuf>) -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given.or_else(|| from("TURNOUT_SOCKET")).unwrap_or_else(|| {
        from("TURNOUT_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run/turnout")).join("turnout.sock")
    })
}

/// Says what went wrong on standard error.
fn complain(trouble: &Trouble) -> ExitCode {
    if let Trouble::Other(error) = trouble
        && error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    {
        return ExitCode::from(NO_READER); // `turnout logs | head` is nobody's mistake
    }
    let (text, hint, code) = words(trouble);
    let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    let mut said = format!("turnout: {text}\n{hint}");
    // systemd's journal takes what has no priority for an ordinary message, and shows it among those.
    if is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stderr()) {
        said = said.split_inclusive('\n').flat_map(|line| ["<3>", line]).collect();
    }
    // A reader that has gone is not worth a word.
    let _ = io::stderr().lock().write_all(said.as_bytes());
    ExitCode::from(code)
}

/// What went wrong, what to do about it, and the exit code.
fn words(trouble: &Trouble) -> (String, Option<String>, u8) {
    match trouble {
        Trouble::Client(error @ ClientError::Unreachable { .. }) => (error.to_string(), error.hint(), UNREACHABLE),
        Trouble::Client(error) => (error.to_string(), error.hint(), 1),
        Trouble::Failure(failure) => (failure.summary.clone(), failure.hint.clone(), 1),
        Trouble::Mistakes(mistakes) => (mistakes.to_string(), None, USAGE),
        Trouble::Gone(text) => (text.clone(), None, UNREACHABLE),
        Trouble::Other(error) => (crate::report::with_sources(error.as_ref()), None, 1),
    }
}

/// Has `systemctl status` say why the daemon does not run, also while systemd waits to start it again.
fn tell_systemd(trouble: &Trouble) {
    let (text, ..) = words(trouble);
    // The status is one line.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    notify(&[sd_notify::NotifyState::Status(&format!("does not run: {}", lines.join("; ")))]);
}
