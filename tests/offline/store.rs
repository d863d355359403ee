//! The store against a real disk: what was acknowledged survives kills and full disks.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use turnout::{
    report::redact::Redactor,
    rollout::Phase,
    store::{
        Accepted, Before, Cause, Filter, Finish, LogLimits, NewDelivery, NewDeployment, Retention, State, Store,
        StoreError, Update,
    },
};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("turnout.db")
    }

    fn open(&self) -> Store {
        Store::open(&self.file(), Retention::default()).unwrap()
    }
}

fn wanted(repo: &str) -> NewDeployment {
    NewDeployment {
        repo: repo.to_owned(),
        branch: Some("main".to_owned()),
        commit: Some("2".repeat(40)),
        kind: Cause::Push,
        cause: "push of 2222222 to main".to_owned(),
        who: Some("ada".to_owned()),
        force_rebuild: false,
        pinned: false,
        new_stack: false,
        back: false,
        past: false,
    }
}

/// A delivery that differs from every other `number`'s in body and id.
fn delivery(repo: &str, number: u64) -> NewDelivery {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    NewDelivery {
        forge: "github",
        guid: Some(format!("guid-{number}")),
        event: "push".to_owned(),
        repo: Some(format!("acme/{repo}")),
        git_ref: Some("refs/heads/main".to_owned()),
        commit: Some(format!("{number:040x}")),
        pusher: Some("ada".to_owned()),
        digest,
        effect: "deploy",
        reason: "push".to_owned(),
        deploy: Some(wanted(repo)),
        hooks: Vec::new(),
    }
}

async fn state(store: &Store, id: i64) -> State {
    store.deployment(id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn the_newest_waits_and_the_one_before_is_superseded() {
    let bench = Bench::new();
    let store = bench.open();
    let first = store.accept(delivery("shop", 1)).await.unwrap();
    let running = store.next("shop").await.unwrap().unwrap();
    assert_eq!((Some(running.id), running.state), (first.deployment, State::Running));
    // One runs: nothing further starts, and what comes in waits.
    let second = store.accept(delivery("shop", 2)).await.unwrap();
    assert_eq!(second.superseded, None);
    assert_eq!(store.next("shop").await.unwrap(), None);
    let third = store.accept(delivery("shop", 3)).await.unwrap();
    assert_eq!(third.superseded, second.deployment);
    let second = store.deployment(second.deployment.unwrap()).await.unwrap().unwrap();
    assert_eq!((second.state, second.superseded_by), (State::Superseded, third.deployment));
    // Another repository's lane is its own.
    assert!(store.accept(delivery("blog", 4)).await.unwrap().superseded.is_none());
    assert!(store.next("blog").await.unwrap().is_some());
    let failed = Finish::Failed { error: "broken".to_owned() };
    assert!(store.finish(running.id, failed.clone()).await.unwrap());
    assert!(!store.finish(running.id, failed).await.unwrap());
    assert_eq!(store.next("shop").await.unwrap().map(|next| next.id), third.deployment);
}

/// A push of its own commit, as it comes from a forge.
fn pushed(number: u64) -> NewDelivery {
    let mut pushed = delivery("shop", number);
    if let Some(deploy) = &mut pushed.deploy {
        deploy.commit = pushed.commit.clone();
    }
    pushed
}

fn by_hand(commit: Option<&str>) -> NewDeployment {
    let commit = commit.map(str::to_owned);
    NewDeployment { kind: Cause::Manual, pinned: commit.is_some(), commit, ..wanted("shop") }
}

async fn behind(store: &Store) -> Option<String> {
    store.wanted("shop").await.unwrap().map(|wanted| wanted.commit)
}

#[tokio::test]
async fn what_was_pushed_stays_wanted_until_a_deployment_has_brought_it() {
    let commit = |number: u64| Some(format!("{number:040x}"));
    let cancelled = || Finish::Cancelled { reason: "called off".to_owned() };
    let deployed = |commit: Option<String>, reached| Finish::Succeeded {
        project: "redshop".to_owned(),
        commit: commit.unwrap(),
        reached,
        watch: None,
    };
    let bench = Bench::new();
    let mut store = bench.open();
    assert_eq!(behind(&store).await, None);
    // Superseded by one that is cancelled: the push is not lost, and sent again it is no repeat.
    let first = store.accept(pushed(1)).await.unwrap().deployment.unwrap();
    let asked = store.enqueue(by_hand(None)).await.unwrap().deployment;
    assert_eq!(state(&store, first).await, State::Superseded);
    assert_eq!(store.accept(pushed(1)).await.unwrap().duplicate_of, Some(first), "it is on its way");
    store.next("shop").await.unwrap();
    store.finish(asked, cancelled()).await.unwrap();
    assert_eq!(behind(&store).await, commit(1));
    let again = store.accept(pushed(1)).await.unwrap();
    assert_eq!((again.duplicate_of, again.deployment.is_some()), (None, true));
    // A newer one takes its place, and an older one that is sent again does not.
    let newer = store.accept(pushed(2)).await.unwrap().deployment.unwrap();
    store.cancel_queued(newer, "called off").await.unwrap();
    let since = store.wanted("shop").await.unwrap().unwrap().since;
    assert!(store.accept(pushed(1)).await.unwrap().deployment.is_some());
    assert_eq!(behind(&store).await, commit(2));
    // It outlives the daemon, also where a crash was repeated until it was given up.
    for _ in 0..3 {
        store.next("shop").await.unwrap().unwrap();
        drop(store);
        store = bench.open();
        store.recover().await.unwrap();
    }
    assert!(store.next("shop").await.unwrap().is_none(), "it was given up");
    assert_eq!(store.wanted("shop").await.unwrap().map(|wanted| wanted.since), Some(since));
    assert!(store.accept(pushed(2)).await.unwrap().deployment.is_some(), "given up is not done");
    // Another commit asked for by name does not bring it, nor one that lacks it; what has it does.
    let id = store.next("shop").await.unwrap().unwrap().id;
    store.finish(id, deployed(commit(1), None)).await.unwrap();
    assert_eq!(behind(&store).await, commit(2));
    let id = store.accept(pushed(2)).await.unwrap().deployment.expect("not in what was deployed");
    assert_eq!(store.next("shop").await.unwrap().unwrap().id, id);
    // One that comes during a deployment is not brought by it.
    let third = store.accept(pushed(3)).await.unwrap().deployment.unwrap();
    store.finish(id, deployed(commit(2), commit(2))).await.unwrap();
    assert_eq!(behind(&store).await, commit(3));
    store.next("shop").await.unwrap();
    store.finish(third, deployed(commit(4), commit(3))).await.unwrap();
    assert_eq!(behind(&store).await, None);
    assert_eq!(store.accept(pushed(3)).await.unwrap().duplicate_of, Some(third));
}

/// The wall clock of one test, which sets it.
static WALL: AtomicI64 = AtomicI64::new(1_700_000_000_000);

#[tokio::test]
async fn a_clock_that_is_set_by_days_leaves_durations_and_what_is_remembered() {
    const DAY: i64 = 86_400_000;
    let set = |days: i64| WALL.fetch_add(days * DAY, Ordering::Relaxed);
    let bench = Bench::new();
    let store = Store::open_at(&bench.file(), Retention::default(), || WALL.load(Ordering::Relaxed)).unwrap();
    for (number, there, back) in [(1, 40, -80), (2, -80, 40)] {
        let id = store.accept(pushed(number)).await.unwrap().deployment.unwrap();
        store.next("shop").await.unwrap();
        set(there);
        store.update(id, Update { phase: Some(Phase::Fetching), ..Update::default() }).await.unwrap();
        set(back);
        store.update(id, Update { phase: Some(Phase::Applying), ..Update::default() }).await.unwrap();
        store.finish(id, Finish::Failed { error: "broken".to_owned() }).await.unwrap();
        let ended = store.deployment(id).await.unwrap().unwrap();
        let mut times = vec![ended.started_at.unwrap()];
        times.extend(ended.phases.iter().flat_map(|phase| [phase.started_at, phase.ended_at.unwrap()]));
        times.push(ended.ended_at.unwrap());
        assert!(times.is_sorted() && times[5] - times[0] < 60_000, "{times:?}");
    }
    // One that a crash ended under a clock that was set back did not end before it began.
    let id = store.accept(pushed(3)).await.unwrap().deployment.unwrap();
    store.next("shop").await.unwrap();
    drop(store);
    set(-3);
    let store = Store::open_at(&bench.file(), Retention::default(), || WALL.load(Ordering::Relaxed)).unwrap();
    store.recover().await.unwrap();
    let ended = store.deployment(id).await.unwrap().unwrap();
    assert!(ended.ended_at >= ended.started_at, "{ended:?}");
    // A clock set ahead makes no repeat a new push, and forgets the old ones as they should be when it is right.
    for days in [400, -800] {
        set(days);
        for number in 100..180 {
            store.accept(NewDelivery { deploy: None, ..delivery("other", number) }).await.unwrap();
        }
        assert!(store.accept(pushed(3)).await.unwrap().duplicate_of.is_some(), "{days} days");
    }
}

#[tokio::test]
async fn a_wish_for_a_rebuild_is_inherited() {
    let bench = Bench::new();
    let store = bench.open();
    store.enqueue(NewDeployment { force_rebuild: true, kind: Cause::Manual, ..wanted("shop") }).await.unwrap();
    store.accept(delivery("shop", 1)).await.unwrap();
    assert!(store.next("shop").await.unwrap().unwrap().force_rebuild);
}

#[tokio::test]
async fn repeats_are_recognised_unless_the_first_failed() {
    let bench = Bench::new();
    let store = bench.open();
    let first = store.accept(delivery("shop", 1)).await.unwrap().deployment.unwrap();
    let repeat = |delivery: NewDelivery| {
        let store = store.clone();
        async move { store.accept(delivery).await.unwrap() }
    };
    let expect = |accepted: Accepted, of: Option<i64>| {
        assert_eq!((accepted.deployment.is_none(), accepted.duplicate_of), (of.is_some(), of));
    };
    expect(repeat(delivery("shop", 1)).await, Some(first));
    // The same body under another id: the id is not signed.
    expect(repeat(NewDelivery { guid: Some("other".into()), ..delivery("shop", 1) }).await, Some(first));
    // The same id and push in another encoding.
    expect(repeat(NewDelivery { digest: [9; 32], ..delivery("shop", 1) }).await, Some(first));
    // The same id on another push is another push.
    let stolen = repeat(NewDelivery { guid: Some("guid-1".into()), ..delivery("blog", 7) }).await;
    expect(stolen, None);

    store.next("shop").await.unwrap().unwrap();
    expect(repeat(delivery("shop", 1)).await, Some(first));
    store.finish(first, Finish::Failed { error: "x".into() }).await.unwrap();
    let again = repeat(delivery("shop", 1)).await;
    expect(again.clone(), None);
    store.next("shop").await.unwrap().unwrap();
    let done = Finish::Succeeded { project: "redshop".into(), commit: "2".repeat(40), reached: None, watch: None };
    store.finish(again.deployment.unwrap(), done).await.unwrap();
    expect(repeat(delivery("shop", 1)).await, again.deployment);
    let verdicts: Vec<String> = store.deliveries(100).await.unwrap().into_iter().map(|d| d.effect).collect();
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "duplicate").count(), 5);
}

#[tokio::test]
async fn what_a_deployment_leaves_behind() {
    let bench = Bench::new();
    let store = bench.open();
    let id = store.accept(delivery("shop", 1)).await.unwrap().deployment.unwrap();
    store.next("shop").await.unwrap().unwrap();
    for phase in [Phase::Fetching, Phase::Planning] {
        store.update(id, Update { phase: Some(phase), ..Update::default() }).await.unwrap();
    }
    let update = Update { commit_before: Some("a".into()), plan: Some("create web".into()), ..Update::default() };
    store.update(id, update).await.unwrap();
    assert_eq!(store.last_success("shop", "redshop").await.unwrap(), None);
    let done = Finish::Succeeded { project: "redshop".into(), commit: "abc".into(), reached: None, watch: None };
    assert!(store.finish(id, done).await.unwrap());
    let shown = store.deployment(id).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.phase.as_deref()), (State::Succeeded, Some("plan")));
    assert_eq!((shown.project.as_deref(), shown.commit_after.as_deref()), (Some("redshop"), Some("abc")));
    assert_eq!((shown.commit_before.as_deref(), shown.plan.as_deref()), (Some("a"), Some("create web")));
    let phases: Vec<&str> = shown.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["fetch", "plan"]);
    assert!(shown.phases.iter().all(|phase| phase.ended_at.is_some()) && shown.ended_at.is_some());
    assert_eq!(store.last_success("shop", "redshop").await.unwrap().as_deref(), Some("abc"));
    assert_eq!(store.last_success("shop", "blueshop").await.unwrap(), None);
    assert_eq!(store.overview().await.unwrap().len(), 1);
    assert_eq!(store.history(Filter { repo: Some("blog".into()), ..Filter::default() }).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_tried_since_the_last_success_is_a_base_too() {
    let bench = Bench::new();
    let store = bench.open();
    let mut number = 0;
    let mut run = async |commit: &str, project: Option<&str>, ok: bool| {
        number += 1;
        let id = store.accept(delivery("shop", number)).await.unwrap().deployment.unwrap();
        store.next("shop").await.unwrap().unwrap();
        let project = project.map(str::to_owned);
        let update = Update { commit_after: Some(commit.into()), project: project.clone(), ..Update::default() };
        store.update(id, update).await.unwrap();
        let how = match project.filter(|_| ok) {
            Some(project) => Finish::Succeeded { project, commit: commit.into(), reached: None, watch: None },
            None => Finish::Failed { error: "no".into() },
        };
        store.finish(id, how).await.unwrap();
        store.deployed_before("shop", "redshop").await.unwrap()
    };
    let before = |success: Option<&str>, attempts: &[&str]| Before {
        success: success.map(str::to_owned),
        attempts: attempts.iter().map(|a| (*a).to_owned()).collect(),
    };
    assert_eq!(run("a", Some("redshop"), false).await, before(None, &["a"]));
    assert_eq!(run("b", Some("redshop"), true).await, before(Some("b"), &[]));
    // Failed before its steps began; of another colour; the very commit of the success; each once.
    assert_eq!(run("c", None, false).await, before(Some("b"), &[]));
    assert_eq!(run("d", Some("blueshop"), false).await, before(Some("b"), &[]));
    assert_eq!(run("b", Some("redshop"), false).await, before(Some("b"), &[]));
    for _ in 0..2 {
        assert_eq!(run("e", Some("redshop"), false).await, before(Some("b"), &["e"]));
    }
    assert_eq!(run("f", Some("redshop"), true).await, before(Some("f"), &[]));
}

#[tokio::test]
async fn recovery_queues_each_interrupted_one_once() {
    let bench = Bench::new();
    {
        let store = bench.open();
        // shop runs; blog runs and a newer one waits; wiki waits.
        store.enqueue(NewDeployment { force_rebuild: true, ..wanted("shop") }).await.unwrap();
        store.next("shop").await.unwrap().unwrap();
        store.accept(delivery("blog", 2)).await.unwrap();
        store.next("blog").await.unwrap().unwrap();
        store.accept(delivery("blog", 3)).await.unwrap();
        store.accept(delivery("wiki", 4)).await.unwrap();
    }
    let store = bench.open();
    let recovered = store.recover().await.unwrap();
    assert_eq!(recovered.interrupted.len(), 2);
    assert_eq!(recovered.queued.iter().collect::<BTreeSet<_>>().len(), 3);
    let again = store.recover().await.unwrap();
    assert_eq!((again.interrupted.len(), &again.queued), (0, &recovered.queued));
    let shop = store.next("shop").await.unwrap().unwrap();
    assert_eq!((shop.kind, shop.attempt, shop.force_rebuild), (Cause::Recovery, 2, true));
    assert_eq!(state(&store, shop.retry_of.unwrap()).await, State::Interrupted);
    assert_eq!(store.next("blog").await.unwrap().unwrap().kind, Cause::Push);
    // Orderly restarts are no failed attempts.
    store.interrupt(shop.id, "shutting down").await.unwrap();
    let shop = store.next("shop").await.unwrap().unwrap();
    assert_eq!((shop.attempt, shop.cause.matches("repeats").count()), (2, 1));
    store.note_ran(shop.id, "what ran".to_owned()).await.unwrap();
    store.note_ran(shop.id, "what it made itself".to_owned()).await.unwrap();
    // One under which the daemon keeps dying is not tried for ever.
    drop(store);
    let store = bench.open();
    assert!(store.recover().await.unwrap().given_up.is_empty());
    let third = store.next("shop").await.unwrap().unwrap();
    drop(store);
    let store = bench.open();
    let recovered = store.recover().await.unwrap();
    assert_eq!(recovered.given_up, [third.id]);
    // Nobody lived to see to it.
    let again = store.recover().await.unwrap();
    assert_eq!((again.interrupted, again.given_up), (Vec::new(), vec![third.id]));
    // What ran before the first of the chain counts, and what came of it is added.
    assert_eq!(store.ran_before(third.id).await.unwrap().as_deref(), Some("what ran"));
    assert_eq!(store.project_of(third.id).await.unwrap(), None, "none of them came so far");
    store.add_to_end(third.id, "it runs again").await.unwrap();
    assert!(store.recover().await.unwrap().given_up.is_empty(), "it was seen to");
    assert_eq!(store.next("shop").await.unwrap(), None);
    let error = store.deployment(third.id).await.unwrap().unwrap().error.unwrap();
    assert!(error.contains("not tried again after 3 attempts") && error.ends_with("; it runs again"), "{error}");
}

#[tokio::test]
async fn a_long_log_keeps_both_ends_and_no_secret() {
    let bench = Bench::new();
    let store = bench.open();
    let id = store.accept(delivery("shop", 1)).await.unwrap().deployment.unwrap();
    let redactor = Redactor::new();
    redactor.add("hunter2");
    let limits = LogLimits { head_lines: 10, tail_lines: 3, ..LogLimits::default() };
    let log = store.log_handle(id, redactor, limits);
    for number in 1..=100 {
        log.line("output", Some("build web"), &format!("line {number} hunter2"));
    }
    log.close().await.unwrap();
    let lines = store.log(id, 0, 1000).await.unwrap();
    let numbers: Vec<i64> = lines.iter().map(|line| line.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 97, 98, 99, 100]);
    assert_eq!(lines[10].text, "87 lines left out here: the log keeps its beginning and its end");
    assert!(lines.iter().all(|line| !line.text.contains("hunter2")));
    assert_eq!(store.log(id, 99, 1000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn records_are_bounded() {
    let bench = Bench::new();
    let retention = Retention { deliveries: 50, deployments: 5, ..Retention::default() };
    let store = Store::open(&bench.file(), retention).unwrap();
    for number in 0..1_100 {
        store.accept(delivery("shop", number)).await.unwrap();
    }
    drop(store);
    // Opening thins out as well.
    let store = Store::open(&bench.file(), retention).unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.deliveries(1_000).await.unwrap().len(), 50);
    let left = store.history(Filter { limit: 1_000, ..Filter::default() }).await.unwrap();
    assert_eq!(left.len(), 5);
    assert_eq!(left[0].state, State::Queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_leave_one_waiting() {
    let bench = Bench::new();
    let store = bench.open();
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.accept(delivery("shop", number)).await.unwrap().deployment.unwrap() })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 300);
    let all = store.history(Filter { limit: 1_000, ..Filter::default() }).await.unwrap();
    assert_eq!(all.iter().filter(|d| d.state == State::Queued).count(), 1);
    assert_eq!(all[0].state, State::Queued);
}

#[tokio::test]
async fn a_second_daemon_is_refused() {
    let bench = Bench::new();
    let _store = bench.open();
    assert!(matches!(Store::open(&bench.file(), Retention::default()), Err(StoreError::InUse(_))));
}

/// Set for the processes that the tests below start; names what they work in.
const CHILD_DIR: &str = "TURNOUT_TEST_STORE_DIR";

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

#[test]
fn a_kill_loses_nothing_acknowledged() {
    let bench = Bench::new();
    let mut acknowledged = BTreeSet::new();
    for round in 0..5_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::child_accepts_until_killed", "--nocapture"])
            .env(CHILD_DIR, bench.dir.path())
            .env("TURNOUT_TEST_STORE_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            if let Some(commit) = line.strip_prefix("acknowledged ") {
                acknowledged.insert(commit.to_owned());
                seen += 1;
            }
            // SIGKILL in the middle of the work; what was printed before still counts.
            if seen == 40 + 10 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 40, "the child ended early");
    }
    let recovered = tokio::runtime::Runtime::new().unwrap().block_on(async { bench.open().recover().await.unwrap() });
    assert_eq!(recovered.queued, ["shop"]);
    let recorded = recorded_commits(&bench.file());
    assert_eq!(acknowledged.difference(&recorded).next(), None, "acknowledged and gone");
}

/// The commits of all deliveries in the file.
fn recorded_commits(file: &Path) -> BTreeSet<String> {
    let db = rusqlite::Connection::open(file).unwrap();
    let mut query = db.prepare("SELECT commit_id FROM deliveries").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Not a test of its own: what `a_kill_loses_nothing_acknowledged` starts and kills.
#[test]
fn child_accepts_until_killed() {
    let Some(dir) = child_dir() else { return };
    let round: u64 = std::env::var("TURNOUT_TEST_STORE_ROUND").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&dir.join("turnout.db"), Retention::default()).unwrap();
        store.recover().await.unwrap();
        let workers: Vec<_> = (0..8_u64)
            .map(|worker| {
                let store = store.clone();
                tokio::spawn(async move {
                    for turn in 0_u64.. {
                        let number = round << 40 | turn << 8 | worker;
                        store.accept(delivery("shop", number)).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "acknowledged {number:040x}").and_then(|()| out.flush()).unwrap();
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_accepted() {
    let bench = Bench::new();
    let root = rustix::process::geteuid().is_root();
    // A mount namespace of its own: the tiny disk is gone with the child.
    let output = Command::new("unshare")
        .args(if root { ["-m", "--"].as_slice() } else { ["-r", "-m", "--"].as_slice() })
        .args(["sh", "-c", r#"mount -t tmpfs -o size=2m none "$1" && shift && exec "$@""#, "sh"])
        .arg(bench.dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::child_fills_its_disk", "--nocapture"])
        .env(CHILD_DIR, bench.dir.path())
        .output()
        .expect("unshare (util-linux) is needed for this test");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("all there"), "{text}");
}

/// Not a test of its own: what `a_full_disk_is_told_and_loses_nothing_accepted` runs on a disk of 2 MiB.
#[test]
fn child_fills_its_disk() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let accepted = runtime.block_on(fill(&dir));
    // Opened anew, as after a restart.
    drop(Store::open(&dir.join("turnout.db"), Retention::default()).unwrap());
    let commits = recorded_commits(&dir.join("turnout.db"));
    assert!(accepted.iter().all(|number| commits.contains(&format!("{number:040x}"))));
    println!("all there: {}", accepted.len());
}

/// Accepts until the disk is full, then makes room and accepts once more. What was accepted.
async fn fill(dir: &Path) -> Vec<u64> {
    let store = Store::open(&dir.join("turnout.db"), Retention::default()).unwrap();
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for number in 0..20_000 {
        match store.accept(delivery("shop", number)).await {
            Ok(_) => accepted.push(number),
            Err(error) => {
                assert!(error.is_full(), "{error:?}");
                assert!(error.to_string().contains("turnout.db is full"), "{error}");
                refused += 1;
            }
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "the disk never filled");
    assert!(accepted.len() > 10);
    fs::remove_file(&ballast).unwrap();
    tokio::time::timeout(Duration::from_secs(10), store.accept(delivery("shop", 99_999)))
        .await
        .expect("the store hangs after a full disk")
        .expect("the store does not recover from a full disk");
    accepted.push(99_999);
    accepted
}
