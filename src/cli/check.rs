//! `turnout check`: settings, `repos.yaml`, the engine, each repository's `.env` and Compose files. Changes nothing.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use rustix::fs::{Access, AtFlags, CWD};

use super::{args::CheckArgs, command::Trouble, unit, waiting::Waiting};
use crate::{
    config::{self, LiveRepos, OutsidePaths, Repo},
    deploy::{Planner, load_project, place},
    files, git,
    report::counted,
    store,
};

/// The list of the daemon that `turnout.service` runs.
const UNITS_LIST: &str = "/etc/turnout/repos.yaml";

/// Checks everything and says all that is wrong, not only the first.
pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Trouble> {
    let settings = config::gather(&args.settings)?;
    let mut out = io::stdout().lock();
    let mut problems = 0;
    let mut say = |ok: bool, text: &str| -> io::Result<()> {
        problems += usize::from(!ok);
        writeln!(out, "{} {text}", if ok { "ok     " } else { "PROBLEM" })
    };
    if settings.webhook_secret.is_none() && !settings.insecure_no_secret {
        say(false, "no webhook secret: `serve` refuses to start (set WEBHOOK_SECRET)")?;
    } else {
        say(true, "settings")?;
    }
    // Entries without a mistake are looked at all the same: one round of repairs, not one for each kind of fault.
    let (repos, mistakes) = LiveRepos::open_sound(&settings.repos, settings.variables(), &settings.last_good());
    let repos = Arc::new(repos);
    let loaded = repos.checked();
    for mistake in &mistakes.0 {
        say(false, &mistake.to_string())?;
    }
    let listed = counted(loaded.repos.repos.len(), "repository");
    match mistakes.0.len() {
        0 => say(true, &format!("{}: {listed}", settings.repos.display()))?,
        _ if loaded.repos.repos.is_empty() => {
            say(true, "but note: until that is corrected, the daemon goes on with its last good list, if it had one")?;
        }
        _ => say(true, &format!("{}: {listed} without a mistake, looked at below", settings.repos.display()))?,
    }
    if rustix::process::geteuid().is_root() {
        say(
            true,
            "but note: asked as root, who may read and write everything; `sudo -u turnout turnout check` asks as the daemon",
        )?;
    }
    // Another list than the unit's is that of a daemon without its walls.
    let walls = if settings.repos == Path::new(UNITS_LIST) { unit::walls().await } else { None };
    for warning in &loaded.repos.warnings {
        say(true, &format!("but note: {warning}"))?;
    }
    let planner = Planner::new(Arc::new(settings), Arc::clone(&repos)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut stacks = None;
    let waiting = Waiting::for_("the Docker engine", None);
    match waiting.told(planner.engine()).await {
        Ok(engine) => {
            say(true, &format!("Docker engine at {}, API {}", engine.endpoint(), engine.version()))?;
            stacks = Some(waiting.told(engine.stacks()).await.map_err(|error| anyhow::anyhow!("{error}"))?);
        }
        Err(error) => say(false, &error.to_string())?,
    }
    let places = match store::peek_places(&planner.settings.database()) {
        Ok(places) => places,
        Err(error) => {
            say(false, &error.to_string())?;
            Vec::new()
        }
    };
    let mut projects = BTreeMap::new();
    for repo in &place::all_now(&loaded.repos.repos) {
        let redactor = planner.redactor.of(&repo.name);
        for fault in transfer(repo, &planner).into_iter().chain(standing(repo, walls.as_ref())) {
            say(false, &redactor.redact(&format!("{}: {fault}", repo.name)))?;
        }
        if !repo.real_path.exists() && repo.remote.is_some() {
            say(true, &format!("{}: not cloned yet; the first deployment does that", repo.name))?;
            continue;
        }
        match git::head(&repo.real_path) {
            Ok(head) => say(true, &format!("{}: {} at {}", repo.name, repo.path.display(), git::short(&head.commit)))?,
            Err(error) => say(false, &format!("{}: {error}", repo.name))?,
        }
        for left_out in git::left_out(&repo.real_path, repo.submodules).unwrap_or_default() {
            say(true, &format!("{}: but note: {}", repo.name, left_out.to_sentence()))?;
        }
        if repo.submodules && !repo.submodule_hosts.is_empty() {
            let hosts = repo.submodule_hosts.join(", ");
            say(true, &format!("{}: submodules may also lie on {hosts}", repo.name))?;
        }
        if repo.outside_paths == OutsidePaths::Allow {
            let text = "files outside of it are read where a commit names them (outside_paths: allow)";
            say(true, &format!("{}: but note: {text}", repo.name))?;
        }
        for (path, host) in foreign(repo) {
            let what = format!("its submodule {path} lies on {host}, from which turnout may not fetch");
            say(false, &format!("{}: {what}; if it may: `submodule_hosts: [{host}]`", repo.name))?;
        }
        let (reading, learning) = (repo.clone(), redactor.clone());
        let loaded = files::blocking(move || load_project(&reading, &learning)).await;
        match loaded.unwrap_or_else(|lost| Err(lost.into())) {
            Ok(project) => {
                let stack = &project.stack;
                let services = counted(project.project.services.len(), "service");
                let files = stack.files.join(", ");
                say(true, &format!("{}: {} from {files} ({services})", repo.name, stack.project))?;
                if let Some(other) = projects.insert(stack.project.clone(), &repo.name) {
                    say(false, &format!("{}: means the same project {} as {other}", repo.name, stack.project))?;
                }
                if let Some(stacks) = &stacks {
                    match waiting.told(planner.refuse_second(repo, &project, stacks, &places, false)).await {
                        Ok(None) => {}
                        Ok(Some(note)) => say(true, &format!("{}: but note: {note}", repo.name))?,
                        Err(failure) => {
                            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                            say(false, &format!("{}: {}{hint}", repo.name, failure.summary))?;
                        }
                    }
                }
                for warning in &project.warnings {
                    say(true, &redactor.redact(&format!("{}: but note: {warning}", repo.name)))?;
                }
            }
            Err(failure) => {
                let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                let text = format!("{}: {}{hint}", repo.name, failure.summary);
                say(false, &redactor.redact(&text))?;
            }
        }
    }
    writeln!(
        io::stdout(),
        "{}",
        if problems == 0 {
            "all is well".to_owned()
        } else {
            format!("{problems} {}", if problems == 1 { "problem" } else { "problems" })
        }
    )?;
    Ok(match problems {
        0 => ExitCode::SUCCESS,
        // As every command says it: a mistake in the list.
        _ if !mistakes.0.is_empty() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}

/// Submodules that the next deployment would refuse. What keeps them from being read is told by others.
fn foreign(repo: &Repo) -> Vec<(String, String)> {
    let remote = git::remote_address(&repo.real_path, repo.remote.as_deref()).filter(|_| repo.submodules);
    let found = remote.map(|remote| git::foreign_submodules(&repo.real_path, &remote, &repo.submodule_hosts));
    found.and_then(Result::ok).unwrap_or_default()
}

/// What is certain to keep a fetch from working: its key, its host, its token.
fn transfer(repo: &Repo, planner: &Planner) -> Vec<String> {
    let mut wrong = Vec::new();
    let token = repo.token.as_ref().and_then(|source| match planner.repos.secret(source) {
        Ok(token) => {
            planner.redactor.add_secret(&token);
            Some(token)
        }
        Err(reason) => {
            wrong.push(format!("the token: {reason}"));
            None
        }
    });
    let auth = git::GitAuth {
        ssh_key: repo.ssh_key.clone(),
        known_hosts: repo.known_hosts.clone(),
        token,
        ..git::GitAuth::default()
    };
    if let Some(address) = git::remote_address(&repo.real_path, repo.remote.as_deref()) {
        wrong.extend(git::foreseen(&auth, &address));
    }
    wrong
}

/// What is certain to keep the work tree from being written: its own rights, or the directory's that it is to be cloned
/// into, or the walls of the daemon's unit.
fn standing(repo: &Repo, walls: Option<&unit::Walls>) -> Vec<String> {
    let mut wrong = Vec::new();
    let target = if repo.real_path.exists() { Some(repo.real_path.as_path()) } else { repo.real_path.parent() };
    if let Some(target) = target
        && let Err(error) = rustix::fs::accessat(CWD, target, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
    {
        wrong.push(format!(
            "{} may not be written by this user: {} (the daemon's user must own it: chown -R turnout: {})",
            target.display(),
            std::io::Error::from(error),
            repo.path.display()
        ));
    }
    wrong.extend(
        walls.and_then(|walls| walls.forbid(&repo.real_path)).map(|why| format!("{}: {why}", repo.path.display())),
    );
    wrong
}
