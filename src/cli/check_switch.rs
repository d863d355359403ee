//! What `turnout check` says of repositories that are deployed blue/green.

use crate::{
    config::Repo,
    deploy::{Planner, View, colours},
    engine::Engine,
    report::counted,
    store::ColourRecord,
    switch::{self, Class, Derived},
};

/// What was derived for a repository, in lines of which the wrong ones are marked; and the value, if there is one. `colours`: that
/// of `.env`, and the one that what stays is read with.
pub(super) async fn of(
    planner: &Planner,
    repo: &Repo,
    colours: (&str, &str),
    engine: &Engine,
) -> (Vec<(bool, String)>, Option<Derived>) {
    let name = &repo.name;
    let derived = match colours::derive(planner, repo, &View::of(repo), colours, engine).await {
        Ok((_, derived)) => derived,
        Err(failure) => {
            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            return (vec![(true, format!("{name}: {}{hint}", failure.summary))], None);
        }
    };
    let mut lines: Vec<(bool, String)> = Vec::new();
    for refusal in &derived.refusals {
        lines.push((true, format!("{name}: {}; write: {}", refusal.cause, refusal.line)));
    }
    let refused = colours::not_there_yet(&derived).into_iter().chain(colours::refused(&derived, &planner.settings));
    lines.extend(refused.map(|line| (true, format!("{name}: {line}"))));
    if lines.is_empty() {
        let of = |class: Class| derived.services.values().filter(|fate| fate.class == class).count();
        let classes = Class::ALL.into_iter().filter(|class| of(*class) > 0);
        let classes: Vec<String> = classes.map(|class| format!("{} {class}", of(class))).collect();
        lines.push((
            false,
            format!(
                "{name}: switches between {} and {}: {}; {}",
                derived.colours.named,
                derived.colours.partner,
                classes.join(", "),
                counted(derived.routes.len(), "route")
            ),
        ));
    }
    lines.extend(derived.notes.iter().map(|note| (false, format!("{name}: but note: {note}"))));
    (lines, Some(derived))
}

/// What turnout-proxy could not listen on or show. `stack`: the project in place, whose ports go over to it.
///
/// # Errors
/// It is not known, for a reason of this user's own where that is said.
pub(super) async fn tried(
    planner: &Planner,
    (stack, derived): (&str, &Derived),
    engine: &Engine,
) -> Result<Vec<String>, colours::Untried> {
    // Of an engine that does not answer is told elsewhere.
    let own = engine.published(stack).await.unwrap_or_default().into_iter().map(|one| one.on).collect();
    colours::tried(&planner.settings, derived, &own).await
}

/// `switch` was taken out, and a colour is live still.
pub(super) fn comes_back(name: &str, live: &str, in_place: &str) -> String {
    format!(
        "{name}: but note: {live} is live, and `switch` was taken out: it comes back in place with the next deployment, as \
         {in_place} (`turnout plan {name}` shows what that takes)"
    )
}

/// `COLOR` names a colour of another pair than the one that is there.
pub(super) fn third(repo: &Repo, all: &[ColourRecord], derived: &Derived) -> Option<String> {
    let said = colours::third(&repo.name, all, &derived.colours, &repo.env_file)?;
    Some(format!("{}: but note: {said}", repo.name))
}

/// Listeners that two repositories want.
pub(super) fn clashes(all: &[(String, Derived)]) -> Vec<String> {
    let all: Vec<(&str, &Derived)> = all.iter().map(|(name, derived)| (name.as_str(), derived)).collect();
    switch::clashes(&all).into_iter().map(|refusal| format!("{}; write: {}", refusal.cause, refusal.line)).collect()
}
