//! `turnout check`: settings, `repos.yaml`, the engine, each repository's `.env` and Compose files. Changes nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use rustix::{
    fs::{Access, AtFlags, CWD},
    io::Errno,
};

use super::{args::CheckArgs, check_order, check_switch, state_room, trouble::Trouble, unit, waiting::Waiting};
use crate::{
    config::{self, LiveRepos, OutsidePaths, Repo, TokenSource},
    deploy::{Failure, Planner, all_the_same, load_project, place},
    engine::EngineError,
    files, forge, git,
    report::counted,
    store,
};

/// The list of the daemon that `turnout.service` runs.
const UNITS_LIST: &str = "/etc/turnout/repos.yaml";

/// Checks everything and says all that is wrong, not only the first.
pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Trouble> {
    let (settings, faulty) = config::gather_all(&args.settings);
    let mut out = io::stdout().lock();
    let mut problems = 0;
    let mut unjudged = 0;
    let mut say = |mark: Mark, text: &str| -> io::Result<()> {
        let label = match mark {
            Mark::Ok => "ok     ",
            Mark::Wrong => "PROBLEM",
            Mark::Unjudged => "UNKNOWN",
        };
        problems += usize::from(mark == Mark::Wrong);
        unjudged += usize::from(mark == Mark::Unjudged);
        writeln!(out, "{label} {text}")
    };
    // What is the daemon's own matter (its keys, its rights) is judged for nobody else.
    let daemon = daemons_user(&settings.database());
    let own = if daemon.is_some() { Mark::Unjudged } else { Mark::Wrong };
    if let Some(daemon) = &daemon {
        let me = files::this_user();
        let rights = if me == "root" { ", who may read and write everything" } else { "" };
        let sudo = if daemon == "root" { "sudo".to_owned() } else { format!("sudo -u {daemon}") };
        let text = format!(
            "but note: asked as {me}{rights}, and the daemon runs as {daemon}: keys, known hosts and rights of {daemon} are not \
             judged; `{sudo} turnout check` does"
        );
        say(Mark::Ok, &text)?;
    }
    for mistake in &faulty.0 {
        say(Mark::Wrong, &mistake.to_string())?;
    }
    if settings.webhook_secret.is_none() && !settings.insecure_no_secret {
        say(Mark::Wrong, "no webhook secret: `serve` refuses to start (set WEBHOOK_SECRET)")?;
    } else if faulty.0.is_empty() {
        say(Mark::Ok, "settings")?;
    }
    if !faulty.0.is_empty() {
        say(Mark::Ok, "but note: what follows is looked at with the defaults of the settings that have a mistake")?;
    }
    // Entries without a mistake are looked at all the same: one round of repairs, not one for each kind of fault.
    let (repos, mistakes) = LiveRepos::open_sound(&settings.repos, settings.variables(), &settings.last_good());
    let repos = Arc::new(repos);
    let loaded = repos.checked();
    for mistake in &mistakes.0 {
        say(Mark::Wrong, &mistake.to_string())?;
    }
    let listed = counted(loaded.repos.repos.len(), "repository");
    match mistakes.0.len() {
        0 => say(Mark::Ok, &format!("{}: {listed}", settings.repos.display()))?,
        _ if loaded.repos.repos.is_empty() => {
            say(
                Mark::Ok,
                "but note: until that is corrected, the daemon goes on with its last good list, if it had one",
            )?;
        }
        _ => say(Mark::Ok, &format!("{}: {listed} without a mistake, looked at below", settings.repos.display()))?,
    }
    if daemon.is_none() && rustix::process::geteuid().is_root() {
        let text = "but note: asked as root, who may read and write everything";
        say(Mark::Ok, text)?;
    }
    // Another list than the unit's is that of a daemon without its walls.
    let walls = if settings.repos == Path::new(UNITS_LIST) { unit::walls().await } else { None };
    for warning in &loaded.repos.warnings {
        say(Mark::Ok, &format!("but note: {warning}"))?;
    }
    let planner = Planner::new(Arc::new(settings), Arc::clone(&repos)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let (mut stacks, mut engine, mut derived) = (None, None, Vec::new());
    let waiting = Waiting::for_("the Docker engine", None);
    match waiting.told(planner.engine()).await {
        Ok(there) => {
            say(Mark::Ok, &format!("Docker engine at {}, API {}", there.endpoint(), there.version()))?;
            stacks = Some(waiting.told(there.stacks()).await.map_err(|error| anyhow::anyhow!("{error}"))?);
            engine = Some(there);
        }
        Err(error) => say(if closed_to_us(&error) { own } else { Mark::Wrong }, &error.to_string())?,
    }
    if !state_room::is_there(&planner.settings.state_dir).await {
        let folder = planner.settings.state_dir.display();
        let text = format!(
            "the disk of the state directory {folder} is full: pushes are refused with 507, and nothing is deployed (make room there: \
             `df -h`, `df -i`)"
        );
        say(Mark::Wrong, &text)?;
    }
    // A large one takes its time.
    let database = planner.settings.database();
    let file = database.clone();
    let looked = files::blocking(move || store::foreseen(&file)).await;
    let damage = looked.ok().flatten();
    if let Some(damage) = &damage {
        say(Mark::Wrong, damage)?;
    }
    if !database.exists() {
        let text = format!(
            "but note: there is no {}: what was deployed before is not known here; where the daemon has another state directory, \
             give this command the same",
            database.display()
        );
        say(Mark::Ok, &text)?;
    }
    // Damage is told above; what else cannot be read of it, once: it is one file.
    let mut unread = damage.is_some();
    let mut told = |error: store::StoreError| {
        if std::mem::replace(&mut unread, true) {
            return Ok(());
        }
        let mark = if matches!(error, store::StoreError::Anothers { .. }) { own } else { Mark::Wrong };
        say(mark, &error.to_string())
    };
    let mut places = Vec::new();
    let (mut colours, mut staying, mut taken_back) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    store::peek_places(&database).map(|found| places = found).or_else(&mut told)?;
    store::peek_colours(&database).map(|found| colours = found).or_else(&mut told)?;
    store::peek_staying(&database).map(|found| staying = found).or_else(&mut told)?;
    store::peek_taken_back(&database).map(|found| taken_back = found).or_else(&mut told)?;
    let mut projects = BTreeMap::new();
    for repo in &place::all_now(&loaded.repos.repos) {
        let redactor = planner.redactor.of(&repo.name);
        let address = git::remote_address(&repo.real_path, repo.remote.as_deref());
        let faults = match daemon {
            None => transfer(repo, &planner, address.as_deref()),
            Some(_) => for_everybody(repo),
        };
        let sound = faults.is_empty();
        for fault in faults.into_iter().chain(unwritable(repo).filter(|_| daemon.is_none())) {
            say(Mark::Wrong, &redactor.redact(&format!("{}: {fault}", repo.name)))?;
        }
        if let Some(note) = address.as_deref().and_then(|address| forge::unreached(repo, &loaded.repos, address)) {
            say(Mark::Ok, &redactor.redact(&format!("{}: but note: {note}", repo.name)))?;
        }
        if sound && address.as_deref().is_some_and(|address| !is_local(address)) {
            let user = daemon.clone().unwrap_or_else(files::this_user);
            let ask = if user == "root" { "sudo".to_owned() } else { format!("sudo -u {user}") };
            let text = "not asked: whether the remote lets turnout in";
            say(
                Mark::Ok,
                &format!("{}: but note: {text}; `{ask} turnout plan {} --fetch` does", repo.name, repo.name),
            )?;
        }
        if let Err(Failure { summary, hint, .. }) = place::apart(repo, &planner.settings.state_dir) {
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            say(Mark::Wrong, &format!("{}: {summary}{hint}", repo.name))?;
        }
        if let Some(why) = walls.as_ref().and_then(|walls| walls.forbid(&repo.real_path)) {
            say(Mark::Wrong, &format!("{}: {}: {why}", repo.name, repo.path.display()))?;
        }
        if let Some(closed) = daemon.is_some().then(|| closed(repo)).flatten() {
            say(Mark::Unjudged, &format!("{}: {closed}", repo.name))?;
            continue;
        }
        if !repo.real_path.exists() && repo.remote.is_some() {
            say(Mark::Ok, &format!("{}: not cloned yet; the first deployment does that", repo.name))?;
            continue;
        }
        match git::head(&repo.real_path) {
            Ok(head) => {
                let commit = git::short(&head.commit);
                say(Mark::Ok, &format!("{}: {} at {commit}", repo.name, repo.path.display()))?;
                let why = taken_back.get(&(repo.name.clone(), head.commit.clone()));
                if let Some(why) = why.filter(|_| repo.switch.is_some()) {
                    let what = all_the_same(&repo.name, &head.commit);
                    let text = format!(
                        "{}: {commit} was taken back: {why}; it is not deployed again by itself ({what})",
                        repo.name
                    );
                    say(Mark::Wrong, &redactor.redact(&text))?;
                }
            }
            // As it should be; only git refuses to look into what is another user's.
            Err(git::GitError::WrongOwner { .. }) if daemons(repo, daemon.as_deref()) => {
                let text = "belongs to the daemon's user, as it should; its commit is not looked at";
                say(Mark::Ok, &format!("{}: {} {text}", repo.name, repo.path.display()))?;
            }
            Err(error) => say(Mark::Wrong, &format!("{}: {error}", repo.name))?,
        }
        for left_out in git::left_out(&repo.real_path, repo.submodules).unwrap_or_default() {
            say(Mark::Ok, &format!("{}: but note: {}", repo.name, left_out.to_sentence()))?;
        }
        if repo.submodules && !repo.submodule_hosts.is_empty() {
            let hosts = repo.submodule_hosts.join(", ");
            say(Mark::Ok, &format!("{}: submodules may also lie on {hosts}", repo.name))?;
        }
        if repo.outside_paths == OutsidePaths::Allow {
            let text = "files outside of it are read where a commit names them (outside_paths: allow)";
            say(Mark::Ok, &format!("{}: but note: {text}", repo.name))?;
        }
        for (path, host) in foreign(repo) {
            let what = format!("its submodule {path} lies on {host}, from which turnout may not fetch");
            say(Mark::Wrong, &format!("{}: {what}; if it may: `submodule_hosts: [{host}]`", repo.name))?;
        }
        let (reading, learning) = (repo.clone(), redactor.clone());
        let loaded = files::blocking(move || load_project(&reading, &learning)).await;
        match loaded.unwrap_or_else(|lost| Err(lost.into())) {
            Ok(project) => {
                let stack = &project.stack;
                let services = counted(project.project.services.len(), "service");
                let files = stack.files.join(", ");
                say(Mark::Ok, &format!("{}: {} from {files} ({services})", repo.name, stack.project))?;
                if let Some(other) = projects.insert(stack.project.clone(), &repo.name) {
                    say(Mark::Wrong, &format!("{}: means the same project {} as {other}", repo.name, stack.project))?;
                }
                if repo.switch.is_some()
                    && let Some(engine) = &engine
                {
                    let staying = staying.get(&repo.name).unwrap_or(&stack.color);
                    let looked = check_switch::of(&planner, repo, (&stack.color, staying), engine);
                    let (lines, found) = waiting.told(looked).await;
                    for (is_wrong, line) in lines {
                        say(if is_wrong { Mark::Wrong } else { Mark::Ok }, &redactor.redact(&line))?;
                    }
                    if let Some(found) = &found {
                        match waiting.told(check_switch::tried(&planner, (&stack.project, found), engine)).await {
                            Ok(lines) => {
                                for line in lines {
                                    say(Mark::Wrong, &redactor.redact(&format!("{}: {line}", repo.name)))?;
                                }
                            }
                            Err(untried) if untried.is_absent => {
                                say(Mark::Ok, &format!("{}: but note: {}", repo.name, untried.text()))?;
                            }
                            // The daemon may ask it; others may not.
                            Err(untried) => say(own, &format!("{}: {}", repo.name, untried.text()))?,
                        }
                    }
                    let third = found.as_ref().and_then(|found| check_switch::third(repo, &colours, found));
                    if let Some(third) = third {
                        say(Mark::Ok, &redactor.redact(&third))?;
                    }
                    derived.extend(found.map(|found| (repo.name.clone(), found)));
                }
                if let (Some(engine), None) = (&engine, &repo.switch) {
                    let looked = check_order::of(&planner.settings, repo, &project, engine);
                    for (is_wrong, line) in waiting.told(looked).await {
                        say(if is_wrong { Mark::Wrong } else { Mark::Ok }, &redactor.redact(&line))?;
                    }
                }
                if let (Some(live), None) = (store::live_of(&colours, &repo.name), &repo.switch) {
                    say(Mark::Ok, &check_switch::comes_back(&repo.name, &live.project, &stack.project))?;
                } else if let (Some(stacks), None) = (&stacks, &repo.switch) {
                    match waiting.told(planner.refuse_second(repo, &project, stacks, &places, false)).await {
                        Ok(None) => {}
                        Ok(Some(note)) => say(Mark::Ok, &format!("{}: but note: {note}", repo.name))?,
                        Err(failure) => {
                            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                            say(Mark::Wrong, &format!("{}: {}{hint}", repo.name, failure.summary))?;
                        }
                    }
                }
                for warning in &project.warnings {
                    say(Mark::Ok, &redactor.redact(&format!("{}: but note: {warning}", repo.name)))?;
                }
            }
            Err(failure) => {
                let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                let text = format!("{}: {}{hint}", repo.name, failure.summary);
                say(Mark::Wrong, &redactor.redact(&text))?;
            }
        }
    }
    for clash in check_switch::clashes(&derived) {
        say(Mark::Wrong, &clash)?;
    }
    let verdict = match (problems, unjudged) {
        (0, 0) if daemon.is_none() => "all is well".to_owned(),
        (0, _) => "nothing wrong was seen, as far as this user can tell".to_owned(),
        (_, 0) => counted(problems, "problem"),
        _ => format!("{}, and what this user cannot tell", counted(problems, "problem")),
    };
    writeln!(io::stdout(), "{verdict}")?;
    Ok(match problems + unjudged {
        0 => ExitCode::SUCCESS,
        // As every command says it: a mistake in the list.
        _ if !mistakes.0.is_empty() || !faulty.0.is_empty() => ExitCode::from(2),
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
fn transfer(repo: &Repo, planner: &Planner, address: Option<&str>) -> Vec<String> {
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
    let auth = git::GitAuth { token, ..keys(repo) };
    if let Some(address) = address {
        wrong.extend(git::foreseen(&auth, address));
    }
    wrong
}

/// Of that, what is so whoever asks.
fn for_everybody(repo: &Repo) -> Vec<String> {
    let mut wrong = git::foreseen_by_others(&keys(repo));
    for (what, source) in [("token", &repo.token), ("secret", &repo.secret)] {
        let Some(TokenSource::File(file)) = source else { continue };
        if fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            wrong.push(format!("the {what}'s file {} is not there", file.display()));
        }
    }
    wrong
}

fn keys(repo: &Repo) -> git::GitAuth {
    git::GitAuth { ssh_key: repo.ssh_key.clone(), known_hosts: repo.known_hosts.clone(), ..git::GitAuth::default() }
}

/// Whether there is no server to ask.
fn is_local(address: &str) -> bool {
    matches!(git::Address::parse(address), Ok(git::Address::Local(_)))
}

/// What is certain to keep the work tree from being written: its own rights, or the directory's that it is to be cloned into.
fn unwritable(repo: &Repo) -> Option<String> {
    let there = repo.real_path.exists();
    let target = if there { Some(repo.real_path.as_path()) } else { repo.real_path.parent() }?;
    let error = rustix::fs::accessat(CWD, target, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).err()?;
    let (me, shown) = (files::this_user(), target.display());
    let name = repo.real_path.file_name().unwrap_or_default().to_string_lossy();
    let remedy = if there {
        format!("the daemon's user must own it: chown -R {me}: {}", repo.path.display())
    } else {
        // A clone comes into being beside its place, so that an empty folder in that place does not help.
        format!(
            "a clone is made in there; give turnout a folder of its own: `install -d -o {me} -g {me} {shown}/turnout`, and \
             `path: {shown}/turnout/{name}`"
        )
    };
    Some(format!("{shown} may not be written by this user: {} ({remedy})", io::Error::from(error)))
}

/// Whether a work tree is the daemon's user's.
fn daemons(repo: &Repo, daemon: Option<&str>) -> bool {
    let owner = files::owner(&repo.real_path).map(files::user);
    daemon.is_some() && owner.as_deref() == daemon
}

/// Why this user cannot look into a repository that another user's daemon may well read.
fn closed(repo: &Repo) -> Option<String> {
    let paths = [repo.real_path.clone(), repo.real_path.join(".env"), repo.real_path.join(".git")];
    paths.iter().find_map(|path| {
        let rights = if path.is_dir() { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
        let error = rustix::fs::accessat(CWD, path, rights, AtFlags::EACCESS).err()?;
        let whose = files::anothers(&error.into(), path)?;
        Some(format!("{} may not be read: {whose}", path.display()))
    })
}

/// Whether it is this user's rights that the engine's socket is not open to.
fn closed_to_us(error: &EngineError) -> bool {
    let EngineError::Unreachable { endpoint, .. } = error else { return false };
    let socket = endpoint.strip_prefix("unix://");
    let rights = Access::READ_OK | Access::WRITE_OK;
    socket.is_some_and(|path| rustix::fs::accessat(CWD, path, rights, AtFlags::EACCESS) == Err(Errno::ACCESS))
}

/// The daemon's user, where it is another than this one: who owns its state directory.
pub(super) fn daemons_user(database: &Path) -> Option<String> {
    let owner = database.parent().filter(|directory| directory.exists()).and_then(files::owner)?;
    (owner != rustix::process::geteuid().as_raw()).then(|| files::user(owner))
}

/// What is said of something that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    Wrong,
    /// Only another user can tell.
    Unjudged,
}
