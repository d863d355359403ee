//! What `turnout compose --repo NAME` means: the project that turnout deploys for that repository.

use std::io::{self, Write as _};

use crate::{
    compose::load::LoadRequest,
    config::{self, LiveRepos, SettingsArgs},
    deploy::{self, Failure, View},
    report::redact::Redactor,
    store,
};

/// What to load for the repository of this name in repos.yaml: as its `.env` says, but for COLOR where a colour is live that
/// turnout has named itself. That goes to standard error then.
///
/// # Errors
/// Settings or repos.yaml cannot be read by this user, there is no such repository, or its files cannot be chosen.
pub(super) fn choose(name: &str) -> anyhow::Result<LoadRequest> {
    let settings = config::gather(&SettingsArgs::default())?;
    let (repos, mistakes) = LiveRepos::open_sound(&settings.repos, settings.variables(), &settings.last_good());
    let list = &repos.checked().repos.repos;
    let Some(repo) = list.iter().find(|repo| repo.name.eq_ignore_ascii_case(name)) else {
        let known: Vec<&str> = list.iter().map(|repo| repo.name.as_str()).collect();
        let has = if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", known.join(", ")) };
        // The one that is looked for may be among the mistakes.
        let wrong = if mistakes.0.is_empty() { String::new() } else { format!("\n{mistakes}") };
        anyhow::bail!("no repository `{name}` in {} ({has}){wrong}", settings.repos.display());
    };
    let said = |failure: Failure| match failure.hint {
        Some(hint) => anyhow::anyhow!("{}\n  hint: {hint}", failure.summary),
        None => anyhow::anyhow!(failure.summary),
    };
    let redactor = Redactor::new();
    let repo = deploy::place::alone(repo, list).map_err(said)?;
    let choose = |colour: Option<&str>| {
        deploy::choose_project(&repo, &View::of(&repo), &redactor, colour)
            .map_err(|failure| said(failure.redacted(&redactor)))
    };
    let chosen = choose(None)?;
    if repo.switch.is_none() {
        return Ok(chosen.request);
    }
    let colours = match store::peek_colours(&settings.database()) {
        Ok(colours) => colours,
        Err(error) => {
            let taken = format!("{}: COLOR of its {} is taken for the live colour", repo.name, repo.env_file);
            writeln!(io::stderr(), "warning: {taken}, as that cannot be read: {error}")?;
            return Ok(chosen.request);
        }
    };
    let Some(live) = store::live_of(&colours, &repo.name).filter(|live| live.project != chosen.stack.project) else {
        return Ok(chosen.request);
    };
    writeln!(
        io::stderr(),
        "{}: the live colour is {} (project {}); what stays is in project {}",
        repo.name,
        live.colour,
        live.project,
        repo.project
    )?;
    choose(Some(&live.colour)).map(|chosen| chosen.request)
}
