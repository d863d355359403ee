//! Work with files that ends, or is given up: a thread tells at which path it is, and who waits for it looks at the clock.
//!
//! A call of a file system that hangs cannot be interrupted. The wait can; the thread is left to the kernel.

use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use super::refusal::Refusal;

/// How long one call of a file system may take. A disk that starts to turn or a server far away needs seconds; a mount
/// whose server is gone, for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the clock is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    static MINE: RefCell<Option<(Watch, Arc<Slot>)>> = const { RefCell::new(None) };
}

/// Threads that were given up and have not come back.
static GIVEN_UP: Mutex<Vec<GivenUp>> = Mutex::new(Vec::new());
/// How many there are: nobody takes the lock above while all is well.
static MISSED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct GivenUp {
    thread: ThreadId,
    /// Below it nothing else is tried.
    place: PathBuf,
    path: PathBuf,
    since: Instant,
    /// From then on somebody may try the path once more: what has its name by now may be something else.
    again: Instant,
}

/// What the threads of one piece of work are doing.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How long one call may take.
    patience: Duration,
    slots: Mutex<Vec<Arc<Slot>>>,
    given_up: AtomicBool,
}

/// What one thread is doing. Written at each step of it, so that what was there is written over and nothing is allocated.
#[derive(Debug)]
struct Slot {
    thread: ThreadId,
    doing: Mutex<Doing>,
}

#[derive(Debug, Default)]
struct Doing {
    place: PathBuf,
    path: PathBuf,
    /// Nothing while it is at no path.
    since: Option<Instant>,
}

/// Why work with files gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// A file system hangs.
    Hangs(Refusal),
    /// The work panicked.
    Died(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangs(refusal) => refusal.fmt(f),
            Self::Died(why) => write!(f, "the reader of files died: {why}"),
        }
    }
}

impl Lost {
    /// What to do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hangs(refusal) => Some(refusal.hint()),
            Self::Died(_) => None,
        }
    }
}

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Hangs(refusal) => refusal.into(),
            died @ Lost::Died(_) => Self::other(died.to_string()),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(super) fn new(patience: Duration) -> Self {
        Self(Arc::new(Inner { patience, slots: Mutex::default(), given_up: AtomicBool::new(false) }))
    }

    /// That of this thread, for threads which it starts.
    pub fn here() -> Option<Self> {
        MINE.with_borrow(|mine| mine.as_ref().map(|(watch, _)| watch.clone()))
    }

    /// Counts this thread to the work, from now on.
    pub fn enter(&self) {
        let slot = Arc::new(Slot { thread: thread::current().id(), doing: Mutex::default() });
        locked(&self.0.slots).push(Arc::clone(&slot));
        MINE.set(Some((self.clone(), slot)));
    }

    /// This thread does something else from now on.
    pub(super) fn leave() {
        MINE.set(None);
    }

    /// Why the work is given up, if one of its threads has been at a path for too long.
    pub(super) fn lost(&self) -> Option<Lost> {
        let path = self.give_up()?;
        tracing::error!(path = %path.display(), "a file system does not answer; a thread that waits for it is given up");
        Some(Lost::Hangs(Refusal::Hangs(path, self.0.patience)))
    }

    fn give_up(&self) -> Option<PathBuf> {
        for slot in locked(&self.0.slots).iter() {
            // Held until all is noted: the thread cannot leave its path unnoticed meanwhile.
            let doing = locked(&slot.doing);
            let Some(since) = doing.since.filter(|since| since.elapsed() > self.0.patience) else { continue };
            let Doing { place, path, since: _ } = &*doing;
            let (place, path) = (place.clone(), path.clone());
            let mut all = locked(&GIVEN_UP);
            let again = Instant::now() + hung_for(&all, &place).unwrap_or_else(|| since.elapsed());
            all.push(GivenUp { thread: slot.thread, place, path: path.clone(), since, again });
            MISSED.store(all.len(), Ordering::Relaxed);
            self.0.given_up.store(true, Ordering::Release);
            return Some(path);
        }
        None
    }
}

/// For how long nothing has been heard from a place.
fn hung_for(all: &[GivenUp], place: &Path) -> Option<Duration> {
    all.iter().filter(|hung| hung.place == place).map(|hung| hung.since.elapsed()).max()
}

/// Whether somebody tries a path that hung once more: after as long a time again each time, so that in a day there are some
/// fifteen such threads and no more. A link that was turned, or a mount that was detached while its server is still
/// silent, would be missed otherwise: the thread that hangs there does not come back.
///
/// # Errors
/// Something hangs below the place, and it is not the time.
fn once_more(place: &Path, path: &Path, watched: bool) -> io::Result<bool> {
    let mut all = locked(&GIVEN_UP);
    let Some(waited) = hung_for(&all, place) else { return Ok(false) };
    let now = Instant::now();
    let mut here = all.iter_mut().filter(|hung| hung.place == place);
    if let Some(hung) = here.find(|hung| !watched || hung.path != path || hung.again > now) {
        return Err(Refusal::Hangs(hung.path.clone(), hung.since.elapsed()).into());
    }
    all.iter_mut().filter(|hung| hung.place == place).for_each(|hung| hung.again = now + waited);
    Ok(true)
}

/// A path answers that hung: whoever is left there waits for something else.
fn answers_again(place: &Path, path: &Path) {
    let mut all = locked(&GIVEN_UP);
    all.retain(|hung| hung.place != place || hung.path != path);
    MISSED.store(all.len(), Ordering::Relaxed);
}

/// Says that a path is being worked at, for as long as `work` takes. `place`: what else is not tried while it hangs.
///
/// # Errors
/// A file system below `place` hangs; the work was given up meanwhile.
pub fn at<T>(place: &Path, path: &Path, work: impl FnOnce() -> T) -> io::Result<T> {
    let mine = MINE.with_borrow(Clone::clone);
    let mut again = false;
    if MISSED.load(Ordering::Relaxed) > 0 {
        again = once_more(place, path, mine.is_some())?;
    }
    let Some((watch, slot)) = mine else { return Ok(work()) };
    let busy = Busy::begin(&watch, &slot, place, path);
    let done = work();
    drop(busy);
    if watch.0.given_up.load(Ordering::Acquire) {
        return Err(Refusal::Hangs(path.to_owned(), watch.0.patience).into());
    }
    if again {
        answers_again(place, path);
    }
    Ok(done)
}

/// A thread that is at a path.
struct Busy<'w>(&'w Watch, &'w Slot);

impl<'w> Busy<'w> {
    fn begin(watch: &'w Watch, slot: &'w Slot, place: &Path, path: &Path) -> Self {
        let mut doing = locked(&slot.doing);
        doing.place.as_mut_os_string().clear();
        doing.place.as_mut_os_string().push(place);
        doing.path.as_mut_os_string().clear();
        doing.path.as_mut_os_string().push(path);
        doing.since = Some(Instant::now());
        Self(watch, slot)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let Self(watch, slot) = self;
        locked(&slot.doing).since = None;
        if watch.0.given_up.load(Ordering::Acquire) {
            // It came back after all: its place may be tried again.
            let mut all = locked(&GIVEN_UP);
            all.retain(|given_up| given_up.thread != slot.thread);
            MISSED.store(all.len(), Ordering::Relaxed);
        }
    }
}

/// Does work with files on a thread of its own, and waits for it: for as long as it takes, but not for a file system that
/// hangs.
///
/// # Errors
/// A file system hangs, or the work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
    blocking_for(PATIENCE, work).await
}

/// As [`blocking`], with another time for each call. Not to be dropped before its end: a thread that hangs is given up by
/// whoever waits for it.
///
/// # Errors
/// As [`blocking`].
pub async fn blocking_for<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Lost> {
    let watch = Watch::new(patience);
    let theirs = watch.clone();
    let mut thread = tokio::task::spawn_blocking(move || {
        theirs.enter();
        // Threads are used again, for work that nobody watches.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        Watch::leave();
        done
    });
    loop {
        match tokio::time::timeout(LOOK.min(patience), &mut thread).await {
            Ok(Ok(Ok(done))) => return Ok(done),
            // The message of the panic itself is in the log already.
            Ok(Ok(Err(_))) => return Err(Lost::Died("a panic".to_owned())),
            Ok(Err(died)) => return Err(Lost::Died(died.to_string())),
            Err(_) => {}
        }
        if let Some(lost) = watch.lost() {
            return Err(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_given_up_named_and_not_tried_again_until_it_comes_back() {
        let (place, path) = (Path::new("/srv/hangs"), Path::new("/srv/hangs/a"));
        let (go_on, wait) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        let lost = blocking_for(Duration::from_millis(20), move || {
            let done = at(place, path, || wait.recv());
            ended.send(done.is_err()).unwrap();
        });
        let lost = lost.await.unwrap_err();
        assert!(lost.to_string().contains("/srv/hangs/a") && lost.hint().unwrap().contains("findmnt"), "{lost}");

        // Below the same place nothing is tried; elsewhere all goes on.
        let tried = blocking(move || at(place, Path::new("/srv/hangs/b"), || ()).map_err(|error| error.to_string()));
        assert!(tried.await.unwrap().unwrap_err().contains("/srv/hangs/a did not answer"));
        assert!(blocking(|| at(Path::new("/srv/other"), Path::new("/srv/other/a"), || ()).is_ok()).await.unwrap());

        go_on.send(()).unwrap();
        // What comes back after all hears that nobody waits, and the place is free again.
        assert!(end.recv().unwrap());
        assert!(blocking(move || at(place, path, || ()).is_ok()).await.unwrap());
    }

    #[tokio::test]
    async fn what_hangs_is_tried_again_after_a_while_for_its_name_may_lead_elsewhere() {
        let place = Path::new("/srv/turned");
        let (_go_on, wait) = mpsc::channel::<()>();
        let lost = blocking_for(Duration::from_millis(20), move || at(place, place, || wait.recv()).is_ok()).await;
        assert!(lost.is_err());
        let tried = || blocking(move || at(place, place, || ()).is_ok());
        assert!(!tried().await.unwrap());
        // What hangs below it is another thing.
        assert!(!blocking(move || at(place, Path::new("/srv/turned/a"), || ()).is_ok()).await.unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !tried().await.unwrap() {
            assert!(Instant::now() < deadline, "it was not tried again");
            tokio::task::yield_now().await;
        }
        assert!(blocking(move || at(place, Path::new("/srv/turned/a"), || ()).is_ok()).await.unwrap());
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test's slow disk")]
    async fn what_takes_long_in_many_steps_is_waited_for() {
        // Long against what a busy machine may keep a thread waiting; all steps together take longer.
        let patience = Duration::from_millis(800);
        let steps = blocking_for(patience, move || {
            let place = Path::new("/srv/slow");
            (0..6).map(|_| at(place, place, || thread::sleep(patience / 4)).is_ok()).filter(|done| *done).count()
        });
        assert_eq!(steps.await, Ok(6));
    }
}
