//! The journal: it tells everything that the tables have, in the transaction that makes it so.

use std::{collections::BTreeMap, path::Path, time::Duration};

use proptest::prelude::*;
use rusqlite::Connection;
use turnout::{
    report::{Event, Outcome, redact::Redactor},
    rollout::{Bake, Fact, Phase, Rollout, UnderWay},
    store::{
        Cause, ColourRecord, ColourStanding, DomainEvent, Fall, Finish, HoldChange, Journaled, LogLimits, NewDelivery,
        NewDeployment, Only, Place, Read, Retention, State, Store, Update, WaitsFor, Watch,
    },
};

pub(super) fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap()
}

pub(super) fn wanted(repo: &str, commit: Option<u8>, pinned: bool) -> NewDeployment {
    NewDeployment {
        repo: repo.to_owned(),
        branch: Some("main".to_owned()),
        commit: commit.map(commit_of),
        kind: if pinned { Cause::Manual } else { Cause::Push },
        cause: "a push".to_owned(),
        who: None,
        force_rebuild: commit.is_some_and(|commit| commit % 3 == 0),
        pinned,
        new_stack: false,
        back: false,
        past: false,
    }
}

fn commit_of(number: u8) -> String {
    format!("{number:040x}")
}

fn delivery(repo: &str, commit: u8) -> NewDelivery {
    NewDelivery {
        forge: "github",
        guid: Some(format!("{repo}-{commit}")),
        event: "push".to_owned(),
        repo: Some(format!("acme/{repo}")),
        git_ref: Some("refs/heads/main".to_owned()),
        commit: Some(commit_of(commit)),
        pusher: None,
        digest: [commit; 32],
        effect: "deploy",
        reason: "push".to_owned(),
        deploy: Some(wanted(repo, Some(commit), false)),
        hooks: Vec::new(),
    }
}

/// What the tables have, and what the journal says that they have: rows by table and key.
type World = BTreeMap<String, String>;

fn tables(file: &Path) -> World {
    const LOOKS: &[(&str, &str)] = &[
        (
            "deployment",
            "SELECT id, repo || '|' || state || '|' || coalesce(phase, '-') || '|' || coalesce(project, '-') || '|' ||
               coalesce(branch, '-') || '|' || coalesce(commit_before, '-') || '|' || coalesce(commit_after, '-') || '|' ||
               coalesce(commit_base, '-') || '|' || coalesce(decision, '-') || '|' || coalesce(error, '-') || '|' ||
               coalesce(superseded_by, '-') || '|' || coalesce(retry_of, '-') || '|' || attempt || '|' || force_rebuild
             FROM deployments",
        ),
        ("hold", "SELECT repo, coalesce(held_commit, '-') || '|' || coalesce(newest, '-') || '|' || since FROM holds"),
        ("wanted", "SELECT repo, commit_id || '|' || before || '|' || since FROM wanted"),
        (
            "rollout",
            "SELECT repo, generation || '|' || coalesce(phase, '-') || '|' || plans || '|' || losses || '|' ||
               coalesce(due_at, '-') || '|' || coalesce(watched, '-') || '|' || coalesce(bake_until, '-') FROM rollouts",
        ),
        (
            "watch",
            "SELECT repo, watch_deployment || '|' || watch_project || '|' || watch_since || '|' || watch_until FROM rollouts
             WHERE watch_until IS NOT NULL",
        ),
        ("fall", "SELECT deployment || '/' || container, times || '|' || coalesce(mended, '-') FROM falls"),
        ("delivery", "SELECT id, verdict || '|' || coalesce(deployment, '-') || '|' || coalesce(duplicate_of, '-') FROM deliveries"),
        ("place", "SELECT repo || '/' || project, path || '|' || coalesce(remote, '-') FROM places"),
        (
            "colour",
            "SELECT repo || '/' || colour, project || '|' || standing || '|' || generation || '|' || coalesce(commit_id, '-')
             FROM colours",
        ),
        ("reverted", "SELECT repo || '/' || commit_id, why FROM reverted"),
        ("log", "SELECT deployment, max(seq) FROM log_lines GROUP BY deployment"),
    ];
    let db = Connection::open(file).unwrap();
    let mut world = World::new();
    for (table, look) in LOOKS {
        let mut rows = db.prepare(look).unwrap();
        let text = |value: rusqlite::types::Value| match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        let rows = rows.query_map([], |row| Ok((text(row.get(0)?), text(row.get(1)?)))).unwrap();
        world.extend(rows.map(|row| row.unwrap()).map(|(key, value)| (format!("{table} {key}"), value)));
    }
    world
}

#[derive(Clone, Default)]
struct Told {
    repo: String,
    state: Option<State>,
    phase: Option<String>,
    learned: [Option<String>; 6],
    error: Option<String>,
    superseded_by: Option<i64>,
    retry_of: Option<i64>,
    attempt: u32,
    force: bool,
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// What follows from the journal alone.
fn replayed(events: &[Journaled]) -> World {
    let mut world = World::new();
    let mut deployments: BTreeMap<i64, Told> = BTreeMap::new();
    let mut watches: BTreeMap<String, (i64, String, i64, i64)> = BTreeMap::new();
    for event in events {
        let Read::Known(what) = &event.what else { panic!("{event:?}") };
        let repo = event.repo.clone().unwrap_or_default();
        let id = event.deployment.unwrap_or_default();
        macro_rules! of_it {
            () => {
                deployments.get_mut(&id).unwrap_or_else(|| panic!("{event:?} before it was queued"))
            };
        }
        match what.clone() {
            DomainEvent::DaemonBegan { .. }
            | DomainEvent::DaemonEnds {}
            | DomainEvent::HookWanted { .. }
            | DomainEvent::LetterDied { .. }
            | DomainEvent::LettersSentAgain { .. }
            | DomainEvent::PersonAsked { .. }
            | DomainEvent::ConfigReloaded { .. }
            | DomainEvent::ConfigBroken { .. }
            | DomainEvent::StepBegan { .. }
            | DomainEvent::StepEnded { .. } => {}
            DomainEvent::DeliveryAccepted { delivery, effect, queued, duplicate_of, .. } => {
                let value = format!("{effect}|{}|{}", or_dash(queued), or_dash(duplicate_of));
                world.insert(format!("delivery {delivery}"), value);
            }
            DomainEvent::DeploymentQueued { branch, force_rebuild, retry_of, attempt, .. } => {
                let learned = [None, branch, None, None, None, None];
                let state = Some(State::Queued);
                let told = Told { repo, state, learned, retry_of, attempt, force: force_rebuild, ..Told::default() };
                assert!(deployments.insert(id, told).is_none(), "{event:?} twice");
            }
            DomainEvent::RebuildInherited {} => of_it!().force = true,
            DomainEvent::DeploymentBegan {} => of_it!().state = Some(State::Running),
            DomainEvent::PhaseBegan { phase } => of_it!().phase = Some(phase),
            DomainEvent::DeploymentLearned { project, branch, commit_before, commit_after, commit_base, decision } => {
                let new = [project, branch, commit_before, commit_after, commit_base, decision];
                for (known, new) in of_it!().learned.iter_mut().zip(new) {
                    *known = new.or(known.take());
                }
            }
            DomainEvent::RolloutMoved { generation, phase, plans, losses, due_at, watched, bakes_until } => {
                let value = format!(
                    "{generation}|{}|{plans}|{losses}|{}|{}|{}",
                    or_dash(phase),
                    or_dash(due_at),
                    or_dash(watched),
                    or_dash(bakes_until)
                );
                world.insert(format!("rollout {repo}"), value);
            }
            DomainEvent::ColourMoved { colour, project, standing, generation, commit } => {
                let value = format!("{project}|{}|{generation}|{}", standing.as_str(), or_dash(commit));
                world.insert(format!("colour {repo}/{colour}"), value);
            }
            DomainEvent::CommitReverted { commit, why } => {
                world.insert(format!("reverted {repo}/{commit}"), why);
            }
            DomainEvent::LogWritten { last } => drop(world.insert(format!("log {id}"), last.to_string())),
            DomainEvent::DeploymentEnded { outcome, why, project, commit, superseded_by } => {
                let told = of_it!();
                assert!(!told.state.unwrap().is_final(), "{event:?} of one that is over");
                (told.state, told.error, told.superseded_by) = (Some(outcome), why, superseded_by);
                told.learned[0] = project.or(told.learned[0].take());
                told.learned[3] = commit.or(told.learned[3].take());
            }
            DomainEvent::EndExplained { more } => {
                let told = of_it!();
                told.error = Some(told.error.take().map_or(more.clone(), |error| format!("{error}; {more}")));
            }
            DomainEvent::CommitWanted(wanted) => {
                let value = format!("{}|{}|{}", wanted.commit, wanted.before, wanted.since);
                world.insert(format!("wanted {repo}"), value);
            }
            DomainEvent::CommitReached { .. } => drop(world.remove(&format!("wanted {repo}"))),
            DomainEvent::RepositoryHeld(hold) => {
                let value = format!("{}|{}|{}", or_dash(hold.commit), or_dash(hold.newest), hold.since);
                world.insert(format!("hold {repo}"), value);
            }
            DomainEvent::RepositoryReleased {} => drop(world.remove(&format!("hold {repo}"))),
            DomainEvent::ProjectPlaced { project, path, remote } => {
                world.insert(
                    format!("place {repo}/{project}"),
                    format!("{}|{}", path.unwrap_or_default(), or_dash(remote)),
                );
            }
            DomainEvent::WatchBegan { project, since, until } => {
                assert!(watches.insert(repo, (id, project, since, until)).is_none(), "{event:?}: the former goes on");
            }
            DomainEvent::WatchMoved { until } => watches.get_mut(&repo).unwrap().3 = until,
            DomainEvent::WatchEnded {} => assert_eq!(watches.remove(&repo).unwrap().0, id, "{event:?}"),
            DomainEvent::ContainerFell(fall) => {
                let value = format!("{}|{}", fall.times, or_dash(fall.mended));
                world.insert(format!("fall {id}/{}", fall.container), value);
            }
        }
    }
    for (id, told) in deployments {
        let Told { repo, state, phase, learned, error, superseded_by, retry_of, attempt, force } = told;
        let learned = learned.map(or_dash).join("|");
        let rest = [or_dash(error), or_dash(superseded_by), or_dash(retry_of), attempt.to_string()].join("|");
        let value = format!("{repo}|{}|{}|{learned}|{rest}|{}", state.unwrap(), or_dash(phase), i32::from(force));
        world.insert(format!("deployment {id}"), value);
    }
    for (repo, (id, project, since, until)) in watches {
        world.insert(format!("watch {repo}"), format!("{id}|{project}|{since}|{until}"));
    }
    world
}

/// What can be asked of a store. Numbers stand for deployments of the recent past, whether or not that makes sense.
#[derive(Debug, Clone)]
enum Act {
    Accept(bool, u8),
    Ask(bool, Option<u8>, u8),
    Hold(bool),
    Inherit(bool),
    Next(bool),
    Update(u8, u8),
    Finish(u8, u8),
    CancelQueued(u8),
    Interrupt(u8),
    Explain(u8),
    Crash,
    PutDown(u8, u8),
    TakeUp(bool, u8),
    CancelWait(u8),
    Line(u8, u8),
    Fall(u8, bool),
    EndWatch(u8),
    MoveWatch(u8),
    Place(bool, u8),
    Colour(bool, bool, u8),
    Switched(bool, bool, bool),
    BakeOver(bool),
    Reverted(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let one = any::<bool>;
    let few = || 0_u8..6;
    prop_oneof![
        4 => (one(), few()).prop_map(|(repo, commit)| Act::Accept(repo, commit)),
        2 => (one(), proptest::option::of(few()), 0_u8..3).prop_map(|(repo, commit, hold)| Act::Ask(repo, commit, hold)),
        1 => one().prop_map(Act::Hold),
        1 => one().prop_map(Act::Inherit),
        5 => one().prop_map(Act::Next),
        4 => (few(), few()).prop_map(|(id, what)| Act::Update(id, what)),
        4 => (few(), few()).prop_map(|(id, how)| Act::Finish(id, how)),
        1 => few().prop_map(Act::CancelQueued),
        1 => few().prop_map(Act::Interrupt),
        1 => few().prop_map(Act::Explain),
        1 => Just(Act::Crash),
        4 => (few(), few()).prop_map(|(id, losses)| Act::PutDown(id, losses)),
        3 => (one(), few()).prop_map(|(repo, by)| Act::TakeUp(repo, by)),
        1 => few().prop_map(Act::CancelWait),
        3 => (few(), few()).prop_map(|(id, lines)| Act::Line(id, lines)),
        1 => (few(), one()).prop_map(|(id, mended)| Act::Fall(id, mended)),
        1 => few().prop_map(Act::EndWatch),
        1 => few().prop_map(Act::MoveWatch),
        1 => (one(), few()).prop_map(|(repo, at)| Act::Place(repo, at)),
        2 => (one(), one(), few()).prop_map(|(repo, red, commit)| Act::Colour(repo, red, commit)),
        2 => (one(), one(), one()).prop_map(|(repo, red, bakes)| Act::Switched(repo, red, bakes)),
        1 => one().prop_map(Act::BakeOver),
        1 => one().prop_map(Act::Reverted),
    ]
}

fn repo(which: bool) -> &'static str {
    if which { "shop" } else { "blog" }
}

fn colour(red: bool) -> &'static str {
    if red { "red" } else { "blue" }
}

async fn carry_out(store: &mut Store, dir: &tempfile::TempDir, newest: i64, act: Act) {
    let id = |back: u8| newest - i64::from(back);
    match act {
        Act::Accept(of, commit) => drop(store.accept(delivery(repo(of), commit)).await.unwrap()),
        Act::Ask(of, commit, hold) => {
            let change = [HoldChange::AsItIs, HoldChange::Hold, HoldChange::Release][usize::from(hold)];
            store.request(wanted(repo(of), commit, commit.is_some()), change).await.unwrap();
        }
        Act::Hold(of) => drop(store.hold(repo(of), Some("ann".to_owned())).await.unwrap()),
        Act::Inherit(of) => {
            if let Some(pushed) = store.deployment(newest).await.unwrap().filter(|pushed| pushed.repo != repo(of)) {
                store.inherit_hold(repo(of), &pushed).await.unwrap();
            }
        }
        Act::Next(of) => drop(store.next(repo(of)).await.unwrap()),
        Act::Update(back, what) => {
            let phase = [Phase::Fetching, Phase::Planning, Phase::Applying, Phase::Settling][usize::from(what % 4)];
            let due_at = (what == 5).then_some(77);
            let way = UnderWay { phase, plans: what.into(), losses: 1, due_at, step: 0, steps: 0 };
            let rollout = Rollout { generation: i64::from(what), under_way: Some(way), ..Rollout::default() };
            let update = Update {
                phase: (what > 1).then_some(phase),
                rollout: (what > 2).then_some(rollout),
                project: (what > 3).then(|| "redshop".to_owned()),
                commit_after: (what > 0).then(|| commit_of(what)),
                decision: (what == 0).then(|| "nothing to do".to_owned()),
                ..Update::default()
            };
            store.update(id(back), update).await.unwrap();
        }
        Act::Finish(back, how) => {
            let how = match how {
                0 => Finish::Failed { error: "no".to_owned() },
                1 => Finish::Cancelled { reason: "called off".to_owned() },
                how => Finish::Succeeded {
                    project: "redshop".to_owned(),
                    commit: commit_of(how),
                    reached: (how == 3).then(|| commit_of(4)),
                    watch: (how > 3).then_some(Watch { since: 5, until: 9 }),
                },
            };
            store.finish(id(back), how).await.unwrap();
        }
        Act::CancelQueued(back) => drop(store.cancel_queued(id(back), "called off").await.unwrap()),
        Act::Interrupt(back) => store.interrupt(id(back), "the daemon stops").await.unwrap(),
        Act::Explain(back) => store.add_to_end(id(back), "what had run runs again").await.unwrap(),
        Act::Crash => {
            let file = store.file().to_path_buf();
            store.close().await;
            *store = Store::open(&file, Retention::default()).unwrap();
            assert_eq!(file.parent(), Some(dir.path()));
            store.recover().await.unwrap();
        }
        Act::PutDown(back, losses) => {
            let losses = losses.into();
            let way = UnderWay { phase: Phase::EngineAway, plans: 1, losses, due_at: Some(77), step: 0, steps: 0 };
            let rollout = Rollout { generation: 1, under_way: Some(way), ..Rollout::default() };
            let update = Update { phase: Some(Phase::EngineAway), rollout: Some(rollout), ..Update::default() };
            let waits = WaitsFor { summary: "it went away".to_owned(), hint: None };
            store.put_down(id(back), update, waits).await.unwrap();
        }
        Act::TakeUp(of, by) => {
            let waits = store.waiting().await.unwrap().into_iter().find(|one| one.repo == repo(of));
            let by = if by < 4 { Fact::EngineBack } else { Fact::Due };
            store.claim(repo(of), waits.map(|one| (one.deployment, by))).await.unwrap();
        }
        Act::CancelWait(back) => drop(store.cancel_wait(id(back)).await.unwrap()),
        Act::Line(back, lines) => {
            if store.deployment(id(back)).await.unwrap().is_none() {
                return;
            }
            let last = store.last_line(id(back)).await.unwrap();
            let log = store.log_handle_after(id(back), Redactor::new(), LogLimits::default(), last);
            for line in 0..lines {
                log.event(&Event::StepStarted { step: line.into(), text: "create web".to_owned() });
                let elapsed = Duration::from_millis(3);
                log.event(&Event::StepEnded {
                    step: line.into(),
                    outcome: Outcome::Done,
                    text: "web".to_owned(),
                    elapsed,
                });
            }
            log.close().await.unwrap();
        }
        Act::Fall(back, mended) => {
            let (container, said) = ("web".to_owned(), "exited (1)".to_owned());
            let fall = Fall { container, after: 1, said, times: 1, mended: mended.then_some(4), seen: 7 };
            store.note_fall(id(back), fall).await.unwrap();
        }
        Act::EndWatch(back) => store.end_watch(id(back)).await.unwrap(),
        Act::MoveWatch(back) => store.watch_until(id(back), 11).await.unwrap(),
        Act::Colour(of, red, commit) => {
            let next = ColourRecord {
                repo: repo(of).to_owned(),
                colour: colour(red).to_owned(),
                project: format!("{}shop", colour(red)),
                standing: ColourStanding::Next,
                generation: commit.into(),
                deployment: None,
                commit: (commit > 0).then(|| commit_of(commit)),
                since: 0,
                made: String::new(),
            };
            store.begin_colour(next, "red").await.unwrap();
        }
        Act::Switched(of, red, bakes) => {
            let bake = bakes.then_some(Bake { generation: 1, until: 99 });
            store.switched(repo(of), colour(red), (1, 0), bake, None).await.unwrap();
        }
        Act::BakeOver(of) => store.bake_over(repo(of)).await.unwrap(),
        Act::Reverted(of) => store.reverted(repo(of), (1, 1), "somebody went back").await.unwrap(),
        Act::Place(of, at) => {
            let (path, remote) = (Some(format!("/srv/{at}")), (at > 2).then(|| "host:x".to_owned()));
            store
                .note_place(Place { repo: repo(of).to_owned(), project: "redshop".to_owned(), path, remote })
                .await
                .unwrap();
        }
    }
}

async fn everything(store: &Store) -> Vec<Journaled> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let page = store.events(after, Only::default()).await.unwrap();
        assert_eq!(page.gap, None);
        if page.events.is_empty() {
            return all;
        }
        after = page.upto;
        all.extend(page.events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_alone_tells_what_the_tables_have(acts in proptest::collection::vec(act(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(&dir);
            let file = store.file().to_path_buf();
            for (number, act) in acts.iter().enumerate() {
                let newest = store.history(Default::default()).await.unwrap().first().map_or(0, |newest| newest.id);
                carry_out(&mut store, &dir, newest, act.clone()).await;
                store.flush().await.unwrap();
                let (told, there) = (replayed(&everything(&store).await), tables(&file));
                assert_eq!(told, there, "after {:?}", &acts[..=number]);
            }
        });
    }
}
