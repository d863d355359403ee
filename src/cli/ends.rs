//! The signals that end the daemon, and the last resort where it does not end by itself: on a thread of their own, which
//! needs nothing that could be stuck.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the whole end of the daemon may take beyond `shutdown-grace`. The unit's `TimeoutStopSec` leaves more.
const SLACK: Duration = Duration::from_secs(15);
/// What the end of the process may take once it is asked for: what it calls last may be stuck as well.
const LAST: Duration = Duration::from_secs(2);
/// Exit code where something hangs.
const STUCK: i32 = 1;

/// SIGTERM and SIGINT, taken over from the kernel.
pub(super) struct Ends {
    asked: CancellationToken,
    working: Arc<AtomicBool>,
}

impl Ends {
    /// From now on a signal no longer ends the process by itself. Until there is work ([`Ends::begin`]) the thread does it:
    /// nothing is under way, and looking at a large database or for files on a disk that hangs takes its time. `grace`: the
    /// setting of that name. `written`: has the log written to its end.
    ///
    /// # Errors
    /// When the thread cannot be made.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    pub(super) fn take_over(grace: Duration, written: impl FnOnce() + Send + 'static) -> anyhow::Result<Ends> {
        let ends = Ends { asked: CancellationToken::new(), working: Arc::default() };
        let (asked, working) = (ends.asked.clone(), Arc::clone(&ends.working));
        // A runtime of its own: that of the work may have no thread left that would hear of a signal.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("cannot make the runtime for signals")?;
        let (term, int) = {
            let _within = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let hear = move || {
            runtime.block_on(async move {
                let (mut term, mut int) = (term, int);
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            });
            asked.cancel();
            if !working.load(Ordering::Acquire) {
                leave(0, || {
                    tracing::info!("turnout ends before it has begun its work");
                    written();
                });
            }
            thread::sleep(grace.saturating_add(SLACK));
            // Not through the log, which may be what is stuck. What was acknowledged is on the disk.
            leave(STUCK, || {});
        };
        thread::Builder::new().name("signals".to_owned()).spawn(hear).context("cannot start a thread for signals")?;
        Ok(ends)
    }

    /// From here on there is work, which an end must not cut off.
    pub(super) fn begin(&self) {
        self.working.store(true, Ordering::Release);
    }

    /// Waits until the end is asked for.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }
}

/// Ends the process, after `last` words.
#[expect(clippy::disallowed_methods, reason = "a thread of its own")]
fn leave(code: i32, last: impl FnOnce()) {
    // Where even that hangs, in a log that is stuck for instance, the kernel does it.
    let _ = thread::Builder::new().name("last-resort".to_owned()).spawn(|| {
        thread::sleep(LAST);
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    last();
    std::process::exit(code);
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
        time::Instant,
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Set in the process that is to be ended: what it has to do.
    const CHILD: &str = "TURNOUT_TEST_OF_ENDS";

    /// Not a test by itself: the process that the test below ends.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    fn a_process_that_is_to_be_ended() {
        let Some(work) = std::env::var_os(CHILD) else { return };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let ends = Ends::take_over(Duration::from_millis(500), || {}).unwrap();
            if work == "frozen" {
                ends.begin();
            }
            // No thread of the runtime is left, nor this one.
            (0..2).for_each(|_| drop(tokio::spawn(async { thread::sleep(Duration::from_secs(600)) })));
            println!("there");
            thread::sleep(Duration::from_secs(600));
        });
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "another process, and no runtime here")]
    fn a_process_of_which_all_hangs_is_ended_all_the_same() {
        // While it starts, at once; in its work, after the grace and what the end may take beyond it.
        for (work, code, at_least) in [("begins", 0, Duration::ZERO), ("frozen", STUCK, SLACK)] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "cli::ends::tests::a_process_that_is_to_be_ended", "--nocapture"])
                .env(CHILD, work)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line.ends_with("there")), "it did not begin");
            let began = Instant::now();
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            let ended = child.wait().unwrap();
            assert_eq!(ended.code(), Some(code), "{work}: {ended}");
            let took = began.elapsed();
            assert!(took >= at_least && took < at_least + Duration::from_secs(5), "{work}: {took:?}");
        }
    }
}
