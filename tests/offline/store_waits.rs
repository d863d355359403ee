//! Deployments that wait for the engine with their lane free: all that there is of them is on the disk, and whoever comes first
//! ends the wait.

use turnout::{
    rollout::{self, Action, Bake, Ending, Fact, Phase, Why},
    store::{
        Cause, Claimed, Finish, HoldChange, NewDeployment, PutDown, Requested, Retention, State, Store, Update,
        WaitsFor, Wish,
    },
};

const PATIENCE: i64 = 3_600_000;

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap()
}

fn asked(commit: u8) -> NewDeployment {
    NewDeployment {
        repo: "shop".to_owned(),
        branch: Some("main".to_owned()),
        commit: Some(hex::encode([commit; 20])),
        kind: Cause::Push,
        cause: format!("push {commit}"),
        who: None,
        force_rebuild: false,
        pinned: false,
        new_stack: false,
        back: false,
        past: false,
    }
}

async fn begin(store: &Store, wanted: NewDeployment) -> Claimed {
    let commit = wanted.commit.clone();
    store.enqueue(wanted).await.unwrap();
    let claimed = store.claim("shop", None).await.unwrap().expect("it is queued");
    let begun = Update { commit_after: commit, project: Some("redshop".into()), ..Update::default() };
    store.update(claimed.deployment.id, begun).await.unwrap();
    claimed
}

fn waits() -> WaitsFor {
    WaitsFor { summary: "create web: the connection broke".into(), hint: Some("deploy again".into()) }
}

/// As the lane does where the engine went away under what it carries out.
async fn put_down(store: &Store, claimed: &Claimed) -> PutDown {
    let mut rollout = claimed.rollout.clone();
    for fact in [Fact::Fetched, Fact::Planned, Fact::EngineGone { patience: PATIENCE }] {
        rollout = rollout::next(&rollout, fact, 1_000).rollout;
    }
    let update = Update { phase: Some(Phase::EngineAway), rollout: Some(rollout), ..Update::default() };
    store.put_down(claimed.deployment.id, update, waits()).await.unwrap()
}

async fn state(store: &Store, id: i64) -> (State, Option<i64>) {
    let deployment = store.deployment(id).await.unwrap().unwrap();
    (deployment.state, deployment.superseded_by)
}

#[tokio::test]
async fn it_lies_in_its_row_over_a_crash_and_is_taken_up_where_something_woke_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let claimed = begin(&store, asked(1)).await;
    let id = claimed.deployment.id;
    assert_eq!(put_down(&store, &claimed).await, PutDown::Waits);
    for crash in [false, true] {
        if crash {
            drop(store);
            store = open(&dir);
            let recovered = store.recover().await.unwrap();
            assert_eq!((recovered.interrupted, recovered.queued.len()), (vec![], 0), "nobody worked on it");
        }
        let found = store.waiting().await.unwrap();
        assert_eq!(found.iter().map(|one| (one.deployment, one.until)).collect::<Vec<_>>(), [(id, 1_000 + PATIENCE)]);
        assert_eq!((found[0].waits.clone(), state(&store, id).await), (waits(), (State::Running, None)));
        // A shutdown ends nothing of it either.
        store.interrupt(id, "the daemon stops").await.unwrap();
        for woken in [None, Some((id + 1, Fact::EngineBack)), Some((id, Fact::Fetched))] {
            assert_eq!(store.claim("shop", woken).await.unwrap(), None, "{woken:?}");
        }
    }
    let up = store.claim("shop", Some((id, Fact::EngineBack))).await.unwrap().expect("it is taken up");
    let way = up.rollout.under_way.unwrap();
    assert_eq!((way.phase, way.losses, way.due_at), (Phase::Planning, 1, None));
    assert_eq!((up.deployment.id, up.actions, up.waited), (id, vec![Action::Plan], Some(waits())));
    assert_eq!(up.deployment.commit_after, asked(1).commit);
    assert_eq!((store.rollout("shop").await.unwrap(), store.waiting().await.unwrap()), (up.rollout, vec![]));
    assert_eq!(store.claim("shop", Some((id, Fact::EngineBack))).await.unwrap(), None, "it is taken up twice");
    // From here on somebody works on it again.
    drop(store);
    let store = open(&dir);
    assert_eq!(store.recover().await.unwrap().interrupted, [id]);
}

#[tokio::test]
async fn what_is_due_ends_by_its_record_unless_something_newer_comes_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for newer in [false, true] {
        let claimed = begin(&store, asked(1)).await;
        let id = claimed.deployment.id;
        put_down(&store, &claimed).await;
        let due = store.claim("shop", Some((id, Fact::Due))).await.unwrap().expect("it is due");
        assert_eq!(
            (due.actions, due.waited),
            (vec![Action::Record(Ending::Failed(Why::NotBack)), Action::Mend], Some(waits()))
        );
        let next = if newer { Some(store.enqueue(asked(2)).await.unwrap()) } else { None };
        assert_eq!(next.and_then(|next| next.superseded), newer.then_some(id));
        assert_eq!(store.finish(id, Finish::Failed { error: "not back".into() }).await.unwrap(), !newer);
        let ended = if newer { (State::Superseded, Some(id + 1)) } else { (State::Failed, None) };
        assert_eq!((state(&store, id).await, store.waiting().await.unwrap()), (ended, vec![]));
    }
}

#[tokio::test]
async fn a_newer_one_takes_its_place_as_it_is_accepted_or_as_it_is_put_down() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for queued_before in [false, true] {
        let claimed = begin(&store, NewDeployment { force_rebuild: true, ..asked(1) }).await;
        let id = claimed.deployment.id;
        let newer = if queued_before {
            let newer = store.enqueue(asked(2)).await.unwrap();
            assert_eq!((newer.superseded, state(&store, id).await.0), (None, State::Running), "it is worked on");
            assert_eq!(put_down(&store, &claimed).await, PutDown::Superseded(newer.deployment));
            newer.deployment
        } else {
            put_down(&store, &claimed).await;
            let newer = store.enqueue(asked(2)).await.unwrap();
            assert_eq!(newer.superseded, Some(id));
            newer.deployment
        };
        let over = store.deployment(id).await.unwrap().unwrap();
        assert_eq!((over.state, over.superseded_by), (State::Superseded, Some(newer)));
        assert!(over.error.unwrap().contains("the connection broke") && over.ended_at.is_some());
        assert_eq!(store.waiting().await.unwrap(), []);
        // What it wanted of the newer one is done by that, and what it may have built is compared with.
        let next = store.next("shop").await.unwrap().expect("the lane is free");
        assert_eq!((next.id, next.force_rebuild), (newer, true));
        assert_eq!(store.rollout("shop").await.unwrap().under_way.unwrap().phase, Phase::Fetching);
        let before = store.deployed_before("shop", "redshop").await.unwrap();
        assert_eq!(before.attempts, [asked(1).commit.unwrap()]);
        assert!(store.finish(newer, Finish::Failed { error: "no".into() }).await.unwrap());
    }
}

#[tokio::test]
async fn it_is_cancelled_where_it_lies_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let claimed = begin(&store, asked(1)).await;
    let id = claimed.deployment.id;
    assert!(!store.cancel_wait(id).await.unwrap(), "somebody works on it");
    put_down(&store, &claimed).await;
    assert!(store.cancel_wait(id).await.unwrap());
    assert_eq!((state(&store, id).await, store.waiting().await.unwrap()), ((State::Cancelled, None), vec![]));
    assert!(!store.cancel_wait(id).await.unwrap());
    assert_eq!(store.claim("shop", Some((id, Fact::EngineBack))).await.unwrap(), None);
    assert_eq!(store.rollout("shop").await.unwrap().under_way, None);
}

/// A push that gives way to a commit that is held is what waits for the release.
#[tokio::test]
async fn a_push_that_gives_way_to_a_hold_waits_for_its_release() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let claimed = begin(&store, asked(1)).await;
    put_down(&store, &claimed).await;
    let held = store.hold("shop", None).await.unwrap();
    assert_eq!((held.newest, state(&store, claimed.deployment.id).await.0), (None, State::Running), "it goes on");
    let by_hand = NewDeployment { kind: Cause::Manual, pinned: true, ..asked(7) };
    let Requested::Queued { superseded, hold, .. } = store.request(by_hand, HoldChange::Hold).await.unwrap() else {
        panic!("it is not queued");
    };
    assert_eq!((superseded, hold.and_then(|hold| hold.newest)), (Some(claimed.deployment.id), asked(1).commit));
}

/// As the lane does once the next colour is ready and a person is to promote it.
async fn put_down_ready(store: &Store, claimed: &Claimed) {
    let mut rollout = claimed.rollout.clone();
    let stands = Fact::Stands { until: PATIENCE, opens: false };
    for fact in [Fact::Fetched, Fact::ColourPlanned, Fact::Ready { first: 0, steps: 0 }, stands] {
        rollout = rollout::next(&rollout, fact, 1_000).rollout;
    }
    let update = Update { phase: Some(Phase::Offered), rollout: Some(rollout), ..Update::default() };
    assert_eq!(store.put_down(claimed.deployment.id, update, waits()).await.unwrap(), PutDown::Waits);
}

/// What is asked of a next colour that waits is on the disk when it is accepted; the last word counts, but for one that it is not well.
#[tokio::test]
async fn what_is_asked_of_a_colour_that_waits_outlives_a_crash_until_it_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    assert_eq!(store.wish("shop", Wish::Promote).await.unwrap(), None, "nothing waits");
    let claimed = begin(&store, asked(1)).await;
    let id = claimed.deployment.id;
    assert_eq!(store.wish("shop", Wish::Promote).await.unwrap(), None, "somebody works on it");
    put_down_ready(&store, &claimed).await;
    assert_eq!(store.wish("shop", Wish::Resume).await.unwrap(), None, "it is not paused");
    let pause = Wish::Pause { until: 70 };
    assert_eq!(store.wish_of("shop", pause.clone(), Some("ann".to_owned())).await.unwrap(), Some(id));
    let waiting = store.waiting().await.unwrap().remove(0);
    assert_eq!((waiting.asked, waiting.asked_by.as_deref()), (Some(pause.clone()), Some("ann")));
    let paused = store.claim("shop", Some((id, pause.fact()))).await.unwrap().expect("it is taken up");
    assert_eq!(paused.asked.as_deref(), Some("asked for by ann: pause"), "its log has who it was");
    assert_eq!(
        (paused.actions, paused.rollout.under_way.unwrap().phase),
        (vec![Action::Attend, Action::Wait], Phase::Paused)
    );
    assert_eq!(store.waiting().await.unwrap()[0].asked, None, "it is done");
    assert_eq!(store.wish("shop", Wish::Promote).await.unwrap(), Some(id));
    // Its lane comes to say only now that it waits again.
    let update = Update { phase: Some(Phase::Paused), rollout: Some(paused.rollout), ..Update::default() };
    assert_eq!(store.put_down(id, update, waits()).await.unwrap(), PutDown::Waits);
    assert_eq!(store.waiting().await.unwrap()[0].asked, Some(Wish::Promote), "what was asked meanwhile is not lost");
    let unwell = Wish::TurnDown { why: "web ended".to_owned() };
    assert_eq!(store.wish("shop", unwell.clone()).await.unwrap(), Some(id));
    assert_eq!(store.wish("shop", Wish::Promote).await.unwrap(), None, "it is to be given up");
    drop(store);
    store = open(&dir);
    assert_eq!(store.recover().await.unwrap().interrupted, vec![0; 0], "nobody worked on it");
    let waiting = store.waiting().await.unwrap().remove(0);
    assert_eq!((waiting.asked, waiting.asked_by), (Some(unwell.clone()), None), "it is nobody's wish");
    let down = store.claim("shop", Some((id, unwell.fact()))).await.unwrap().expect("it is taken up");
    assert_eq!(down.actions, [Action::Record(Ending::Failed(Why::TurnedDown)), Action::Mend]);
    assert_eq!((down.asked, down.waited.unwrap().summary.as_str()), (None, "web ended"));
    assert!(store.finish(id, Finish::Failed { error: "web ended".into() }).await.unwrap());
    assert_eq!((store.waiting().await.unwrap(), store.wish("shop", Wish::Promote).await.unwrap()), (vec![], None));
}

/// What is built meanwhile of a deployment that waits for a bake is told of its wait, as long as it waits.
#[tokio::test]
async fn for_what_a_deployment_waits_is_said_anew_while_it_waits_for_a_bake() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let claimed = begin(&store, asked(1)).await;
    let id = claimed.deployment.id;
    let why = async || store.waiting().await.unwrap().into_iter().map(|one| one.waits.summary).collect::<Vec<_>>();
    store.say_wait(id, "somebody works on it".to_owned()).await.unwrap();
    assert_eq!(why().await, [""; 0]);
    let mut rollout = claimed.rollout.clone();
    for fact in [Fact::Baking { bake: Bake { generation: 0, until: PATIENCE } }, Fact::Fetched] {
        rollout = rollout::next(&rollout, fact, 1_000).rollout;
    }
    let update = Update { phase: Some(Phase::BakeAwaited), rollout: Some(rollout), ..Update::default() };
    assert_eq!(store.put_down(id, update, waits()).await.unwrap(), PutDown::Waits);
    let newest = *store.newest_event().borrow();
    store.say_wait(id, "its images are built".to_owned()).await.unwrap();
    assert_eq!(why().await, ["its images are built"]);
    assert!(*store.newest_event().borrow() > newest, "the journal tells it");
    store.say_wait(id + 1, "another one".to_owned()).await.unwrap();
    assert_eq!(why().await, ["its images are built"]);
    assert!(store.cancel_wait(id).await.unwrap());
    store.say_wait(id, "it is over".to_owned()).await.unwrap();
    assert_eq!(why().await, [""; 0]);
    // One that waits for the engine says why itself.
    let claimed = begin(&store, asked(2)).await;
    put_down(&store, &claimed).await;
    store.say_wait(claimed.deployment.id, "its images are built".to_owned()).await.unwrap();
    assert_eq!(why().await, [waits().summary]);
}
