//! `start`, `stop`, `restart`, `kill`, `rm` and `down`.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::bail;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{
    args::{DownArgs, KillArgs, RestartArgs, RmArgs, ServicesArgs, StartArgs, StopArgs, WaitArgs},
    progress::Progress,
    prompt,
    session::{Session, Subject, grace, nameless},
};
use turnout_compose::{
    labels::PROJECT,
    model::{Project, Service},
};
use turnout_docker::{Engine, EngineError};
use turnout_plan::{self as plan, DownOptions, Observed, Plan, RemoveImages, RunState};

pub(super) async fn start(session: &Session, args: &StartArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let at = look(session, &args.services).await?;
    if !at.observed.containers.iter().any(|c| !c.oneoff) {
        let services = at.subject.project.iter().flat_map(|project| &project.services);
        let mut expected = services.filter(|(_, service)| service.provider.is_none() && service.scale() > 0);
        match (&at.subject.project, expected.next()) {
            (None, _) => bail!("no container found for project {:?}: bring it up first", at.subject.name),
            (Some(_), Some((name, _))) => bail!("service {name:?} has no container to start (create it with `up`)"),
            (Some(_), None) => {}
        }
    }
    let known = |name: &String| at.observed.containers.iter().any(|c| c.service == *name && !c.oneoff);
    let needed = at.subject.project.as_ref().map(|project| needed(project, &args.services)).unwrap_or_default();
    if let Some(missing) = args.services.iter().chain(&needed).find(|name| !known(name)) {
        bail!("service {missing:?} has no container to start (create it with `up`)");
    }
    let mut at = at;
    if at.subject.project.iter().flat_map(|project| project.services.values()).any(|s| !s.pre_start.is_empty()) {
        // What runs before a start is made now, and needs its variables.
        at.subject.project = Some(session.load(&args.services)?);
    }
    let plan = plan::start(&at.subject.name, at.subject.project.as_ref(), &at.observed, &args.services);
    let done = run(session, &at, plan, None, &progress).await?;
    if args.wait && !session.global.dry_run {
        let project =
            started(&at, |name| args.services.is_empty() || args.services.contains(name) || needed.contains(name));
        let limit = args.wait_timeout.map(Duration::from_secs);
        super::wait::until_ready(session, &at.engine, &project, limit, &progress).await?;
    }
    Ok(done)
}

/// The project with only the services that were started; where there are no files, they are known by their containers.
fn started(at: &At, is_meant: impl Fn(&String) -> bool) -> Project {
    let mut project = at.subject.project.clone().unwrap_or_else(|| {
        let own = at.observed.containers.iter().filter(|container| !container.oneoff);
        let services = own.map(|container| (container.service.clone(), Service::default())).collect();
        Project { services, ..nameless(&at.subject.name) }
    });
    project.services.retain(|name, _| is_meant(name));
    project
}

/// What these services need, directly or not, and that has containers.
fn needed(project: &Project, services: &[String]) -> BTreeSet<String> {
    let mut open: Vec<&String> = services.iter().collect();
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        let own = project.services.get(name).into_iter().flat_map(|service| &service.depends_on);
        for (other, _) in own.filter(|(_, edge)| edge.required) {
            let has = |service: &Service| service.provider.is_none() && service.scale() > 0;
            if project.services.get(other).is_some_and(has) && found.insert(other.clone()) {
                open.push(other);
            }
        }
    }
    found
}

pub(super) async fn stop(session: &Session, args: &StopArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let at = look(session, &args.services).await?;
    let plan = plan::stop(&at.subject.name, at.subject.project.as_ref(), &at.observed, &args.services);
    run(session, &at, plan, args.timeout, &progress).await
}

pub(super) async fn restart(session: &Session, args: &RestartArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let mut at = look(session, &args.services).await?;
    if at.observed.containers.is_empty() {
        // As in the real one, no failure.
        progress.warning(&format!("no container found for project {:?}: bring it up first", at.subject.name));
        return Ok(0);
    }
    if args.no_deps && !args.services.is_empty() {
        if let Some(project) = &mut at.subject.project {
            super::converge::without_dependencies(project, &args.services);
        }
        at.observed.containers.retain(|c| args.services.contains(&c.service));
    }
    let plan = plan::restart(&at.subject.name, at.subject.project.as_ref(), &at.observed, &args.services);
    run(session, &at, plan, args.timeout, &progress).await
}

pub(super) async fn kill(session: &Session, args: &KillArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let subject = session.subject_with(&args.services)?;
    let engine = session.engine().await?;
    let mut found = engine.containers(&subject.name, false).await?;
    let orphans_too = args.remove_orphans || session.is_on("COMPOSE_REMOVE_ORPHANS");
    found.retain(|c| {
        let known = subject.project.as_ref().is_none_or(|project| project.services.contains_key(&c.service));
        // As in the real one, orphans are killed like the others, and stay.
        (known || orphans_too) && (args.services.is_empty() || args.services.contains(&c.service))
    });
    if found.is_empty() {
        writeln!(io::stderr(), "no container to kill")?;
    }
    let kills = found.iter().map(|container| {
        let (engine, progress) = (&engine, &progress);
        async move {
            let subject = format!("Container {}", container.name);
            progress.is(&subject, "Killing");
            if session.global.dry_run || engine.kill_container(&container.id, &container.name, &args.signal).await? {
                progress.is(&subject, "Killed");
            }
            Ok::<(), EngineError>(())
        }
    });
    futures_util::future::try_join_all(kills).await?;
    Ok(0)
}

pub(super) async fn rm(session: &Session, args: &RmArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let mut at = look(session, &args.services).await?;
    if args.stop {
        let plan = plan::stop(&at.subject.name, at.subject.project.as_ref(), &at.observed, &args.services);
        run(session, &at, plan, None, &progress).await?;
        at.observed = at.engine.observe_containers(&at.subject.name).await?;
        if session.global.dry_run {
            at.observed.containers.iter_mut().for_each(|c| c.state = RunState::Exited(0));
        }
    }
    let project = at.subject.project.as_ref();
    let plan = plan::remove(&at.subject.name, project, &at.observed, &args.services, args.volumes);
    if plan.steps.is_empty() {
        writeln!(io::stderr(), "No stopped containers")?;
        return Ok(0);
    }
    let what = format!("Going to remove {}", removed(&plan).join(", "));
    if args.force {
        writeln!(io::stdout(), "{what}")?;
    } else if !prompt::confirm(&what, false)? {
        return Ok(0);
    }
    run(session, &at, plan, None, &progress).await
}

pub(super) async fn down(session: &Session, args: &DownArgs) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let Subject { name, project } = session.subject_with(&args.services)?;
    let engine = session.engine().await?;
    if let (Some(project), false) = (&project, session.global.dry_run) {
        super::provider::down(session, project, &args.services, &progress).await?;
    }
    let frame = project.clone().unwrap_or_else(|| nameless(&name));
    let mut observed = engine.observe_remains(&frame).await?;
    if args.rmi.is_some() {
        observed.own_images = engine.own_images(&frame, &observed).await?;
    }
    let options = DownOptions {
        project: name.clone(),
        services: args.services.clone(),
        volumes: args.volumes,
        remove_orphans: args.remove_orphans || session.is_on("COMPOSE_REMOVE_ORPHANS"),
        images: match args.rmi.as_deref() {
            Some("all") => Some(RemoveImages::All),
            Some(_) => Some(RemoveImages::Local),
            None => None,
        },
    };
    let plan = plan::down(project.as_ref(), &observed, &options);
    let has_containers = observed.containers.iter().any(|c| options.remove_orphans || !c.oneoff);
    if !has_containers && plan.steps.is_empty() && !may_have_more(project.as_ref(), &options) {
        progress.warning(&format!("no resource found to remove for project {name:?}"));
    }
    let kept: Vec<&str> = still_used(&observed, &plan, &options);
    session.apply(&engine, &frame, plan.clone(), grace(args.timeout), &progress).await?;
    for network in kept.into_iter().filter(|_| !session.global.dry_run) {
        progress.is(&format!("Network {network}"), "Removing");
        progress.is(&format!("Network {network}"), "Resource is still in use");
    }
    Ok(0)
}

/// The project's networks that stay because containers of services that were not named are attached.
fn still_used<'a>(observed: &'a Observed, plan: &Plan, options: &DownOptions) -> Vec<&'a str> {
    let removed = |id: &str| {
        plan.steps
            .iter()
            .any(|step| matches!(&step.action, plan::Action::RemoveNetwork { id: Some(own), .. } if own == id))
    };
    let own = observed.networks.values().filter(|network| {
        !options.services.is_empty() && network.labels.get(PROJECT).is_some_and(|name| *name == options.project)
    });
    own.filter(|network| !removed(&network.id)).map(|network| network.name.as_str()).collect()
}

/// Whether a project describes networks or volumes of its own, which a `down` then looks for.
fn may_have_more(project: Option<&Project>, options: &DownOptions) -> bool {
    let Some(project) = project else { return false };
    let network = project.networks.values().any(|network| !network.as_ref().is_some_and(|network| network.external));
    let volume = project.volumes.values().any(|volume| !volume.as_ref().is_some_and(|volume| volume.external));
    network || options.volumes && volume
}

/// What the commands here act upon.
struct At {
    subject: Subject,
    engine: Engine,
    observed: Observed,
}

async fn look(session: &Session, services: &[String]) -> anyhow::Result<At> {
    let subject = session.subject_with(services)?;
    let engine = session.engine().await?;
    let observed = engine.observe_containers(&subject.name).await?;
    Ok(At { subject, engine, observed })
}

async fn run(session: &Session, at: &At, plan: Plan, timeout: Option<i64>, progress: &Progress) -> anyhow::Result<u8> {
    let unnamed;
    let project = match &at.subject.project {
        Some(project) => project,
        None => {
            unnamed = nameless(&at.subject.name);
            &unnamed
        }
    };
    progress.knows(&at.observed);
    session.apply(&at.engine, project, plan, grace(timeout), progress).await?;
    Ok(0)
}

/// Names of the containers that a plan removes.
fn removed(plan: &Plan) -> Vec<&str> {
    let names = plan.steps.iter().filter_map(|step| match &step.action {
        plan::Action::RemoveContainer { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

/// `pause`, and with `resume` `unpause`: of services in the project, without one-offs.
pub(super) async fn pause(session: &Session, args: &ServicesArgs, resume: bool) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let subject = session.subject_with(&args.services)?;
    let engine = session.engine().await?;
    let mut found = engine.containers(&subject.name, false).await?;
    found.retain(|c| {
        let active = subject.project.as_ref().is_none_or(|project| project.services.contains_key(&c.service));
        !c.oneoff && active && (args.services.is_empty() || args.services.contains(&c.service))
    });
    // As in the real one, what is as wanted already is a failure, but does not keep the others from their turn.
    let mut failed = None;
    for container in found {
        let subject = format!("Container {}", container.name);
        let (done, word, what) = match (resume, session.global.dry_run) {
            (true, true) => (Ok(()), "Unpaused", "unpause"),
            (false, true) => (Ok(()), "Paused", "pause"),
            (true, false) => (engine.docker().unpause_container(&container.id).await, "Unpaused", "unpause"),
            (false, false) => (engine.docker().pause_container(&container.id).await, "Paused", "pause"),
        };
        match done {
            Ok(()) => progress.is(&subject, word),
            Err(error) => {
                let error = EngineError::api(format!("{what} {}", container.name), error);
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(0), |error| Err(error.into()))
}

/// `wait`: the exit code is that of the container which ended last.
pub(super) async fn wait(session: &Session, args: &WaitArgs) -> anyhow::Result<u8> {
    let name = session.project_name()?;
    let engine = session.engine().await?;
    let mut found = engine.containers(&name, false).await?;
    found.retain(|c| args.services.contains(&c.service));
    if found.is_empty() {
        bail!("no containers for project {name:?}");
    }
    let mut ends: FuturesUnordered<_> = found
        .iter()
        .map(|container| {
            let engine = &engine;
            async move { (container, super::run::ended_code(engine, &container.id, &container.name).await) }
        })
        .collect();
    let stop = super::session::interrupted();
    tokio::pin!(stop);
    let mut last = 0;
    loop {
        let end = tokio::select! {
            end = ends.next() => end,
            () = &mut stop => return Ok(130),
        };
        let Some((container, code)) = end else { break };
        let code = code?;
        writeln!(io::stdout(), "container {:?} exited with status code {code}", container.id)?;
        last = code;
    }
    if args.down_project {
        let args = DownArgs { services: Vec::new(), remove_orphans: true, rmi: None, timeout: None, volumes: false };
        down(session, &args).await?;
    }
    Ok(u8::try_from(last.rem_euclid(256)).unwrap_or(1))
}
