//! Readers of the journal: they miss nothing, or are told what, and hold up nobody.

use rusqlite::Connection;
use turnout::{
    report::redact::Redactor,
    store::{DomainEvent, Finish, Journaled, LogLimits, Only, Read, Retention, Store},
};

use super::store_journal::{open, wanted};

async fn tell(store: &Store, repositories: usize) {
    store.tell(DomainEvent::ConfigReloaded { repositories }).await.unwrap();
}

fn repositories(event: &Journaled) -> usize {
    match event.what.known() {
        Some(DomainEvent::ConfigReloaded { repositories }) => *repositories,
        other => panic!("{other:?}"),
    }
}

/// A reader that takes one page and goes to sleep over it: the database is written, thinned out and copied meanwhile, and
/// what it missed is named once, with both ends.
#[tokio::test]
async fn a_slow_reader_holds_no_writer_and_is_told_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnout.db");
    let store = Store::open(&file, Retention { events: 700, ..Retention::default() }).unwrap();
    let mut slow = store.from_now(Only::default());
    let mut other = store.from_now(Only::default());
    tell(&store, 0).await;
    let page = slow.next().await.unwrap().unwrap();
    assert_eq!(page.events.iter().map(repositories).collect::<Vec<_>>(), [0]);
    let at = slow.position();
    for number in 1..=5_000 {
        tell(&store, number).await;
    }
    // Nobody reads, so all of the log of writes can be taken into the database; a transaction that is open would prevent it.
    let db = Connection::open(&file).unwrap();
    let (busy, left): (i64, i64) =
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((busy, left), (0, 0), "a reader holds the database");
    let kept: usize =
        db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0).map(|n: i64| n as usize)).unwrap();
    assert!((700..=700 + 1_000 + 256).contains(&kept), "{kept} events are kept of 5001");

    let page = slow.next().await.unwrap().unwrap();
    let gap = page.gap.expect("it is not told that it missed something");
    let first = repositories(&page.events[0]);
    assert_eq!((gap.after, gap.upto), (at, at + first as i64 - 1), "{gap}");
    let mut read: Vec<usize> = page.events.iter().map(repositories).collect();
    while read.last() != Some(&5_000) {
        let page = slow.next().await.unwrap().unwrap();
        assert_eq!(page.gap, None, "it is named twice");
        read.extend(page.events.iter().map(repositories));
    }
    assert_eq!(read, (first..=5_000).collect::<Vec<_>>());
    assert!(read.len() == kept);
    assert!(other.ready().await && other.take().await.unwrap().gap.is_some());
}

#[tokio::test]
async fn events_go_with_their_deployment_and_the_newest_word_of_a_log_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("turnout.db");
    let store = Store::open(&file, Retention { deployments: 3, ..Retention::default() }).unwrap();
    let mut first = None;
    // Thinned out after every 256 things that are written: some six of these.
    for _ in 0..20 {
        let id = store.enqueue(wanted("shop", None, true)).await.unwrap().deployment;
        first.get_or_insert(id);
        store.next("shop").await.unwrap().unwrap();
        let log = store.log_handle(id, Redactor::new(), LogLimits::default());
        for line in 0..20 {
            log.line("info", None, &format!("line {line}"));
            store.flush().await.unwrap();
        }
        log.close().await.unwrap();
        store.finish(id, Finish::Failed { error: "no".to_owned() }).await.unwrap();
    }
    let all = everything_there(&store).await;
    let of: std::collections::BTreeSet<i64> = all.iter().filter_map(|event| event.deployment).collect();
    assert!(!of.contains(&first.unwrap()) && of.len() <= 10, "{of:?}");
    for id in of {
        let words = all.iter().filter(|event| event.deployment == Some(id)).filter_map(|event| event.what.known());
        let logs: Vec<_> = words.filter(|word| matches!(word, DomainEvent::LogWritten { .. })).collect();
        assert_eq!(logs, [&DomainEvent::LogWritten { last: 20 }]);
    }
}

async fn everything_there(store: &Store) -> Vec<Journaled> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let page = store.events(after, Only::default()).await.unwrap();
        if page.events.is_empty() {
            return all;
        }
        after = page.upto;
        all.extend(page.events);
    }
}

#[tokio::test]
async fn a_position_survives_the_daemon_and_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.position("page").await.unwrap(), None);
    tell(&store, 1).await;
    let mut cursor = store.after(0, Only::default());
    let read = cursor.next().await.unwrap().unwrap();
    store.keep_position("page", read.upto).await.unwrap();
    tell(&store, 2).await;
    drop((cursor, store));

    let store = open(&dir);
    tell(&store, 3).await;
    let position = store.position("page").await.unwrap().unwrap();
    let page = store.after(position, Only::default()).next().await.unwrap().unwrap();
    assert_eq!((page.gap, page.events.iter().map(repositories).collect::<Vec<_>>()), (None, vec![2, 3]));
    store.keep_position("page", position - 1).await.unwrap();
    assert_eq!(store.position("page").await.unwrap(), Some(position));
}

#[tokio::test]
async fn what_a_later_turnout_tells_is_skipped_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    tell(&store, 1).await;
    store.close().await;
    drop(store);
    let db = Connection::open(dir.path().join("turnout.db")).unwrap();
    let later = "INSERT INTO journal (at, repo, kind, version, body) VALUES (1, 'shop', ?1, ?2, ?3)";
    db.execute(later, ("canary_opened", 1, "{\"weight\":5}")).unwrap();
    db.execute(later, ("config_reloaded", 9, "{\"repositories\":2}")).unwrap();
    drop(db);
    let store = open(&dir);
    tell(&store, 2).await;
    let page = store.events(0, Only::default()).await.unwrap();
    let told: Vec<String> = page
        .events
        .iter()
        .map(|event| match &event.what {
            Read::Known(_) => repositories(event).to_string(),
            Read::Unknown(unknown) => unknown.kind.clone(),
        })
        .collect();
    assert_eq!(told, ["1", "canary_opened", "config_reloaded", "2"]);
    assert_eq!(store.unknown_events().await.unwrap(), ["canary_opened", "config_reloaded"]);
    // A reader of one repository is given what is of it, and goes past the rest.
    let of_shop = store.events(0, Only { repo: Some("shop".to_owned()), ..Only::default() }).await.unwrap();
    assert_eq!((of_shop.events.len(), of_shop.upto), (2, page.upto));
}

/// Whoever waits is told after the commit, once for many, and not for what is no event.
#[tokio::test]
async fn who_waits_is_woken_by_events_and_by_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut newest = store.newest_event();
    newest.mark_unchanged();
    store.flush().await.unwrap();
    store.note_reads("redshop", [("web".to_owned(), "x".to_owned())].into(), Default::default()).await.unwrap();
    assert!(!newest.has_changed().unwrap(), "nothing happened");
    tell(&store, 1).await;
    // The answer is given before readers are told; the next job's answer comes after that.
    store.flush().await.unwrap();
    assert!(newest.has_changed().unwrap());
    let mut cursor = store.from_now(Only::default());
    store.close().await;
    drop(store);
    assert_eq!(cursor.next().await.ok().flatten(), None, "it waits for a store that has ended");
}
