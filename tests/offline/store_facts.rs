//! What is kept beside deployments: watches and falls, places, what containers read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicI64, Ordering},
};

use turnout::{
    report::redact::Redactor,
    store::{
        Cause, ColourRecord, ColourStanding, DeploymentId, Fall, Filter, Finish, LogLimits, NewDeployment, Place,
        Retention, Store, TakenBack, Update, Watch, Watched,
    },
};

static TIME: AtomicI64 = AtomicI64::new(1);

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap()
}

/// A deployment of the shop that has succeeded.
async fn deployed(store: &Store, watch: Option<Watch>) -> i64 {
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
    let id = store.enqueue(wanted).await.unwrap().deployment;
    store.next("shop").await.unwrap().expect("it is queued");
    store.update(id, Update { project: Some("redshop".to_owned()), ..Update::default() }).await.unwrap();
    let log = store.log_handle(id, Redactor::new(), LogLimits::default());
    log.line("info", None, "done");
    log.close().await.unwrap();
    let done = Finish::Succeeded { project: "redshop".to_owned(), commit: "1".repeat(40), reached: None, watch };
    assert!(store.finish(id, done).await.unwrap());
    id
}

/// Makes a colour of the shop live that a deployment has made of a commit.
async fn live(store: &Store, (generation, colour): (i64, &str), deployment: Option<DeploymentId>, commit: &str) {
    let next = ColourRecord {
        repo: "shop".to_owned(),
        colour: colour.to_owned(),
        project: format!("{colour}shop"),
        standing: ColourStanding::Next,
        generation,
        deployment,
        commit: Some(commit.to_owned()),
        since: 0,
        made: String::new(),
    };
    store.begin_colour(next, "red").await.unwrap();
    store.switched("shop", colour, (generation, 0), None, None).await.unwrap();
}

/// Whoever looks at the routes between their move and its record records it as well.
#[tokio::test]
async fn a_way_back_that_is_recorded_twice_leaves_live_what_was_gone_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for (generation, colour) in [(1, "red"), (2, "blue")] {
        live(&store, (generation, colour), None, &generation.to_string().repeat(40)).await;
    }
    for _ in 0..2 {
        store.reverted("shop", (2, 1), "somebody went back").await.unwrap();
        let all = store.colours(Some("shop")).await.unwrap();
        let mut stands: Vec<_> = all.iter().map(|one| (one.colour.as_str(), one.standing)).collect();
        stands.sort_unstable_by_key(|(colour, _)| *colour);
        assert_eq!(stands, [("blue", ColourStanding::Failed), ("red", ColourStanding::Live)]);
    }
    assert!(store.why_reverted("shop", &"1".repeat(40)).await.unwrap().is_none());
    assert!(store.why_reverted("shop", &"2".repeat(40)).await.unwrap().is_some());
}

/// Both colours are of one commit here, as after a change of settings, so the commit tells nothing.
#[tokio::test]
async fn the_history_says_of_a_success_that_it_was_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut ids = Vec::new();
    for (generation, colour) in [(1, "red"), (2, "blue")] {
        let id = deployed(&store, None).await;
        ids.push(id);
        live(&store, (generation, colour), Some(id), &"1".repeat(40)).await;
    }
    store.reverted("shop", (2, 1), "rolled back by ann").await.unwrap();
    let all = store.history(Filter::default()).await.unwrap();
    let why = |id| all.iter().find(|d| d.id == id).unwrap().taken_back.as_ref().map(|back| back.why.as_str());
    assert_eq!((why(ids[0]), why(ids[1])), (None, Some("rolled back by ann")));
    // Where no colour is known, the last success of the commit is the one.
    let left = TakenBack { commits: vec!["1".repeat(40)], why: "switched off".to_owned() };
    store.note_reverted("shop", left).await.unwrap();
    let one = store.deployment(ids[1]).await.unwrap().unwrap();
    assert_eq!(one.taken_back.map(|back| back.why).as_deref(), Some("switched off"));
}

#[tokio::test]
async fn a_watch_and_what_fell_survive_the_daemon_and_stay_with_their_deployment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let watch = Watch { since: 1_000, until: 61_000 };
    let first = deployed(&store, Some(watch)).await;
    let fall = |times, mended| Fall {
        container: "redshop-web-1".to_owned(),
        after: 23_000,
        said: "exited (1)".to_owned(),
        times,
        mended,
        seen: i64::MAX,
    };
    store.note_fall(first, fall(1, None)).await.unwrap();
    store.note_fall(first, fall(2, None)).await.unwrap();
    drop(store);

    let store = open(&dir);
    let watched = Watched { repo: "shop".to_owned(), deployment: first, project: "redshop".to_owned(), watch };
    assert_eq!(store.watched().await.unwrap(), [watched]);
    assert_eq!(store.deployment(first).await.unwrap().unwrap().falls, [fall(2, None)]);
    assert_eq!(store.fallen().await.unwrap(), [("shop".to_owned(), fall(2, None))]);
    // What is told later goes on in the same log.
    assert_eq!(store.last_line(first).await.unwrap(), 1);
    let log = store.log_handle_after(first, Redactor::new(), LogLimits::default(), 1);
    log.line("warning", None, "fell");
    log.close().await.unwrap();
    let lines = store.log(first, 0, 10).await.unwrap();
    assert_eq!(lines.iter().map(|line| (line.seq, line.text.as_str())).collect::<Vec<_>>(), [(1, "done"), (2, "fell")]);

    store.note_fall(first, fall(2, Some(30_000))).await.unwrap();
    assert_eq!(store.fallen().await.unwrap(), []);
    store.note_fall(first, fall(3, None)).await.unwrap();
    let second = deployed(&store, Some(Watch { since: 70_000, until: 80_000 })).await;
    assert_eq!(store.fallen().await.unwrap(), [], "another deployment has changed the stack since");
    let falls: Vec<(i64, usize)> =
        store.history(Filter::default()).await.unwrap().iter().map(|d| (d.id, d.falls.len())).collect();
    assert_eq!(falls, [(second, 0), (first, 1)]);
    // One a repository, and the end of a former one is not that of the present one.
    store.end_watch(first).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.watched().await.unwrap().iter().map(|w| w.deployment).collect::<Vec<_>>(), [second]);
    store.end_watch(second).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.watched().await.unwrap(), []);
    // Of one that was forgotten nothing is kept, and that is no failure.
    store.note_fall(77, fall(1, None)).await.unwrap();
    let third = deployed(&store, None).await;
    assert_eq!((store.watched().await.unwrap(), store.last_line(third).await.unwrap()), (vec![], 1));
}

/// Each write is a wait for the disk, and a deployment that has nothing to do has nothing new to note.
#[tokio::test]
async fn what_is_noted_already_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnout.db");
    // A clock that goes on with every look, so that whatever is written is written with another time.
    let store = Store::open_at(&file, Retention::default(), || TIME.fetch_add(1, Ordering::Relaxed)).unwrap();
    let looker = rusqlite::Connection::open(&file).unwrap();
    let times = || -> (i64, i64) {
        let sum = |table: &str| {
            let all = format!("SELECT coalesce(sum(at), 0) FROM {table}");
            looker.query_row(&all, [], |row| row.get(0)).unwrap()
        };
        (sum("places"), sum("reads"))
    };
    let mut before = times();
    let mut wrote = || std::mem::replace(&mut before, times()) != times();
    let place = |path: &str, remote: Option<&str>| Place {
        repo: "shop".to_owned(),
        project: "redshop".to_owned(),
        path: Some(path.to_owned()),
        remote: remote.map(str::to_owned),
    };
    let places = [
        (place("/srv", None), true),
        (place("/srv", None), false),
        (place("/srv", Some("x")), true),
        (place("/opt", Some("x")), true),
    ];
    for (place, new) in places {
        store.note_place(place.clone()).await.unwrap();
        assert_eq!(wrote(), new, "{place:?}");
        assert_eq!(store.places().await.unwrap(), [place]);
    }
    let reads = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        all.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect()
    };
    let present = |all: &[&str]| -> BTreeSet<String> { all.iter().map(|id| (*id).to_owned()).collect() };
    for (noted, there, new, left) in [
        (reads(&[("a", "1"), ("b", "1")]), present(&["a", "b"]), true, reads(&[("a", "1"), ("b", "1")])),
        (reads(&[]), present(&["a", "b", "c"]), false, reads(&[("a", "1"), ("b", "1")])),
        (reads(&[("a", "1")]), present(&["b"]), false, reads(&[("a", "1"), ("b", "1")])),
        (reads(&[("a", "2")]), present(&["b"]), true, reads(&[("a", "2"), ("b", "1")])),
        (reads(&[]), present(&["a"]), true, reads(&[("a", "2")])),
    ] {
        store.note_reads("redshop", noted.clone(), there).await.unwrap();
        assert_eq!(wrote(), new, "{noted:?}");
        assert_eq!(store.reads("redshop").await.unwrap(), left);
    }
}
