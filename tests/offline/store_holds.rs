//! Holds in the store: what is pushed meanwhile waits and is not lost; what was asked for by name goes on.

use turnout::store::{
    Cause, Finish, HoldChange, NewDelivery, NewDeployment, Requested, Retention, State, Store, Update,
};

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap()
}

fn pushed(number: u8) -> NewDelivery {
    let commit = hex::encode([number; 20]);
    NewDelivery {
        forge: "github",
        guid: Some(format!("guid-{number}")),
        event: "push".to_owned(),
        repo: Some("acme/shop".to_owned()),
        git_ref: Some("refs/heads/main".to_owned()),
        commit: Some(commit.clone()),
        pusher: None,
        digest: [number; 32],
        effect: "deploy",
        reason: format!("push {number}"),
        deploy: Some(NewDeployment {
            commit: Some(commit),
            kind: Cause::Push,
            cause: format!("push {number}"),
            who: None,
            ..asked(None)
        }),
        hooks: Vec::new(),
    }
}

fn asked(commit: Option<&str>) -> NewDeployment {
    NewDeployment {
        repo: "shop".to_owned(),
        branch: None,
        pinned: commit.is_some(),
        commit: commit.map(str::to_owned),
        kind: Cause::Manual,
        cause: "asked for".to_owned(),
        who: Some("ann".to_owned()),
        force_rebuild: false,
        new_stack: false,
        back: false,
        past: false,
    }
}

async fn succeed(store: &Store, id: i64, commit: &str) {
    assert_eq!(store.next("shop").await.unwrap().unwrap().id, id);
    let begun = Update { project: Some("redshop".into()), commit_after: Some(commit.into()), ..Update::default() };
    store.update(id, begun).await.unwrap();
    let how =
        Finish::Succeeded { project: "redshop".to_owned(), commit: commit.to_owned(), reached: None, watch: None };
    assert!(store.finish(id, how).await.unwrap());
}

#[tokio::test]
async fn pushes_wait_while_it_is_held_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let first = store.accept(pushed(1)).await.unwrap().deployment.unwrap();
    succeed(&store, first, "1111").await;
    let waits = store.accept(pushed(2)).await.unwrap().deployment.unwrap();
    // What waits in the queue is called off, and is the newest that is wanted.
    let hold = store.hold("shop", Some("ann".to_owned())).await.unwrap();
    assert_eq!((hold.commit.as_deref(), hold.who.as_deref()), (Some("1111"), Some("ann")));
    assert_eq!(hold.newest, Some(hex::encode([2; 20])));
    assert_eq!(store.deployment(waits).await.unwrap().unwrap().state, State::Cancelled);
    let accepted = store.accept(pushed(3)).await.unwrap();
    assert_eq!((accepted.deployment, accepted.duplicate_of), (None, None));
    assert_eq!(accepted.held.unwrap().to_string(), "held at 1111 by ann");
    let recorded = store.deliveries(1).await.unwrap().remove(0);
    assert_eq!(
        (recorded.effect.as_str(), recorded.reason.as_str()),
        ("held", "push 3; held at 1111 by ann, not deployed")
    );
    drop(store);
    let store = open(&dir);
    assert!(store.recover().await.unwrap().queued.is_empty());
    // An older one sent again does not take the place of the newest.
    store.accept(pushed(4)).await.unwrap();
    store.accept(pushed(3)).await.unwrap();
    let held = store.held("shop").await.unwrap().unwrap();
    assert_eq!((held.newest, held.since), (Some(hex::encode([4; 20])), hold.since));
    // Held once more: since when it was.
    assert_eq!(store.hold("shop", Some("ben".to_owned())).await.unwrap().who.as_deref(), Some("ann"));
    assert!(matches!(store.request(asked(None), HoldChange::AsItIs).await.unwrap(), Requested::Held(_)));

    let by_name = store.request(asked(Some("v1")), HoldChange::AsItIs).await.unwrap();
    let Requested::Queued { deployment, hold: Some(_), .. } = by_name else { panic!("{by_name:?}") };
    assert!(store.deployment(deployment).await.unwrap().unwrap().pinned);
    succeed(&store, deployment, "aaaa").await;
    assert_eq!(store.held("shop").await.unwrap().unwrap().commit.as_deref(), Some("aaaa"));

    let released = store.request(asked(None), HoldChange::Release).await.unwrap();
    assert!(matches!(released, Requested::Queued { hold: None, .. }), "{released:?}");
    assert_eq!(store.held("shop").await.unwrap(), None);
    assert!(store.accept(pushed(5)).await.unwrap().deployment.is_some());
}

#[tokio::test]
async fn what_died_under_a_hold_is_repeated_as_it_was_begun_or_waits() {
    for begun in [Some("2222"), None] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let id = store.accept(pushed(2)).await.unwrap().deployment.unwrap();
        store.next("shop").await.unwrap().unwrap();
        let update = Update { commit_after: begun.map(str::to_owned), ..Update::default() };
        store.update(id, update).await.unwrap();
        store.hold("shop", None).await.unwrap();
        drop(store);
        let store = open(&dir);
        store.recover().await.unwrap();
        let next = store.next("shop").await.unwrap();
        let repeated = next.map(|next| (next.pinned, next.wanted_commit.unwrap()));
        assert_eq!(repeated, begun.map(|commit| (true, commit.to_owned())));
        if begun.is_none() {
            assert_eq!(store.held("shop").await.unwrap().unwrap().newest, Some(hex::encode([2; 20])));
        }
    }
    // What was asked for by name is repeated by name.
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.request(asked(Some("v1")), HoldChange::Hold).await.unwrap();
    store.next("shop").await.unwrap().unwrap();
    drop(store);
    let store = open(&dir);
    store.recover().await.unwrap();
    let next = store.next("shop").await.unwrap().unwrap();
    assert_eq!((next.pinned, next.wanted_commit.as_deref()), (true, Some("v1")));
}

#[tokio::test]
async fn the_previous_one_is_the_last_good_one_before_the_current() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.previous("shop").await.unwrap(), None);
    let mut ids = Vec::new();
    for (number, commit) in [(1, "a"), (2, "b"), (3, "b")] {
        let id = store.accept(pushed(number)).await.unwrap().deployment.unwrap();
        succeed(&store, id, commit).await;
        ids.push(id);
    }
    let previous = store.previous("shop").await.unwrap().unwrap();
    assert_eq!((previous.commit.as_str(), previous.deployment, previous.current), ("a", ids[0], ids[2]));
    // One that did not begin its steps changed nothing; one that did is the current one.
    for (number, project, wanted) in [(4, None, "a"), (5, Some("redshop"), "b")] {
        let id = store.accept(pushed(number)).await.unwrap().deployment.unwrap();
        store.next("shop").await.unwrap().unwrap();
        let update =
            Update { project: project.map(str::to_owned), commit_after: Some("c".into()), ..Update::default() };
        store.update(id, update).await.unwrap();
        store.finish(id, Finish::Failed { error: "no".to_owned() }).await.unwrap();
        assert_eq!(store.previous("shop").await.unwrap().unwrap().commit, wanted);
    }
}
