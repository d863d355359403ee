//! Fetches that fail for a moment are tried again; those that cannot pass are not.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::git_support;
use git_support::{Heard, HttpGit, World};
use tokio_util::sync::CancellationToken;
use turnout::git::{self as product, GitError, Remote, Updated};

/// Stands before a server: ends the first connections without a word, passes the others on, counts all.
struct Front {
    port: u16,
    seen: Arc<AtomicUsize>,
}

impl Front {
    fn of(port: u16, ended: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = Arc::clone(&front.seen);
        // Ends with the test process; it holds nothing but its port.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if seen.fetch_add(1, Ordering::SeqCst) >= ended {
                    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    pass(&client, &server);
                    pass(&server, &client);
                }
            }
        });
        front
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn remote(world: &World, port: u16) -> Remote {
    let mut remote = world.remote_at(&format!("http://127.0.0.1:{port}/origin.git"));
    remote.pause = Duration::from_millis(2);
    remote
}

async fn heard(remote: &Remote) -> (Result<Updated, GitError>, String) {
    let heard = Heard::default();
    let updated = product::update(remote, &heard, CancellationToken::new()).await;
    (updated, heard.all())
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    let world = World::new();
    let front = Front::of(HttpGit::start(world.path(), None).port, 2);
    let (updated, told) = heard(&remote(&world, front.port)).await;
    assert!(updated.is_ok(), "{updated:?}");
    assert_eq!(world.site_file("app.txt"), "one\n");
    for words in ["trying again in 2ms, 2 of 5", "trying again in 4ms, 3 of 5", "broke off"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("4 of 5"), "{told}");
}

#[tokio::test]
async fn after_five_tries_the_cause_is_told() {
    let world = World::new();
    let front = Front::of(1, usize::MAX);
    let (updated, told) = heard(&remote(&world, front.port)).await;
    assert!(matches!(updated, Err(GitError::BrokenOff { .. })), "{updated:?}");
    assert_eq!(front.seen(), 5, "{told}");
    world.assert_no_litter();
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    let world = World::new();
    let closed = Front::of(HttpGit::start(world.path(), Some("x:y")).port, 0);
    let open = Front::of(HttpGit::start(world.path(), None).port, 0);
    let mut absent = remote(&world, open.port);
    absent.url = Some(format!("http://127.0.0.1:{}/nowhere.git", open.port));
    let mut other = remote(&world, open.port);
    other.branch = Some("nowhere".to_owned());
    for (front, remote) in [(&closed, remote(&world, closed.port)), (&open, absent), (&open, other)] {
        let before = front.seen();
        let (updated, told) = heard(&remote).await;
        let error = updated.unwrap_err();
        let expected =
            matches!(error, GitError::Denied { .. } | GitError::NotFound { .. } | GitError::MissingBranch { .. });
        assert!(expected, "{error:?}");
        assert!(front.seen() > before && !told.contains("trying again"), "{told}");
    }
}

/// A pause that would outlast the time-out is not begun: the cause is told, not that time is up.
#[tokio::test]
async fn the_time_for_the_whole_is_kept() {
    let world = World::new();
    let front = Front::of(1, usize::MAX);
    let mut remote = remote(&world, front.port);
    (remote.timeout, remote.pause) = (Duration::from_secs(30), Duration::from_secs(60));
    let begun = Instant::now();
    let (updated, _) = heard(&remote).await;
    assert!(matches!(updated, Err(GitError::BrokenOff { .. })), "{updated:?}");
    assert!(front.seen() == 1 && begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Cancelled in a pause, it ends at once.
#[tokio::test]
async fn a_pause_can_be_cancelled() {
    let world = World::new();
    let front = Front::of(1, usize::MAX);
    let mut remote = remote(&world, front.port);
    remote.pause = Duration::from_secs(20);
    let cancel = CancellationToken::new();
    let heard = Heard::default();
    let update = product::update(&remote, &heard, cancel.clone());
    let stop = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !heard.all().contains("trying again") {
            assert!(Instant::now() < deadline, "nothing is tried again");
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        Instant::now()
    };
    let (updated, stopped) = tokio::join!(update, stop);
    assert!(matches!(updated, Err(GitError::Cancelled { .. })), "{updated:?}");
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
}
