//! What commands that bring containers about have in common: what they intend, and the way from a project over a plan to what
//! was planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    api_socket,
    args::PullChoice,
    progress::Progress,
    prompt, provider,
    session::{Session, now},
};
use turnout_compose::model::Project;
use turnout_docker::Engine;
use turnout_plan::{self as plan, Earlier, Intent, Observed, Plan, Pull, RunState};

/// Observes, plans and applies; shows what already runs.
pub(super) async fn converge(
    session: &Session,
    project: &mut Project,
    intent: &Intent,
    stop_timeout: Option<Duration>,
    progress: &Progress,
) -> anyhow::Result<Engine> {
    prepare(session, project, progress).await?;
    let project = &*project;
    if project.services.is_empty() && !intent.all_resources {
        bail!("no service selected");
    }
    let engine = session.engine().await?;
    refuse_unsupported(&engine, project)?;
    let mut agreed = intent.clone();
    let planned = |observed: &mut Observed, earlier: &Earlier| {
        agreed.earlier = earlier.clone();
        let mut plan = plan::converge(project, observed, &agreed)?;
        if !agreed.yes_recreate_volumes && !session.global.dry_run {
            let other = Intent { yes_recreate_volumes: true, ..agreed.clone() };
            let consented = plan::converge(project, observed, &other)?;
            if consents(&consented)? {
                (plan, agreed) = (consented, other);
            }
        }
        build_in_order(project, &mut plan);
        running(observed, project, &plan, progress);
        Ok(plan)
    };
    session.bring_about(&engine, project, stop_timeout, progress, planned).await?;
    Ok(engine)
}

/// Asks before volumes are recreated; nothing to ask means no.
fn consents(plan: &Plan) -> anyhow::Result<bool> {
    let names: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            plan::Action::RemoveVolume { name, replaced: true, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Ok(false);
    }
    let which = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let question =
        format!("Volume {which} exists but doesn't match configuration in compose file. Recreate (data will be lost)?");
    Ok(prompt::confirm(&question, false)?)
}

/// Refuses what the engine cannot carry out before anything is done; provided services have no container to refuse.
fn refuse_unsupported(engine: &Engine, project: &Project) -> anyhow::Result<()> {
    if project.services.values().all(|service| service.provider.is_none()) {
        return Ok(engine.refuse_unsupported(project)?);
    }
    let mut own = project.clone();
    own.services.retain(|_, service| service.provider.is_none());
    Ok(engine.refuse_unsupported(&own)?)
}

/// What `intent` of `up` and `create` have in common.
pub(super) fn intent(
    session: &Session,
    services: &[String],
    scale: &[String],
    remove_orphans: bool,
) -> anyhow::Result<Intent> {
    let scale = scale.iter().map(|text| one_scale(text)).collect::<anyhow::Result<_>>()?;
    Ok(Intent {
        services: services.to_vec(),
        scale,
        remove_orphans: remove_orphans || session.is_on("COMPOSE_REMOVE_ORPHANS"),
        ignore_orphans: session.is_on("COMPOSE_IGNORE_ORPHANS"),
        // As the real command line does at every `up`.
        rerun_completed_jobs: true,
        wait_for_running: true,
        start_unchecked: true,
        all_resources: session.global.all_resources,
        now: now(),
        ..Intent::default()
    })
}

/// Drops the services that are not named, and edges to them: `--no-deps`.
pub(super) fn without_dependencies(project: &mut Project, named: &[String]) {
    if named.is_empty() {
        return;
    }
    let (kept, mut dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut project.services).into_iter().partition(|(name, _)| named.contains(name));
    project.services = kept;
    project.disabled_services.append(&mut dropped);
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, _| named.contains(name));
    }
}

/// `--pull`.
pub(super) fn pull(choice: PullChoice) -> Option<Pull> {
    match choice {
        PullChoice::Always => Some(Pull::Always),
        PullChoice::Missing => Some(Pull::Missing),
        PullChoice::Never => Some(Pull::Never),
        PullChoice::Build | PullChoice::Policy => None,
    }
}

/// Services of these that build, all if none is named, each with the cause to print.
pub(super) fn builds(project: &Project, named: &[String]) -> BTreeMap<String, String> {
    let services = project.services.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    let building = services.filter(|(_, service)| service.build.is_some());
    building.map(|(name, _)| (name.clone(), "asked for".to_owned())).collect()
}

/// What the command line does before the engine's turn: provider programs run, the engine's socket is handed in.
pub(super) async fn prepare(session: &Session, project: &mut Project, progress: &Progress) -> anyhow::Result<()> {
    if !session.global.dry_run {
        provider::up(session, project, progress).await?;
    }
    api_socket::hand_in(session, project).await
}

/// `--scale`: a service and its number of containers.
pub(super) fn one_scale(text: &str) -> anyhow::Result<(String, u32)> {
    let (name, count) = text.split_once('=').with_context(|| format!("--scale {text}: write SERVICE=NUM"))?;
    let count = count.parse().with_context(|| format!("--scale {text}: {count:?} is not a number of containers"))?;
    Ok((name.to_owned(), count))
}

/// The plan of an `up` on an engine that has nothing, reduced to the steps that `wanted` picks.
pub(super) fn image_plan(
    project: &Project,
    intent: &Intent,
    wanted: impl Fn(&plan::Action) -> bool,
) -> anyhow::Result<Plan> {
    let mut plan = Plan { project: project.name.clone(), ..Plan::default() };
    if intent.build.is_empty() {
        return Ok(plan);
    }
    // What is there does not matter to a build that was asked for; external networks and volumes neither.
    let frame = Project {
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        services: project
            .services
            .iter()
            .filter(|(name, _)| intent.build.contains_key(*name))
            .map(|(name, service)| {
                let reduced = turnout_compose::model::Service {
                    image: service.image.clone(),
                    build: service.build.clone(),
                    depends_on: service.depends_on.clone(),
                    ..Default::default()
                };
                (name.clone(), reduced)
            })
            .collect(),
        ..project.clone()
    };
    let whole = plan::converge(&frame, &Observed::default(), intent)?;
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    for (id, mut step) in whole.steps.into_iter().enumerate().filter(|(_, step)| wanted(&step.action)) {
        step.after = step.after.iter().filter_map(|before| places.get(before).copied()).collect();
        step.part_of = step.part_of.and_then(|lead| places.get(&lead).copied());
        places.insert(id, plan.steps.len());
        plan.steps.push(step);
    }
    build_in_order(project, &mut plan);
    Ok(plan)
}

/// Lets builds wait for those of the services that theirs depends on, as in the real one: an image may be the base of
/// another without a word of it in the project.
pub(super) fn build_in_order(project: &Project, plan: &mut Plan) {
    let mut built: BTreeMap<String, usize> = BTreeMap::new();
    for (id, step) in plan.steps.iter_mut().enumerate() {
        let plan::Action::Build { service, .. } = &step.action else { continue };
        let mut open: Vec<&str> = vec![service];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let needed = project.services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
            for other in needed.filter(|other| seen.insert(other.as_str())) {
                match built.get(other) {
                    Some(before) if !step.after.contains(before) => step.after.push(*before),
                    Some(_) => {}
                    None => open.push(other),
                }
            }
        }
        built.insert(service.clone(), id);
    }
}

/// Names the containers that run and that the plan leaves alone.
pub(super) fn running(observed: &Observed, project: &Project, plan: &Plan, progress: &Progress) {
    let touched = |id: &str, name: &str| plan.steps.iter().any(|step| touches(&step.action, id, name));
    let idle = observed.containers.iter().filter(|c| {
        !c.oneoff
            && c.state == RunState::Running
            && project.services.contains_key(&c.service)
            && !touched(&c.id, &c.name)
    });
    let order = plan::dependency_order(project);
    let places: BTreeMap<&str, usize> = order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut found: Vec<&plan::ObservedContainer> = idle.collect();
    found.sort_by_key(|c| (places.get(c.service.as_str()), c.name.as_str()));
    progress.run(found.into_iter().map(|container| (container.service.as_str(), container.name.as_str())));
}

fn touches(action: &plan::Action, id: &str, name: &str) -> bool {
    use plan::Action;
    match action {
        Action::CreateContainer { replaces: Some(old), .. } if old.id == id => true,
        Action::StopContainer { id: own, .. }
        | Action::RemoveContainer { id: own, .. }
        | Action::RenameContainer { id: Some(own), .. }
        | Action::RestartContainer { id: own, .. }
        | Action::SignalContainer { id: own, .. }
        | Action::UnpauseContainer { id: own, .. } => own == id,
        Action::StartContainer { name: own, .. } | Action::CreateContainer { name: own, .. } => own == name,
        _ => false,
    }
}
