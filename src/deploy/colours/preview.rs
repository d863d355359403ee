//! What `turnout plan` says of a repository that is deployed blue/green: what was derived and why, which colour is next, and
//! the steps.

use tokio_util::sync::CancellationToken;

use super::{
    super::{Asked, Deployer, Failure, Planner, TreeProject, View, preview::Seen},
    facts,
    later::Later,
    look::{self, Looked, Looking},
    memory, mistaken, obtained, other,
    plan::{listened_in_place, names_the_live_one, next_colour},
    reroute::counts_later,
    stands::Stands,
    third::third,
    tried,
    way::{Adopts, another},
    with::{Which, With},
};
use crate::{
    config::Repo,
    engine::Engine,
    files, git,
    plan::Plan,
    report::{Reporter, Silent},
    rollout::Phase,
    switch::{self, Derived, Said, refusal::Cause, said::By},
};

impl Deployer {
    /// Plans what a deployment of a repository with `switch` would do.
    ///
    /// # Errors
    /// As a deployment's own.
    pub(in crate::deploy) async fn preview_colours(
        &self,
        asked: &Asked<'_>,
        repo: &Repo,
        seen: &Seen,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<(Option<Plan>, String), Failure> {
        let engine = self.planner.engine().await?;
        let named = self.planner.read_through(repo, seen.view.clone(), reporter).await?;
        let stands = self.recorded(&repo.name).await?;
        let staying = stands.switch.as_ref().map_or_else(|| named.stack.color.clone(), |switch| switch.staying.clone());
        let (_, derived) = derive(&self.planner, repo, &seen.view, (&named.stack.color, &staying), &engine).await?;
        let mut text = switch::explain(&derived);
        if let Some(front) = other::of(repo)? {
            text.push_str(&format!("\nled by {}\n", front.name()));
            let shares = derived.canary.steps.is_some();
            front.costs(shares).iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        if let Some(said) = self.bakes_now(&repo.name, &stands).await? {
            text.push_str(&format!("\n{said}\n"));
        }
        if let Some(said) = third(&repo.name, &stands.all, &derived.colours, &repo.env_file) {
            text.push_str(&format!("\n{said}\n"));
        }
        let mut later = look::not_there_yet(&derived);
        let (clashes, unknown) = self.clashes(repo, &derived, &engine).await;
        later.extend(clashes);
        unknown.into_iter().for_each(|line| reporter.warn(line));
        later.extend(obtained::refused(&derived, &self.planner.settings));
        if !later.is_empty() || !derived.refusals.is_empty() {
            later.iter().for_each(|line| text.push_str(&format!("\nrefused: {line}")));
            text.push_str("\nnothing is planned until that is written\n");
            return Ok((None, text));
        }
        if let Some(failure) = self.taken_back(repo, &stands, asked, seen).await? {
            return Ok((None, with_refusals(text, vec![failure])));
        }
        let looking =
            Looking { planner: &self.planner, store: &self.store, repo, view: seen.view.clone(), engine: &engine };
        let with =
            With { repo, reporter, cancel, rebuild: asked.rebuild, digests: seen.digests.as_ref(), at_once: true };
        let commit = seen.commit.as_deref();
        if let Some(live) = stands.live().filter(|_| !asked.rebuild) {
            let looked = look::look(&looking, &live.colour, &staying).await?;
            let later = Later::new(reporter);
            let with = With { reporter: &later, ..with };
            let stays = self.prepared(with, &looked, Which::Staying, commit).await?;
            let moves = self.prepared(with, &looked, Which::Colour, commit).await?;
            let asks = looked.derived.by == By::Color && named.stack.color != live.colour;
            if stays.plan.steps.is_empty() && moves.plan.steps.is_empty() && !asks {
                let rerouted = self.rerouted(repo, &stands, &looked).await?;
                let why = rerouted.as_ref().and_then(|rerouted| rerouted.needs_colour.as_ref());
                let Some(why) = why else {
                    if rerouted.is_some()
                        && let Some(failure) = self.untaken(repo, &looked, None, (&engine, reporter)).await?
                    {
                        return Ok((None, with_refusals(text, vec![failure])));
                    }
                    later.tell();
                    text.push_str(&match rerouted {
                        None => format!("\n{} is live and as it should be: nothing to do\n", live.project),
                        Some(rerouted) => format!("\n{}", rerouted.text()),
                    });
                    let counts = counts_later(&stands, &looked)?;
                    counts.into_iter().for_each(|line| text.push_str(&format!("{line}\n")));
                    return Ok((Some(moves.plan), text));
                };
                text.push_str(&format!("\nthe routes of {} change: {why}\n", live.project));
            }
            if looked.derived.by == By::Color && !asks {
                return Ok((None, with_refusals(text, vec![names_the_live_one(repo, &live.colour, &looked)])));
            }
        }
        let first = look::look(&looking, &named.stack.color, &staying).await?;
        let adopts = self.in_place(&engine, &stands, &named.stack, &first).await?;
        let colour = match adopts {
            Some(_) => first.derived.colours.partner.clone(),
            None => next_colour(&first, &stands, &named.stack.color),
        };
        let looked = look::look(&looking, &colour, &staying).await?;
        match (&adopts, stands.live()) {
            (Some(adopts), _) => {
                let said = self.says_adoption(adopts, &colour).await;
                text.push_str(&format!("\n{said}; its volumes are kept and used\n"));
            }
            (None, Some(live)) => text.push_str(&format!("\n{} is live; the next colour is {colour}\n", live.project)),
            (None, None) => text.push_str(&format!("\nnothing is live yet; the first colour is {colour}\n")),
        }
        let listeners = self.listeners_change(repo, &stands, (&engine, adopts.as_ref()), &looked).await?;
        listeners.into_iter().for_each(|line| text.push_str(&format!("with the switch {line}\n")));
        let refused = self.refused_later(repo, &engine, &stands, (&looked, adopts.as_ref()), reporter).await?;
        if !refused.is_empty() {
            return Ok((None, with_refusals(text, refused)));
        }
        let stays = self.prepared(with, &looked, Which::Staying, commit).await?;
        let moves = self.prepared(with, &looked, Which::Fresh, commit).await?;
        if !stays.plan.steps.is_empty() {
            text.push_str(&format!("\nfirst what stays, {}:\n{}", repo.project, stays.text));
        }
        text.push_str(&format!("\nthen the colour, {}:\n{}", looked.colour.project.name, moves.text));
        Ok((Some(moves.plan), text))
    }
}

/// Refusals, each with what to do; nothing is planned then.
pub(super) fn with_refusals(mut text: String, refused: Vec<Failure>) -> String {
    for Failure { summary, hint, .. } in refused {
        text.push_str(&format!("\nrefused: {summary}\n"));
        hint.into_iter().for_each(|hint| text.push_str(&format!("  {hint}\n")));
    }
    text.push_str("\nnothing is planned until that is put right\n");
    text
}

impl Deployer {
    /// What a deployment to the next colour would refuse before it builds.
    async fn refused_later(
        &self,
        repo: &Repo,
        engine: &Engine,
        stands: &Stands,
        (looked, adopts): (&Looked, Option<&Adopts>),
        reporter: &dyn Reporter,
    ) -> Result<Vec<Failure>, Failure> {
        let mut refused: Vec<Failure> = Vec::new();
        refused.extend(self.refuse_moved(repo, engine, stands, looked).await.err());
        refused.extend(self.refuse_written(stands, &looked.made).await.err());
        refused.extend(self.untaken(repo, looked, adopts, (engine, reporter)).await?);
        if let (true, Some(live)) = (refused.is_empty(), stands.live()) {
            refused.extend(memory::require(engine, repo, live, &looked.made).await.err());
        }
        Ok(refused)
    }

    /// That the commit was taken back, and is not tried again by itself. What is checked out counts where nothing was fetched.
    pub(super) async fn taken_back(
        &self,
        repo: &Repo,
        stands: &Stands,
        asked: &Asked<'_>,
        seen: &Seen,
    ) -> Result<Option<Failure>, Failure> {
        if asked.rebuild {
            return Ok(None);
        }
        let path = repo.real_path.clone();
        let commit = match &seen.commit {
            Some(commit) => commit.clone(),
            None => files::blocking(move || git::head(&path)).await??.commit,
        };
        Ok(self.refuse_taken_back(repo, stands, &commit).await.err())
    }

    /// That something bakes, and who waits for the end of that; `None` where nothing does.
    async fn bakes_now(&self, repo: &str, stands: &Stands) -> Result<Option<String>, Failure> {
        let Some(bake) = self.store.rollout(repo).await.map_err(Failure::from)?.bake else { return Ok(None) };
        let waits = self.store.waiting().await.map_err(Failure::from)?.into_iter().find(|one| one.repo == repo);
        let said = match waits.filter(|one| one.phase == Phase::BakeAwaited) {
            Some(one) => one.waits.summary,
            None => {
                let live = stands.live().map_or("what is live", |live| live.project.as_str());
                format!("{live} bakes: a deployment builds its images at once and waits for the end of that")
            }
        };
        Ok(Some(format!("{said}{}", another(bake))))
    }

    /// What turnout-proxy could not listen on or show.
    async fn untaken(
        &self,
        repo: &Repo,
        looked: &Looked,
        adopts: Option<&Adopts>,
        (engine, reporter): (&Engine, &dyn Reporter),
    ) -> Result<Option<Failure>, Failure> {
        let own = listened_in_place(engine, adopts).await?;
        match tried::tried(&self.planner.settings, &looked.derived, &own).await {
            Ok(lines) => Ok(tried::refusal(&repo.name, &lines)),
            Err(untried) => {
                reporter.warn(untried.text());
                Ok(None)
            }
        }
    }

    /// Listeners that another repository of the list wants as well, deployed or not; and of which that is not known.
    async fn clashes(&self, repo: &Repo, derived: &Derived, engine: &Engine) -> (Vec<String>, Vec<String>) {
        let list = self.planner.repos.current();
        let (mut others, mut unknown) = (Vec::new(), Vec::new());
        for other in list.repos.repos.iter().filter(|other| other.name != repo.name && other.switch.is_some()) {
            let view = View::of(other);
            let read = async {
                let named = self.planner.read_through(other, view.clone(), &Silent).await?;
                let colour = &named.stack.color;
                // Its listeners are looked at alone.
                derive(&self.planner, other, &view, (colour, colour), engine).await
            };
            match read.await {
                Ok((_, derived)) => others.push((other.name.as_str(), derived)),
                Err(failure) => unknown
                    .push(format!("whether {} wants the same listener is not known: {}", other.name, failure.summary)),
            }
        }
        let mut found = Vec::new();
        for (name, other) in &others {
            // What each wants twice itself is told where it is planned.
            let both = switch::clashes(&[(repo.name.as_str(), derived), (*name, other)]).into_iter();
            let both = both.filter(|refusal| match &refusal.cause {
                Cause::SameListener { one, two, .. } => one.0 != two.0,
                _ => false,
            });
            found.extend(both.map(|refusal| format!("{}; write: {}", refusal.cause, refusal.line)));
        }
        (found, unknown)
    }
}

/// What is derived for a repository in one colour, with the project that it was derived from. Also where something is refused.
/// `staying`: the COLOR that what stays is read with, which names the volumes.
///
/// # Errors
/// When the files or the engine cannot be read, or what was said does not fit.
pub async fn derive(
    planner: &Planner,
    repo: &Repo,
    view: &View,
    (colour, staying): (&str, &str),
    engine: &Engine,
) -> Result<(TreeProject, Derived), Failure> {
    let loaded = planner.read_in(repo, view.clone(), colour).await?;
    let said =
        Said::read(repo.switch.as_ref(), &loaded.project).map_err(|mistakes| mistaken::not_said(repo, &mistakes))?;
    let mut facts = facts::gather(repo, &loaded, colour, engine, &planner.settings.state_dir).await?;
    if staying != colour {
        facts.volumes = look::named_volumes(&planner.read_in(repo, view.clone(), staying).await?.project);
    }
    let derived = switch::derive(&loaded.project, &facts, &said);
    Ok((loaded, derived))
}
