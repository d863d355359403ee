//! `GET /v1/status`: the repositories, what runs of them, what is under way. What runs is known from the engine's events; the
//! engine is asked where it is not.

use std::{collections::BTreeSet, time::Duration};

use axum::{Json, extract::State};
use futures_util::StreamExt as _;
use tokio::time;

use super::{
    colours_route,
    command::{Control, Refusal},
    left::left,
    wire::{ByHand, ContainerStatus, Health, RepoStatus, RunsKnown, StatusReply, StrayStatus, WaitStatus},
};
use crate::{
    config::Repo,
    deploy::{
        colours::{Stands, Stopped, another},
        compute,
        former::{self, Stacks, Stray},
        holdings::Ask,
        load_project, now_ms, place,
    },
    engine, files, git,
    rollout::Phase,
    store::{Deployment, Filter, Waiting},
};

/// Deployments looked through for the last one that ended.
const LOOK_BACK: usize = 20;

/// How long the engine may take to say what runs. Whoever asks how things stand is told that it does not, not left waiting.
const ENGINE: Duration = Duration::from_secs(10);
/// The same in words.
const ENGINE_WORDS: &str = "10 s";

/// How long the disk of a work tree may take for one call, for whoever only asks how things stand.
const DISK: Duration = Duration::from_secs(5);

/// What the engine runs, as far as the daemon knows.
struct Runs {
    stacks: Result<Stacks, String>,
    /// What ran when that was known last, where it is not known now.
    before: Option<Stacks>,
    known: Option<RunsKnown>,
}

impl Runs {
    fn from(stacks: Stacks, from: &str, why: Option<String>) -> Runs {
        let known = RunsKnown { as_of: now_ms(), from: from.to_owned(), why };
        Runs { stacks: Ok(stacks), before: None, known: Some(known) }
    }

    fn unknown(control: &Control, why: String) -> Runs {
        let (before, known) = match control.deployer.holdings.last() {
            Some((before, as_of)) => {
                (Some(before), Some(RunsKnown { as_of, from: "before".to_owned(), why: Some(why.clone()) }))
            }
            None => (None, None),
        };
        Runs { stacks: Err(why), before, known }
    }
}

/// What the engine says of itself, and what runs.
async fn ask(control: &Control) -> (Health, Runs) {
    let unwell =
        |text: String| (Health { ok: false, text }, Runs::unknown(control, "the engine does not answer".to_owned()));
    let asked = async {
        let engine = match control.deployer.planner.engine().await {
            Ok(engine) => engine,
            Err(error) => return unwell(error.to_string()),
        };
        let text = format!("{}, API {}", engine.endpoint(), engine.version());
        // It has just answered, so what happened before that is on its way to here, or has come.
        let why = match control.deployer.holdings.now() {
            Ok(stacks) => return (Health { ok: true, text }, Runs::from(stacks, "events", None)),
            Err(Ask::Moment) => None,
            Err(Ask::Deaf(why)) => Some(why),
        };
        let runs = match engine.stacks().await {
            Ok(stacks) => Runs::from(stacks, "asked", why),
            Err(error) => Runs::unknown(control, error.to_string()),
        };
        (Health { ok: true, text }, runs)
    };
    time::timeout(ENGINE, asked)
        .await
        .unwrap_or_else(|_| unwell(format!("the Docker engine has not said within {ENGINE_WORDS} what runs")))
}

/// So many repositories are looked at beside each other.
const AT_ONCE: usize = 4;

/// Answers with everything at one moment.
pub(super) async fn status(State(control): State<Control>) -> Result<Json<StatusReply>, Refusal> {
    let deployer = &control.deployer;
    let (engine, runs) = ask(&control).await;
    let stacks = &runs.stacks;
    let list = deployer.planner.repos.current();
    let mut repos = Vec::new();
    let mut claimed = BTreeSet::new();
    let now = place::all_now(&list.repos.repos);
    // Beside each other: one whose project takes long to read does not hold up what is told of the others.
    let each: Vec<_> = now.iter().map(|repo| of_repo(&control, repo, &runs)).collect();
    let mut each = futures_util::stream::iter(each).buffered(AT_ONCE);
    while let Some(of_one) = each.next().await {
        let (repo, projects) = of_one?;
        repos.push(repo);
        claimed.extend(projects);
    }
    drop(each);
    let places = deployer.store.places().await?;
    let strays = stacks.as_ref().ok().map(|stacks| {
        let strays = former::strays(&now, &|project| claimed.contains(project), stacks, &places);
        strays.into_iter().map(stray).collect()
    });
    let broken = deployer.planner.repos.broken();
    Ok(Json(StatusReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: control.started_at,
        engine,
        runs: runs.known.clone(),
        config_consequence: broken.as_ref().map(|broken| broken.consequence.clone()),
        waiting_for: control.pulse.waiting_for().into_iter().map(str::to_owned).collect(),
        config_mistakes: broken.iter().flat_map(|broken| broken.mistakes.0.iter().map(ToString::to_string)).collect(),
        repos,
        outbox: deployer.store.outbox().await?,
        strays,
    }))
}

/// With the projects that are this repository's.
async fn of_repo(control: &Control, repo: &Repo, runs: &Runs) -> Result<(RepoStatus, Vec<String>), Refusal> {
    let reading = repo.clone();
    let redactor = control.deployer.redactor.of(&repo.name);
    let learning = redactor.clone();
    let read = compute::glance(repo, "reading the project", move || {
        let there = files::at(&reading.real_path, &reading.real_path, || reading.real_path.exists());
        if reading.remote.is_some() && there.is_ok_and(|there| !there) {
            return None;
        }
        Some(load_project(&reading, &learning))
    });
    let loaded = match read.await {
        Ok(loaded) => loaded,
        Err(failure) => Some(Err(failure)),
    };
    // By itself: what is checked out is known also where the project cannot be read in time.
    let (real, git_dir) = (repo.real_path.clone(), repo.real_path.join(".git"));
    let head =
        move || files::at(&real, &git_dir, || git::head(&real)).ok().and_then(Result::ok).map(|head| head.commit);
    let commit = files::blocking_for(DISK, head).await.ok().flatten();
    let (name, project) = match loaded {
        None => (None, Health { ok: true, text: "not cloned yet; the first deployment does that".to_owned() }),
        Some(Ok(loaded)) => {
            let stack = loaded.stack;
            let text = format!("{} from {} ({})", stack.project, stack.files.join(", "), stack.reason);
            (Some(stack.project), Health { ok: true, text })
        }
        Some(Err(failure)) => (None, Health { ok: false, text: redactor.redact(&failure.summary).into_owned() }),
    };
    // Also what was deployed before: another colour, or this one where the files cannot be read just now.
    let mut projects: Vec<String> = name.into_iter().collect();
    for former in control.deployer.store.projects(&repo.name).await? {
        if !projects.contains(&former) {
            projects.push(former);
        }
    }
    let filter = Filter { repo: Some(repo.name.clone()), limit: LOOK_BACK, ..Filter::default() };
    let recent = control.deployer.store.history(filter).await?;
    let find = |wanted: &dyn Fn(&Deployment) -> bool| recent.iter().find(|d| wanted(d)).cloned();
    let watched = control.deployer.store.watched().await?;
    let waits = control.deployer.store.waiting().await?.into_iter().find(|waiting| waiting.repo == repo.name);
    use crate::store::State::{Cancelled, Failed, Queued, Running, Succeeded};
    let left = left(&control.deployer.store, &repo.name).await?;
    let rollout = control.deployer.store.rollout(&repo.name).await?;
    // One that waits for something else while a bake is under way has an end of its own.
    let for_the_bake = rollout.under_way.is_some_and(|one| one.phase == Phase::BakeAwaited);
    let bake = rollout.bake.filter(|_| for_the_bake);
    let colours = colours_route::of(&control.deployer, &repo.name, runs.stacks.as_ref().ok()).await?;
    let behind = control.deployer.store.wanted(&repo.name).await?;
    let behind_taken_back = match &behind {
        Some(behind) => control.deployer.store.why_reverted(&repo.name, &behind.commit).await?.is_some(),
        None => false,
    };
    let last = find(&|d| matches!(d.state, Succeeded | Failed | Cancelled));
    let stands = control.deployer.recorded(&repo.name).await?;
    let failed_for = colours.as_ref().and_then(|colours| colours.failed_for.clone());
    let faults = failed_for.into_iter().chain(last.as_ref().and_then(|last| last.error.clone()));
    let of = Of { repo, stands: &stands, faults: faults.collect::<Vec<_>>().join("\n") };
    let (mut containers, mut ran) = (Vec::new(), Vec::new());
    if let Ok(stacks) = &runs.stacks {
        containers = of_projects(control, &of, &mut projects, stacks);
    } else if let Some(before) = &runs.before {
        ran = of_projects(control, &of, &mut projects, before);
    }
    let status = RepoStatus {
        name: repo.name.clone(),
        colours,
        path: repo.path.display().to_string(),
        project,
        commit,
        hold: control.deployer.store.held(&repo.name).await?,
        behind,
        behind_taken_back,
        // What was asked for by name and succeeded does not run any more.
        by_hand: if left.is_some() { None } else { by_hand(control, repo).await? },
        left,
        active: find(&|d| d.state == Running).or_else(|| find(&|d| d.state == Queued)),
        waits: waits.map(|Waiting { deployment, until, waits, .. }| WaitStatus {
            deployment,
            why: format!("{}{}", waits.summary, bake.map(another).unwrap_or_default()),
            until: bake.map_or(until, |bake| bake.until),
        }),
        last,
        deployed: find(&|d| d.state == Succeeded),
        watched_until: watched.into_iter().find(|watched| watched.repo == repo.name).map(|found| found.watch.until),
        containers,
        runs_unknown: runs.stacks.as_ref().err().cloned(),
        ran,
    };
    Ok((status, projects))
}

/// Whose containers are shown.
struct Of<'a> {
    repo: &'a Repo,
    stands: &'a Stands,
    /// What is known of faults, in words: whoever is named there was not ended by turnout.
    faults: String,
}

/// The containers of a repository's projects. Adds to these what only the containers know, for instance after the database
/// was lost.
fn of_projects(control: &Control, of: &Of<'_>, projects: &mut Vec<String>, stacks: &Stacks) -> Vec<ContainerStatus> {
    let Of { repo, stands, faults } = of;
    let marked = stacks.values().filter(|stack| stack.repository.as_ref() == Some(&repo.name));
    let marked: Vec<String> = marked.map(|stack| stack.project.clone()).collect();
    projects.extend(marked.into_iter().filter(|project| !projects.contains(project)).collect::<Vec<_>>());
    // A name can mean what another repository has deployed; that is shown with that one.
    let list = control.deployer.planner.repos.checked();
    let anothers = |of: &String| *of != repo.name && list.repos.by_name(of).is_some();
    let all = projects.iter().filter_map(|project| stacks.get(project));
    let all = all.filter(|stack| !stack.repository.as_ref().is_some_and(anothers));
    let shown_of = |stack: &engine::Stack| {
        let stopped = Stopped::of(stands, &stack.project, &repo.project);
        stack.containers.iter().map(|one| shown(one, &stopped, faults)).collect::<Vec<_>>()
    };
    all.flat_map(shown_of).collect()
}

/// Whether what runs was asked for by name.
async fn by_hand(control: &Control, repo: &Repo) -> Result<Option<ByHand>, Refusal> {
    let filter = Filter {
        repo: Some(repo.name.clone()),
        state: Some(crate::store::State::Succeeded),
        limit: 1,
        ..Filter::default()
    };
    let newest = control.deployer.store.history(filter).await?.into_iter().next();
    let Some((last, commit)) = newest.filter(|last| last.pinned).and_then(|d| Some((d.clone(), d.commit_after?)))
    else {
        return Ok(None);
    };
    let on = repo.clone();
    let on = match repo.branch.clone() {
        None => files::blocking_for(DISK, move || super::checked_out(&on)).await.ok().flatten(),
        branch => branch,
    };
    let branch = on.or(last.branch);
    let (path, name) = (repo.real_path.clone(), branch.clone());
    let tip = files::blocking_for(DISK, move || {
        let name = name?;
        files::at(&path, &path, || git::branch_tip(&path, &name)).ok().flatten()
    });
    let tip = tip.await.ok().flatten();
    Ok(Some(ByHand { commit, asked: last.wanted_commit, deployment: last.id, branch, branch_commit: tip }))
}

fn shown(container: &engine::ContainerStatus, stopped: &Stopped, faults: &str) -> ContainerStatus {
    let ended = |code| stopped.ended(&container.name, &container.service, code, Some(faults));
    ContainerStatus {
        stopped_by_turnout: !container.oneoff && container.exit_code.is_some_and(ended),
        service: container.service.clone(),
        name: container.name.clone(),
        status: container.status.clone(),
        image: container.image.clone(),
        ports: container.ports.join(", "),
    }
}

fn stray(stray: Stray) -> StrayStatus {
    let Stray { stack, repository, path, recorded, remove, adopt } = stray;
    StrayStatus {
        project: stack.project,
        repository,
        path,
        unrecorded: !recorded,
        containers: stack.containers.iter().map(|one| shown(one, &Stopped::Nothing, "")).collect(),
        volumes: stack.volumes.into_iter().collect(),
        remove,
        adopt,
    }
}
