//! Where a rollout stands, on the disk: moved with the deployment's own record, and found again after a crash.

use turnout::{
    rollout::{Phase, Rollout, UnderWay, Watch as Watching},
    store::{Cause, Finish, NewDeployment, Retention, State, Store, Update, Watch},
};

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap()
}

async fn claim(store: &Store) -> i64 {
    let wanted = NewDeployment {
        repo: "shop".to_owned(),
        branch: None,
        commit: None,
        kind: Cause::Manual,
        cause: "asked for".to_owned(),
        who: None,
        force_rebuild: false,
        pinned: false,
        new_stack: false,
        back: false,
        past: false,
    };
    store.enqueue(wanted).await.unwrap();
    store.next("shop").await.unwrap().expect("it is queued").id
}

async fn stands(store: &Store) -> Rollout {
    store.rollout("shop").await.unwrap()
}

fn at(phase: Phase, due_at: Option<i64>) -> UnderWay {
    UnderWay { phase, plans: 2, losses: 1, due_at, step: 2, steps: 3 }
}

#[tokio::test]
async fn it_moves_with_the_deployment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(stands(&store).await, Rollout::default());
    let first = claim(&store).await;
    let begun = stands(&store).await;
    assert_eq!((begun.generation, begun.under_way.map(|way| way.phase)), (1, Some(Phase::Fetching)));

    let away = Rollout { under_way: Some(at(Phase::EngineAway, Some(77))), ..begun };
    let update = Update { phase: Some(Phase::EngineAway), rollout: Some(away.clone()), ..Update::default() };
    store.update(first, update).await.unwrap();
    assert_eq!((stands(&store).await, away.due_at()), (away, Some(77)));
    assert_eq!(store.deployment(first).await.unwrap().unwrap().phase.as_deref(), Some("wait for the engine"));
    let all = store.rollouts().await.unwrap();
    assert_eq!(all.iter().map(|one| (one.repo.as_str(), one.deployment)).collect::<Vec<_>>(), [("shop", Some(first))]);

    let watch = Some(Watch { since: 5, until: 9 });
    let done = Finish::Succeeded { project: "redshop".into(), commit: "1".repeat(40), reached: None, watch };
    assert!(store.finish(first, done).await.unwrap());
    let live =
        Rollout { generation: 1, under_way: None, watch: Some(Watching { generation: 1, until: 9 }), bake: None };
    assert_eq!((stands(&store).await, live.due_at()), (live, Some(9)));

    // The next one begins while that is watched, and fails; the watch is still that of the first.
    let second = claim(&store).await;
    assert!(store.finish(second, Finish::Failed { error: "no".into() }).await.unwrap());
    let live =
        Rollout { generation: 2, under_way: None, watch: Some(Watching { generation: 1, until: 9 }), bake: None };
    assert_eq!(stands(&store).await, live);
    store.end_watch(first).await.unwrap();
    // What is handed in is written before what is asked for later.
    let third = claim(&store).await;
    let now = stands(&store).await;
    assert_eq!((now.generation, now.watch, third), (3, None, second + 1));
}

/// The lane works with what it read at its beginning; the watch of an earlier success may have ended by itself since.
#[tokio::test]
async fn a_watch_that_is_over_does_not_come_back_and_one_that_is_ended_is_so_with_the_phase() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let watch = Some(Watch { since: 5, until: 9 });
    for by_itself in [true, false] {
        let watched = claim(&store).await;
        let done = Finish::Succeeded { project: "redshop".into(), commit: "1".repeat(40), reached: None, watch };
        assert!(store.finish(watched, done).await.unwrap());
        let next = claim(&store).await;
        let read = stands(&store).await;
        assert!(read.watch.is_some());
        if by_itself {
            store.end_watch(watched).await.unwrap();
        }
        let planning = Rollout { under_way: Some(at(Phase::Planning, None)), ..read.clone() };
        let update = Update { phase: Some(Phase::Planning), rollout: Some(planning), ..Update::default() };
        store.update(next, update).await.unwrap();
        assert_eq!(
            (stands(&store).await.watch.is_some(), store.watched().await.unwrap().len()),
            match by_itself {
                true => (false, 0),
                false => (true, 1),
            }
        );
        let applying = Rollout { under_way: Some(at(Phase::Applying, None)), watch: None, ..read };
        let update = Update { phase: Some(Phase::Applying), rollout: Some(applying), ..Update::default() };
        store.update(next, update).await.unwrap();
        assert_eq!((stands(&store).await.watch, store.watched().await.unwrap()), (None, vec![]));
        assert!(store.finish(next, Finish::Failed { error: "no".into() }).await.unwrap());
    }
}

#[tokio::test]
async fn a_crash_is_found_and_what_follows_is_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let mut id = claim(&store).await;
    for attempt in 1..=3 {
        let applying = Rollout { under_way: Some(at(Phase::Applying, None)), ..stands(&store).await };
        let update = Update { phase: Some(Phase::Applying), rollout: Some(applying), ..Update::default() };
        store.update(id, update).await.unwrap();
        drop(store);
        store = open(&dir);
        let found = stands(&store).await;
        assert_eq!((found.generation, found.under_way), (attempt, Some(at(Phase::Applying, None))));
        let recovered = store.recover().await.unwrap();
        assert_eq!(recovered.interrupted, [id]);
        let now = stands(&store).await;
        assert_eq!(
            (now.generation, now.under_way),
            (attempt, None),
            "nothing is under way until the lane begins again"
        );
        if attempt == 3 {
            assert_eq!(recovered.given_up, [id]);
            assert!(store.next("shop").await.unwrap().is_none(), "it is tried for ever");
        } else {
            id = store.next("shop").await.unwrap().expect("it is queued again").id;
        }
    }
    assert_eq!(store.deployment(id).await.unwrap().unwrap().state, State::Interrupted);
}

#[tokio::test]
async fn what_an_earlier_or_later_turnout_left_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = claim(&store).await;
    drop(store);
    let file = rusqlite::Connection::open(dir.path().join("turnout.db")).unwrap();
    file.execute("UPDATE rollouts SET phase = 'weighing'", []).unwrap();
    drop(file);
    let store = open(&dir);
    assert!(stands(&store).await.under_way.is_some(), "a phase of a later turnout is under way all the same");
    assert_eq!(store.recover().await.unwrap().interrupted, [id]);
    assert!(store.next("shop").await.unwrap().is_some());
    drop(store);
    // One that ran before there was this table.
    let file = rusqlite::Connection::open(dir.path().join("turnout.db")).unwrap();
    file.execute("DELETE FROM rollouts", []).unwrap();
    drop(file);
    let store = open(&dir);
    assert_eq!(store.recover().await.unwrap().interrupted.len(), 1);
    assert!(store.next("shop").await.unwrap().is_some());
    assert_eq!(stands(&store).await.generation, 1);
}
