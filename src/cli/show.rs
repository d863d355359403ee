//! Commands that ask the daemon and print its answer: deploy, cancel, status, logs.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, IsTerminal as _, Stdout, Write as _},
    process::ExitCode,
    time::Duration,
};

use super::{
    args::{LogsArgs, StatusArgs},
    client::{Client, DAEMON, whoami},
    colour_lines,
    follow::{End, Log, Told, Which, follow},
    progress::{Display, plain, seconds},
    since::{aftermath, since_then},
    trouble::Trouble,
    waiting::Waiting,
    when::{ago, when},
};
use crate::{
    deploy::{Failure, all_the_same},
    git::short,
    report::{
        counted,
        redact::{escape_controls, escape_json},
    },
    rollout::Phase,
    server::wire::{
        AskRequest, ContainerStatus, Followed, RepoStatus, RunsKnown, StatusReply, StrayStatus, WaitStatus,
    },
    store::{Deployment, Pile, State, WantedCommit},
};

/// Lines of the past that `turnout logs` shows unless told otherwise. Of one deployment it shows all.
const TAIL: u32 = 200;
/// Exit code of what was superseded, cancelled or interrupted.
const INCOMPLETE: u8 = 3;
/// Exit code where the reader wants no more (Ctrl-C), as a shell shows it of a program that SIGINT ended.
const LEFT: u8 = 130;

/// Follows a deployment to its end, from the line after `after` on. Answers the exit code, and the deployment that came to an end.
pub(super) async fn to_its_end(
    client: &Client,
    id: i64,
    after: Option<i64>,
    display: &mut Display<Stdout>,
) -> Result<(ExitCode, Option<Deployment>), Trouble> {
    let log = Log { which: Which::One(id), tail: None, after, follow: true };
    let waiting = Waiting::for_(DAEMON, None);
    // The one that is followed now: one that the end of the daemon interrupts is repeated by another.
    let followed = Cell::new(id);
    let end = follow(client, log, &waiting, |told| match told {
        Told::Item(Followed::Line { line, deployment, .. }) => {
            followed.set(*deployment);
            display.line(line)
        }
        Told::Item(Followed::Live { event, .. }) => display.live(event),
        Told::Item(_) => Ok(()),
        Told::Note(note) => display.say(&note),
    });
    let end = tokio::select! {
        end = end => Some(end?),
        asked = tokio::signal::ctrl_c() => {
            asked?;
            None
        }
    };
    display.clear()?;
    let Some(end) = end else {
        let id = followed.get();
        display.say(&format!("deployment {id} goes on; `turnout cancel {id}` ends it"))?;
        return Ok((ExitCode::from(LEFT), None));
    };
    let End::Shown(Some(deployment)) = end else {
        display.say(&format!("deployment {id} goes on at the next start of the daemon"))?;
        return Ok((ExitCode::from(INCOMPLETE), None));
    };
    let id = deployment.id;
    display.say(&format!("deployment {id} {}", outcome_below_log(&deployment)))?;
    Ok((code_of(deployment.state), Some(*deployment)))
}

/// The outcome of a deployment as an exit code.
fn code_of(state: State) -> ExitCode {
    match state {
        State::Succeeded => ExitCode::SUCCESS,
        State::Failed => ExitCode::FAILURE,
        _ => ExitCode::from(INCOMPLETE),
    }
}

/// Cancels a deployment.
pub(super) async fn cancel(client: &Client, id: i64) -> Result<ExitCode, Trouble> {
    let deployment: Deployment = client
        .post(&format!("/v1/deployments/{id}/cancel"), &AskRequest { who: whoami(), ..AskRequest::default() })
        .await?;
    let text = match deployment.state {
        State::Running => format!("is being ended; `turnout logs --deployment {id}` tells what comes of it"),
        state => state.to_string(),
    };
    writeln!(io::stdout(), "deployment {id}: {text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the repositories.
pub(super) async fn status(client: &Client, args: &StatusArgs) -> Result<ExitCode, Trouble> {
    let waiting = Waiting::for_(DAEMON, None);
    let mut status: StatusReply = client.get_told("/v1/status", &waiting).await?;
    if let Some(only) = &args.repo {
        let names: Vec<String> = status.repos.iter().map(|repo| repo.name.clone()).collect();
        status.repos.retain(|repo| repo.name.eq_ignore_ascii_case(only));
        if let Some(strays) = &mut status.strays {
            strays.retain(|stray| stray.repository.eq_ignore_ascii_case(only));
        }
        if status.repos.is_empty() && status.strays.as_ref().is_none_or(Vec::is_empty) {
            let mut names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            names.sort();
            let known = match names.is_empty() {
                true => "repos.yaml lists none yet".to_owned(),
                false => format!("repos.yaml has {}", names.join(", ")),
            };
            return Err(Failure::new(format!("no repository `{only}` is configured")).hint(known).into());
        }
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&status))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mark = if status.engine.ok { "engine" } else { "ENGINE DOWN" };
    writeln!(out, "turnout {}, up since {}; {mark}: {}", status.version, when(status.started_at), status.engine.text)?;
    if let Some(RunsKnown { why: Some(why), .. }) = status.runs.as_ref().filter(|runs| runs.from == "asked") {
        writeln!(out, "the engine's events are not heard ({}), so it was asked what runs", one_line(why))?;
    }
    // The engine is asked for itself above.
    let waiting: Vec<&str> = status.waiting_for.iter().map(String::as_str).filter(|part| *part != "engine").collect();
    let (refusing, waiting): (Vec<&str>, Vec<&str>) = waiting.into_iter().partition(|part| *part == "disk");
    if !refusing.is_empty() {
        writeln!(
            out,
            "NOT READY: a push that comes now is refused with 507: the disk of the state directory is full (`df -h`, `df -i`)"
        )?;
    }
    if !waiting.is_empty() {
        writeln!(out, "NOT READY: a push that comes now would wait for: {}", waiting.join(", "))?;
    }
    if let Some(consequence) = &status.config_consequence {
        writeln!(out, "repos.yaml has mistakes: {consequence}")?;
    }
    for mistake in &status.config_mistakes {
        writeln!(out, "  {mistake}")?;
    }
    status.outbox.iter().try_for_each(|pile| print_pile(&mut out, pile))?;
    for repo in &status.repos {
        print_repo(&mut out, repo, status.runs.as_ref())?;
    }
    for stray in status.strays.iter().flatten() {
        print_stray(&mut out, stray)?;
    }
    if status.strays.is_none() {
        writeln!(
            out,
            "\nstacks of repositories that are not in repos.yaml any more: not known, the engine does not answer"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_pile(out: &mut impl io::Write, pile: &Pile) -> io::Result<()> {
    let Pile { destination, waiting, since, dead, last_error } = pile;
    let mut parts = Vec::new();
    if *waiting > 0 {
        let since = since.map(|since| format!(" since {}", when(since))).unwrap_or_default();
        let waits = if *waiting == 1 { "waits" } else { "wait" };
        parts.push(format!("{} {waits}{since}", counted(*waiting as usize, "letter")));
    }
    if *dead > 0 {
        let given_up = if *dead == 1 { "was" } else { "were" };
        parts.push(format!(
            "{} {given_up} GIVEN UP (`turnout letters` lists what was)",
            counted(*dead as usize, "letter")
        ));
    }
    let why = last_error.as_deref().map(|why| format!("; last: {}", one_line(why))).unwrap_or_default();
    writeln!(out, "to {}: {}{why}", one_line(destination), parts.join(", "))
}

fn print_stray(out: &mut impl io::Write, stray: &StrayStatus) -> io::Result<()> {
    let from = stray.path.as_ref().map(|path| format!(" from {path}")).unwrap_or_default();
    writeln!(out, "\nNOT CONFIGURED  {}  deployed for `{}`{from}", stray.project, stray.repository)?;
    if stray.unrecorded {
        let own = "it is not in this turnout's database: another one on this machine (another state directory) may look after it";
        writeln!(out, "  {own}; if none does:")?;
    }
    writeln!(out, "  go on with it: write {} in repos.yaml", stray.adopt)?;
    match (stray.containers.is_empty(), stray.volumes.is_empty()) {
        (true, false) => writeln!(
            out,
            "  only its volumes are left, and it stays in this list as long as they are; remove them, with their data: `{} -v`",
            stray.remove
        )?,
        (false, false) => writeln!(
            out,
            "  remove it: `{}` (with `-v` its volumes, too; with them kept, it stays in this list)",
            stray.remove
        )?,
        (_, true) => writeln!(out, "  remove it: `{}`", stray.remove)?,
    }
    if !stray.volumes.is_empty() {
        writeln!(out, "  volumes: {}", stray.volumes.join(", "))?;
    }
    stray.containers.iter().try_for_each(|container| print_container(out, container))
}

fn print_container(out: &mut impl io::Write, container: &ContainerStatus) -> io::Result<()> {
    let ContainerStatus { service: _, name, status, image, ports, stopped_by_turnout } = container;
    let ports = if ports.is_empty() { String::new() } else { format!("  {ports}") };
    // Its exit code says no more than that it was told to end, and reads as a fault.
    let since = status.strip_prefix("Exited (").and_then(|rest| rest.split_once(") ")).map_or("", |(_, since)| since);
    let status = if *stopped_by_turnout { format!("stopped by turnout {since}") } else { status.clone() };
    writeln!(out, "  {name:<28} {status:<32} {image}{ports}")
}

fn print_repo(out: &mut impl io::Write, repo: &RepoStatus, runs: Option<&RunsKnown>) -> io::Result<()> {
    let none = if repo.project.ok { "no commit" } else { "commit not known" };
    let commit = repo.commit.as_deref().map_or(none, short);
    writeln!(out, "\n{}  {}  {commit}", repo.name, repo.path)?;
    let label = if repo.project.ok { "project" } else { "PROBLEM" };
    writeln!(out, "  {label}: {}", repo.project.text)?;
    if let Some(hold) = &repo.hold {
        let newest = match (&hold.newest, &hold.newest_cause) {
            (Some(newest), cause) => {
                let cause = cause.as_deref().map(|cause| format!(" ({})", one_line(cause))).unwrap_or_default();
                format!("newest wanted {}{cause}", short(newest))
            }
            (None, _) => "nothing was pushed since".to_owned(),
        };
        writeln!(out, "  {hold} since {}, {newest}; `turnout release {}` lifts it", when(hold.since), repo.name)?;
    }
    if let Some(left) = &repo.left {
        writeln!(out, "  {left}")?;
    }
    // Of what is held, or on the way, the lines above and below tell.
    if let (Some(behind), None, None) = (&repo.behind, &repo.hold, &repo.active) {
        let WantedCommit { commit, cause, since, .. } = behind;
        let again = match &repo.last {
            _ if repo.behind_taken_back => format!("it was taken back: {}", all_the_same(&repo.name, commit)),
            Some(last) if last.state == State::Failed => {
                format!("correct it and push again, or `turnout deploy {}` tries it again", repo.name)
            }
            _ => format!("`turnout deploy {}` brings it", repo.name),
        };
        writeln!(out, "  behind: {} wanted since {} ({}); {again}", short(commit), when(*since), one_line(cause))?;
    }
    if let Some(hand) = &repo.by_hand {
        let at = match (&hand.branch, &hand.branch_commit) {
            (Some(branch), Some(commit)) => format!(" ({branch} here is at {})", short(commit)),
            _ => String::new(),
        };
        writeln!(out, "  deployed by hand: commit {}{at}", short(&hand.commit))?;
    }
    // Where a later one failed, the work tree may be further than what was deployed.
    if let Some(done) = repo.deployed.as_ref().filter(|done| done.commit_after != repo.commit) {
        let deployed = done.commit_after.as_deref().map_or("unknown", short);
        let at = done.ended_at.map(when).unwrap_or_default();
        writeln!(
            out,
            "  deployed last with success: {deployed} by deployment {} at {at}; checked out: {commit}",
            done.id
        )?;
    }
    if let Some(status) = &repo.colours {
        colour_lines::print(out, &repo.name, status)?;
    }
    if let Some(active) = &repo.active {
        let phase = active.phase.as_deref().map(|phase| format!(", {phase}")).unwrap_or_default();
        let since = active.started_at.map(|at| format!(" since {}", when(at))).unwrap_or_default();
        writeln!(out, "  now: deployment {} is {}{since}{phase}", active.id, active.state)?;
    }
    if let Some(WaitStatus { why, until, .. }) = &repo.waits {
        let phase = repo.active.as_ref().and_then(|active| Phase::named(active.phase.as_deref()?));
        let awaited = phase.and_then(Phase::awaited).map(|fact| format!(" for {fact}")).unwrap_or_default();
        writeln!(out, "  it waits{awaited} until {}: {}", when(*until), one_line(why))?;
    }
    match &repo.last {
        Some(last) => {
            let at = last.ended_at.map(when).unwrap_or_default();
            writeln!(out, "  last: {at} deployment {} {}", last.id, one_line(&outcome(last)))?;
        }
        None => writeln!(out, "  last: never deployed")?,
    }
    // One that failed before it changed anything says nothing of what runs.
    let other = repo.deployed.iter().filter(|done| repo.last.as_ref().is_some_and(|last| last.id != done.id));
    for (done, fall) in other.flat_map(|done| done.falls.iter().map(move |fall| (done, fall))) {
        writeln!(out, "  after deployment {}: {}", done.id, one_line(&fall.to_string()))?;
    }
    if let Some(until) = repo.watched_until {
        writeln!(out, "  still being watched until {} (containers that stop are reported)", when(until))?;
    }
    match &repo.runs_unknown {
        Some(why) => writeln!(out, "  what runs is not known: {why}")?,
        None if repo.containers.is_empty() => match repo.active {
            None if repo.project.ok => writeln!(out, "  no containers; `turnout deploy {}` brings them up", repo.name)?,
            _ => writeln!(out, "  no containers")?,
        },
        None => {}
    }
    if let (Some(runs), false) = (runs, repo.ran.is_empty()) {
        writeln!(out, "  as of {}, {}:", when(runs.as_of), ago(runs.as_of))?;
    }
    repo.ran.iter().chain(&repo.containers).try_for_each(|container| print_container(out, container))
}

/// Prints, and follows, logs. Of one deployment that is followed to its end, the exit code is the outcome.
pub(super) async fn logs(client: &Client, args: &LogsArgs) -> Result<ExitCode, Trouble> {
    let log = match args.deployment {
        Some(id) => Log { which: Which::One(id), tail: args.tail, after: None, follow: args.follow },
        None => {
            let tail = Some(args.tail.unwrap_or(TAIL));
            Log { which: Which::All(args.repo.clone()), tail, after: None, follow: args.follow }
        }
    };
    let mut out = io::stdout();
    let waiting = Waiting::for_(DAEMON, None);
    // Of those that are watched after their verdict, the end of the log comes later.
    let mut judged = BTreeSet::new();
    // What had its verdict before is not told a minute later, when its watch is over.
    let came = crate::deploy::now_ms();
    let at = |time: Option<i64>| when(time.unwrap_or_else(crate::deploy::now_ms));
    let end = follow(client, log, &waiting, |told| {
        match told {
            Told::Item(Followed::Begun(d)) => {
                writeln!(out, "{} deployment {} of {} begins: {}", at(d.started_at), d.id, d.repo, reason(d))?;
            }
            Told::Item(Followed::Verdict(d)) => {
                if judged.insert(d.id) {
                    writeln!(out, "{} deployment {} {}", at(d.ended_at), d.id, outcome_below_log(d))?;
                }
            }
            Told::Item(Followed::Line { deployment, repo, line }) => {
                writeln!(out, "{} {repo}#{deployment} {}", when(line.at), plain(line))?;
            }
            Told::Item(Followed::Ended(d)) => {
                let known = judged.contains(&d.id) || d.ended_at.is_some_and(|ended| ended < came);
                if let Some(time) = end_is_told(known, d.ended_at, !aftermath(d).is_empty()) {
                    writeln!(out, "{} deployment {} {}", at(time), d.id, outcome_below_log(d))?;
                }
            }
            Told::Item(Followed::Missed(what)) => writeln!(out, "MISSING HERE: {what}")?,
            Told::Item(_) => {}
            Told::Note(note) => writeln!(out, "{note}")?,
        }
        out.flush()
    });
    match end.await? {
        End::Shown(Some(deployment)) => {
            writeln!(out, "deployment {} {}", deployment.id, outcome_below_log(&deployment))?;
            if args.follow {
                return Ok(code_of(deployment.state));
            }
        }
        End::Shown(None) => {}
        End::Gone => {
            let gone = "the daemon has ended and did not come back; `systemctl status turnout` says why, and the same \
                        command goes on when it is";
            return Err(Trouble::Gone(gone.to_owned()));
        }
    }
    if let Some(repo) = args.repo.as_deref().filter(|_| io::stdout().is_terminal()) {
        // For people: what a container writes is in no log of turnout's.
        writeln!(io::stderr(), "the containers' own logs: `turnout compose --repo {repo} logs`")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the end of a deployment is told when its log has ended, and as of when (now, without a time of its own). `known`: its
/// verdict was told already, or was there before the reader came; then only what fell since is news.
fn end_is_told(known: bool, ended_at: Option<i64>, fell: bool) -> Option<Option<i64>> {
    match (known, fell) {
        (false, _) => Some(ended_at),
        (true, true) => Some(None),
        (true, false) => None,
    }
}

/// Why it was asked for, and by whom where that is not said with it.
fn reason(d: &Deployment) -> String {
    let who = d.who.as_ref().filter(|who| !d.cause.contains(who.as_str()));
    one_line(&who.map_or_else(|| d.cause.clone(), |who| format!("{} by {who}", d.cause)))
}

/// State and length, and what the log above does not say as its last word anyway.
fn outcome_below_log(d: &Deployment) -> String {
    match (d.state, length(d)) {
        (State::Succeeded | State::Failed | State::Cancelled, length) if !length.is_empty() => {
            since_then(format!("{} in {length}", d.state), d)
        }
        _ => outcome(d),
    }
}

/// State, length and what there is to say.
fn outcome(d: &Deployment) -> String {
    let said = said(d);
    let length = length(d);
    match (said.is_empty(), length.is_empty()) {
        (true, true) => d.state.to_string(),
        (true, false) => format!("{} in {length}", d.state),
        (false, true) => format!("{}: {said}", d.state),
        (false, false) => format!("{} in {length}: {said}", d.state),
    }
}

pub(super) fn said(d: &Deployment) -> String {
    match (d.state, d.superseded_by) {
        (State::Superseded, Some(by)) => format!("superseded by {by}"),
        (State::Failed | State::Cancelled | State::Interrupted, _) => d.error.clone().unwrap_or_default(),
        (State::Queued, _) => d.cause.clone(),
        _ => since_then(d.decision.clone().unwrap_or_default(), d),
    }
}

/// A value as JSON for people and scripts: nothing in it moves a terminal's cursor.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    escape_json(&serde_json::to_string_pretty(value).unwrap_or_default()).into_owned()
}

/// A table has a line for each; the log has them all.
pub(super) fn one_line(text: &str) -> String {
    match text.split_once('\n') {
        Some((first, _)) => format!("{} \u{2026}", escape_controls(first)),
        None => escape_controls(text).into_owned(),
    }
}

pub(super) fn length(d: &Deployment) -> String {
    match (d.started_at, d.ended_at) {
        (Some(from), Some(to)) => seconds(Duration::from_millis(u64::try_from(to - from).unwrap_or(0))),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turnout_has_stopped_is_not_told_by_its_exit_code() {
        let line = |stopped_by_turnout| {
            let container = ContainerStatus {
                service: "web".to_owned(),
                name: "redshop-web-1".to_owned(),
                status: "Exited (137) 3 minutes ago".to_owned(),
                image: "redshop-web".to_owned(),
                ports: String::new(),
                stopped_by_turnout,
            };
            let mut out = Vec::new();
            print_container(&mut out, &container).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(true), "  redshop-web-1                stopped by turnout 3 minutes ago redshop-web\n");
        assert_eq!(line(false), "  redshop-web-1                Exited (137) 3 minutes ago       redshop-web\n");
    }

    #[test]
    fn an_end_that_was_there_before_is_not_told_as_news() {
        assert_eq!(end_is_told(false, Some(7), false), Some(Some(7)));
        assert_eq!(end_is_told(false, Some(7), true), Some(Some(7)));
        assert_eq!(end_is_told(true, Some(7), false), None);
        assert_eq!(end_is_told(true, Some(7), true), Some(None));
    }
}
