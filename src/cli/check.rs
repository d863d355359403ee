//! `turnout check`: settings, `repos.yaml`, the engine, each repository's `.env` and Compose files. Changes nothing.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use super::{args::CheckArgs, command::Trouble};
use crate::{
    config::{self, LiveRepos},
    deploy::{Planner, load_project, place},
    git, store,
};

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
    let repos = Arc::new(LiveRepos::open(&settings.repos, settings.variables())?);
    let loaded = repos.current();
    say(true, &format!("{}: {} repositories", settings.repos.display(), loaded.repos.repos.len()))?;
    for warning in &loaded.repos.warnings {
        say(true, &format!("but note: {warning}"))?;
    }
    let planner = Planner::new(Arc::new(settings), Arc::clone(&repos)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut stacks = None;
    match planner.engine().await {
        Ok(engine) => {
            say(true, &format!("Docker engine at {}, API {}", engine.endpoint(), engine.version()))?;
            stacks = Some(engine.stacks().await.map_err(|error| anyhow::anyhow!("{error}"))?);
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
        match load_project(repo, &planner.redactor) {
            Ok(project) => {
                let stack = &project.stack;
                let services = project.project.services.len();
                let files = stack.files.join(", ");
                say(true, &format!("{}: {} from {files} ({services} services)", repo.name, stack.project))?;
                if let Some(other) = projects.insert(stack.project.clone(), &repo.name) {
                    say(false, &format!("{}: means the same project {} as {other}", repo.name, stack.project))?;
                }
                if let Some(stacks) = &stacks {
                    match planner.refuse_second(repo, &project, stacks, &places, false).await {
                        Ok(None) => {}
                        Ok(Some(note)) => say(true, &format!("{}: but note: {note}", repo.name))?,
                        Err(failure) => {
                            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                            say(false, &format!("{}: {}{hint}", repo.name, failure.summary))?;
                        }
                    }
                }
                for warning in &project.warnings {
                    say(true, &planner.redactor.redact(&format!("{}: but note: {warning}", repo.name)))?;
                }
            }
            Err(failure) => {
                let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                let text = format!("{}: {}{hint}", repo.name, failure.summary);
                say(false, &planner.redactor.redact(&text))?;
            }
        }
    }
    writeln!(
        io::stdout(),
        "{}",
        if problems == 0 { "all is well".to_owned() } else { format!("{problems} problems") }
    )?;
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
