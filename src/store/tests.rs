use super::*;

fn limits() -> Limits {
    Limits { history: 3, deliveries: 5, events: 4, attempts: 2, ..Limits::default() }
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), limits()).unwrap()
}

fn push(guid: &str, body: u8, at: i64) -> NewDelivery {
    NewDelivery {
        guid: guid.to_owned(),
        digest: [body; 32],
        event: "push".to_owned(),
        repo: "shop".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        pusher: "ann".to_owned(),
        received_ms: at,
        verdict: "deploy".to_owned(),
        order: Some(order()),
    }
}

fn order() -> Order {
    Order { repo: "shop".to_owned(), cause: "push".to_owned(), ..Order::default() }
}

fn ending(state: State) -> Ending {
    Ending { state, summary: "so it ended".to_owned(), hint: None, timings: vec![("fetch".to_owned(), 12)], ended_ms: 99 }
}

async fn finish_as(store: &Store, guid: &str, body: u8, state: State) -> DeploymentId {
    store.accept(push(guid, body, 1)).await.unwrap();
    let claimed = store.claim("shop", 2).await.unwrap().unwrap();
    let progress =
        Progress { project: Some("redshop".to_owned()), after: Some(format!("c{body}")), ..Progress::default() };
    store.progress(claimed.id, progress).await.unwrap();
    store.finish(claimed.id, ending(state)).await.unwrap();
    claimed.id
}

#[tokio::test]
async fn a_newer_push_supersedes_a_queued_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let rebuild = Order { rebuild: true, ..order() };
    let (first, none) = store.enqueue(rebuild, 1).await.unwrap();
    assert!(none.is_empty());
    let Accepted::Queued { deployment, superseded } = store.accept(push("a", 1, 2)).await.unwrap() else { panic!() };
    assert_eq!(superseded, [first]);
    let old = store.deployment(first).await.unwrap().unwrap();
    assert_eq!((old.state, old.superseded_by), (State::Superseded, Some(deployment)));
    let claimed = store.claim("shop", 3).await.unwrap().unwrap();
    assert_eq!(claimed.id, deployment);
    assert!(claimed.order.rebuild, "what a superseded one insisted on is inherited");
    assert_eq!(store.claim("shop", 3).await.unwrap(), None);
    // While one runs, the next waits and does not supersede it.
    let Accepted::Queued { superseded, .. } = store.accept(push("b", 2, 4)).await.unwrap() else { panic!() };
    assert!(superseded.is_empty());
}

#[tokio::test]
async fn a_repeated_delivery_is_a_duplicate_unless_the_first_failed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let done = finish_as(&store, "a", 1, State::Succeeded).await;
    assert_eq!(store.accept(push("a", 7, 5)).await.unwrap(), Accepted::Duplicate { deployment: Some(done) });
    assert_eq!(store.accept(push("other", 1, 5)).await.unwrap(), Accepted::Duplicate { deployment: Some(done) });
    let late = 5 + limits().delivery_window_ms + 1;
    assert!(matches!(store.accept(push("a", 1, late)).await.unwrap(), Accepted::Queued { .. }));
    store.claim("shop", 6).await.unwrap().unwrap();
    finish_as(&store, "b", 2, State::Failed).await;
    assert!(matches!(store.accept(push("b", 2, 9)).await.unwrap(), Accepted::Queued { .. }));
}

#[tokio::test]
async fn what_ran_at_a_crash_is_queued_again_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let first = {
        let store = open(&dir);
        store.accept(push("a", 1, 1)).await.unwrap();
        store.claim("shop", 2).await.unwrap().unwrap().id
    };
    let store = open(&dir);
    assert_eq!(store.recover(3).await.unwrap(), ["shop"]);
    assert_eq!(store.deployment(first).await.unwrap().unwrap().state, State::Interrupted);
    let second = store.claim("shop", 4).await.unwrap().unwrap();
    assert_eq!(second.order.cause, "recovery");
    let store = open(&dir);
    assert!(store.recover(5).await.unwrap().is_empty(), "two attempts are the limit here");
    let given_up = store.deployment(second.id).await.unwrap().unwrap();
    assert_eq!(given_up.state, State::Failed);
    assert!(given_up.summary.unwrap().contains("2 times"));
}

#[tokio::test]
async fn the_history_is_bounded_but_the_deployed_commit_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let first = finish_as(&store, "g", 1, State::Succeeded).await;
    for body in 2..7 {
        finish_as(&store, &format!("g{body}"), body, State::Failed).await;
    }
    assert_eq!(store.history(None, 100).await.unwrap().len(), 3);
    assert_eq!(store.deployment(first).await.unwrap(), None);
    assert_eq!(store.last_deployed("shop".into(), "redshop".into()).await.unwrap().as_deref(), Some("c1"));
    assert_eq!(store.projects("shop".into()).await.unwrap(), ["redshop"]);
    assert_eq!(peek_last_deployed(&dir.path().join("turnout.db"), "shop", "redshop").unwrap().as_deref(), Some("c1"));
    let newest = store.history(Some("shop".into()), 1).await.unwrap().remove(0);
    assert_eq!(newest.timings, [("fetch".to_owned(), 12)]);
}

#[tokio::test]
async fn a_log_is_bounded_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (id, _) = store.enqueue(order(), 1).await.unwrap();
    store.claim("shop", 2).await.unwrap();
    for n in 0..10 {
        store.log(id, n, Event::Info { text: format!("line {n}") });
    }
    store.finish(id, ending(State::Succeeded)).await.unwrap();
    let events = store.events(id, 0, 100).await.unwrap();
    assert_eq!(events.len(), 5);
    assert_eq!(events[3].event, Event::Info { text: "line 3".to_owned() });
    let Event::Warning { text } = &events[4].event else { panic!() };
    assert!(text.starts_with("6 more events"), "{text}");
    assert_eq!(store.events(id, 3, 1).await.unwrap()[0].seq, 4);
    assert_eq!(store.tail(Some("shop".into()), 2).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_each_answered_after_their_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("turnout.db"), Limits::default()).unwrap();
    let tasks: Vec<_> = (0..200u8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut delivery = push(&format!("g{n}"), n, 1);
                delivery.order = delivery.order.map(|o| Order { repo: format!("r{n}"), ..o });
                store.accept(delivery).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        let Accepted::Queued { deployment, .. } = task.await.unwrap() else { panic!() };
        assert!(store.deployment(deployment).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_file_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(&dir);
    let mode = std::fs::metadata(dir.path().join("turnout.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
