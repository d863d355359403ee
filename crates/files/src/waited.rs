//! Work with files for callers that cannot await: it runs on a thread of its own, which is left to the kernel when the
//! file system hangs.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, SendError, Sender},
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::watch::{LOOK, Lost, Watch};

/// Threads that are kept for the next piece of work. It comes with each delivery, and to start a thread costs more than to
/// look at a file.
const KEPT: usize = 4;
/// How long a thread of the runtime waits itself, before another one takes over what else it has to do.
const MOMENT: Duration = Duration::from_millis(10);

type Work = Box<dyn FnOnce() + Send>;

/// Threads that have nothing to do.
static IDLE: Mutex<Vec<Sender<Work>>> = Mutex::new(Vec::new());

/// Does work with files on a thread of its own and waits for it: for as long as it takes, but not for one call of a file
/// system ([`super::at`]) that takes longer than `patience`. The runtime goes on meanwhile. On a thread that is watched
/// already, the work is done there.
///
/// # Errors
/// A file system hangs, or the work panicked.
pub fn waited<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
    if Watch::here().is_some() {
        return Ok(work());
    }
    let watch = Watch::new(patience);
    let theirs = watch.clone();
    let (done, end) = mpsc::channel();
    let begun = hand_over(Box::new(move || {
        theirs.enter();
        let ended = catch_unwind(AssertUnwindSafe(work));
        Watch::leave();
        // Nobody waits for what was given up.
        let _ = done.send(ended);
    }));
    begun.map_err(|error| Lost::Died(format!("no thread for it: {error}")))?;
    // `None`: not yet.
    let heard = |pause: Duration| match end.recv_timeout(pause) {
        // The message of the panic itself is in the log already.
        Ok(ended) => Some(ended.map_err(|_| Lost::Died("a panic".to_owned()))),
        Err(RecvTimeoutError::Disconnected) => Some(Err(Lost::Died("no result".to_owned()))),
        Err(RecvTimeoutError::Timeout) => watch.lost().map(Err),
    };
    if let Some(ended) = heard(MOMENT.min(patience)) {
        return ended;
    }
    let rest = || loop {
        if let Some(ended) = heard(LOOK.min(patience)) {
            return ended;
        }
    };
    beside_the_runtime(rest)
}

/// Does work with files as [`waited`], and then something with what came of it, but waits no longer than a moment for both:
/// `None`, and they go on by themselves.
pub fn begun<T: Send + 'static, R: Send + 'static>(
    moment: Duration,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(Result<T, Lost>) -> R + Send + 'static,
) -> Option<R> {
    if Watch::here().is_some() {
        return Some(then(Ok(work())));
    }
    let (done, end) = mpsc::channel();
    let all = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| then(waited(patience, work))));
        // Nobody waits any longer, or it panicked, which the log tells.
        let _ = ended.map(|ended| done.send(ended));
    };
    if let Err(error) = hand_over(Box::new(all)) {
        tracing::error!("no thread that looks at files: {error}");
        return None;
    }
    let heard = |pause: Duration| end.recv_timeout(pause);
    match heard(MOMENT) {
        Err(RecvTimeoutError::Timeout) => beside_the_runtime(|| heard(moment.saturating_sub(MOMENT))).ok(),
        ended => ended.ok(),
    }
}

/// Waits for something while another thread does what else this one of the runtime has to do.
pub fn beside_the_runtime<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

/// Gives work to a thread that has none, or to a new one.
fn hand_over(mut work: Work) -> io::Result<()> {
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(kept) = idle().pop() else { break };
        match kept.send(work) {
            Ok(()) => return Ok(()),
            Err(SendError(back)) => work = back,
        }
    }
    let (hand, works) = mpsc::channel::<Work>();
    let own = hand.clone();
    thread::Builder::new().name("files".to_owned()).spawn(move || {
        for work in works {
            work();
            let mut idle = idle();
            if idle.len() >= KEPT {
                return;
            }
            idle.push(own.clone());
        }
    })?;
    hand.send(work).map_err(|_| io::Error::other("a thread ended before its work"))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use super::{super::at, *};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's slow disk")]
    fn what_hangs_is_given_up_and_what_is_busy_is_not() {
        let (go_on, wait) = mpsc::channel::<()>();
        let place = Path::new("/srv/waited");
        let lost = waited(Duration::from_millis(20), move || at(place, place, || wait.recv()).is_err());
        assert!(lost.unwrap_err().to_string().contains("/srv/waited did not answer"));
        assert!(waited(Duration::from_secs(9), move || at(place, place, || ()).is_err()).unwrap());
        drop(go_on);
        let patience = Duration::from_millis(60);
        let steps = waited(patience, move || (0..6).all(|_| at(place, place, || thread::sleep(patience / 3)).is_ok()));
        // The one that came back may need a moment to say so.
        assert!(steps.is_ok());
        assert!(waited(patience, || panic!("on purpose")).map(|()| 0).is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_runtime_goes_on_meanwhile() {
        let (go_on, wait) = mpsc::channel::<()>();
        let place = Path::new("/srv/waited-too");
        let waiting = tokio::spawn(async move {
            waited(Duration::from_secs(60), move || at(place, place, || wait.recv()).is_ok()).unwrap()
        });
        let began = Instant::now();
        // On the only worker, which the one above holds.
        tokio::spawn(async move { go_on.send(()).unwrap() }).await.unwrap();
        assert!(waiting.await.unwrap());
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
