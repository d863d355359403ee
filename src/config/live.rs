//! `repos.yaml` as it is now: read anew when the file changes. A mistake costs the entry it is in, which stays as it was
//! before; what cannot be read at all leaves the last good list in force, over a restart as well.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use super::{
    Secret,
    gather::{PATIENCE, path_state, read_bounded},
    look::{Broken, Found, Looking, Read, Seen, is_blank, look_patiently},
    mistake::Mistakes,
    repo_list::{RepoList, present_secrets, secret_of},
    repos::{self, Fallback, TokenSource},
    stamp::Stamp,
    turn::{MOMENT, Turn},
};
use crate::files::{self, Lost};

/// How often a file with mistakes is read anew though it is as it was: what it names may have been put right.
const ANEW: Duration = Duration::from_secs(4);

/// What [`LiveRepos::refresh`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file is as it was.
    Unchanged,
    /// A changed file was read.
    Reloaded,
    /// A changed file has mistakes; see [`LiveRepos::broken`] for what counts instead.
    Broken(Arc<Mistakes>),
}

/// A `repos.yaml` that is watched. Cheap to share and to ask: one `stat` where nothing changed.
pub struct LiveRepos {
    known: Arc<Known>,
    turn: Turn,
}

struct Known {
    file: PathBuf,
    variables: Arc<HashMap<String, String>>,
    /// Where the last list without a mistake is kept for the next start.
    last_good: Option<PathBuf>,
    state: Mutex<Guarded>,
    /// How often the file was found changed.
    changes: watch::Sender<u64>,
}

struct Guarded {
    current: Arc<RepoList>,
    broken: Option<Broken>,
    seen: Arc<Seen>,
    /// Files with webhook secrets of the current list, as they were when read.
    secret_stamps: Vec<Option<Stamp>>,
    /// When the file was read last.
    read: Instant,
    /// When the file had no mistake last.
    good: SystemTime,
}

impl LiveRepos {
    /// Reads the file for the first time. `variables` answers `secret_env:`; the daemon's environment and `.env`.
    ///
    /// # Errors
    /// All mistakes: at the start nothing is there to fall back on.
    pub fn open(file: &Path, variables: HashMap<String, String>) -> Result<LiveRepos, Mistakes> {
        let variables = Arc::new(variables);
        let (seen, Read { sound, mistakes }) = look_patiently(file, &variables, false);
        let live = LiveRepos::of(file, variables, sound.unwrap_or_default(), None, seen, None, None);
        warn(&live.checked());
        mistakes.unless_any(live)
    }

    /// Reads the file for a daemon, which is to start whatever somebody wrote into it: entries without a mistake count,
    /// and for the others the list that `last_good` kept. From then on that is kept there. Where there is neither, the list
    /// is empty until the file is repaired.
    ///
    /// # Errors
    /// There is no such file, and no list was kept: the daemon was not set up yet, or its settings name the wrong place.
    pub fn open_with(file: &Path, variables: HashMap<String, String>, last_good: &Path) -> Result<LiveRepos, Mistakes> {
        let variables = Arc::new(variables);
        let before = read_bounded(last_good).is_ok_and(|text| !is_blank(&text));
        let (seen, Read { sound, mistakes }) = look_patiently(file, &variables, before);
        if mistakes.0.is_empty() {
            let live = LiveRepos::of(file, variables, sound.unwrap_or_default(), None, seen, Some(last_good), None);
            let seen = Arc::clone(&live.known.lock().seen);
            live.known.keep(&seen);
            warn(&live.checked());
            return Ok(live);
        }
        let good = match read_bounded(last_good) {
            Ok(text) => {
                let shown = last_good.display().to_string();
                let sound = repos::parse_sound(&text, &shown, &path_state);
                Some(sound.map(|(repos, _)| repos).unwrap_or_default())
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %last_good.display(), "the last good list cannot be read: {error}");
                }
                None
            }
        };
        let known = good.is_some();
        let sound = sound.map(|loaded| loaded.repos);
        let Fallback { repos, consequence } = repos::fallback(sound, &mistakes, &good.unwrap_or_default());
        let looking = file.to_path_buf();
        let there = files::waited(PATIENCE, move || {
            files::at(&looking, &looking, || fs::symlink_metadata(&looking)).flatten().map(drop)
        });
        if !known && matches!(there, Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound) {
            return Err(mistakes);
        }
        tracing::error!(file = %file.display(), "repos.yaml has a mistake; {consequence}:\n{mistakes}");
        let loaded = RepoList { secrets: present_secrets(&repos, &variables), repos };
        let broken = Broken { mistakes: Arc::new(mistakes), consequence };
        // It is written anew with each list that has no mistake.
        let kept = fs::metadata(last_good).and_then(|meta| meta.modified()).ok();
        Ok(LiveRepos::of(file, variables, loaded, Some(broken), seen, Some(last_good), kept))
    }

    fn of(
        file: &Path,
        variables: Arc<HashMap<String, String>>,
        loaded: RepoList,
        broken: Option<Broken>,
        seen: Seen,
        last_good: Option<&Path>,
        good: Option<SystemTime>,
    ) -> LiveRepos {
        let current = Arc::new(loaded);
        let good = good.unwrap_or_else(now);
        // No stamps of secrets are known yet: the first look at them compares them with what was read here.
        let (seen, secret_stamps, read) = (Arc::new(seen), Vec::new(), Instant::now());
        let state = Guarded { current, broken, seen, secret_stamps, read, good };
        let last_good = last_good.map(Path::to_path_buf);
        let known = Known {
            file: file.to_path_buf(),
            variables,
            last_good,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
        };
        LiveRepos { known: Arc::new(known), turn: Turn::default() }
    }

    /// Reads the file once, as the daemon reads it that keeps its list in `last_good`: what is wrong with it, and the
    /// entries that are right all the same.
    pub fn open_sound(file: &Path, variables: HashMap<String, String>, last_good: &Path) -> (LiveRepos, Mistakes) {
        let variables = Arc::new(variables);
        let before = match read_bounded(last_good) {
            Ok(text) => !is_blank(&text),
            // What may not be read is there; what it holds, the daemon knows.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        let (seen, Read { sound, mistakes }) = look_patiently(file, &variables, before);
        let consequence = "entries without a mistake are looked at".to_owned();
        let broken = Broken { mistakes: Arc::new(mistakes.clone()), consequence };
        let broken = Some(broken).filter(|broken| !broken.mistakes.0.is_empty());
        (LiveRepos::of(file, variables, sound.unwrap_or_default(), broken, seen, None, None), mistakes)
    }

    /// Has a look count for so long; at first it counts for nothing.
    #[must_use]
    pub fn looking_every(self, counts: Duration) -> LiveRepos {
        LiveRepos { turn: Turn::counting(counts), ..self }
    }

    /// The list as it was read, without another look at the file.
    pub fn checked(&self) -> Arc<RepoList> {
        self.known.lock().current.clone()
    }

    /// The list that counts now, after a look at the file. While its disk is slow, or another one looks for longer than a
    /// moment, the list that is known.
    pub fn current(&self) -> Arc<RepoList> {
        self.refresh();
        self.known.lock().current.clone()
    }

    /// Looks at the file. A change is logged, a broken one once an edit.
    pub fn refresh(&self) -> Change {
        // Only who has the turn changes the state.
        let Some(mine) = self.turn.take() else { return Change::Unchanged };
        let (looking, known) = (self.known.looking(), Arc::clone(&self.known));
        let changed = files::begun(
            MOMENT,
            PATIENCE,
            move || looking.look(),
            move |looked| {
                let _mine = mine;
                match looked {
                    Ok(None) => Change::Unchanged,
                    Ok(Some(found)) => known.take(found),
                    // What hangs was named in the log. The next look does not wait for it, and finds what is to be had.
                    Err(Lost::Hangs(_)) => Change::Unchanged,
                    Err(died @ Lost::Died(_)) => {
                        tracing::error!(file = %known.file.display(), "{died}");
                        Change::Unchanged
                    }
                }
            },
        );
        // What comes later counts then.
        changed.unwrap_or(Change::Unchanged)
    }

    /// Reads a token or secret from where `repos.yaml` says it is.
    ///
    /// # Errors
    /// Why it cannot be read, in words; never the text itself.
    pub fn secret(&self, source: &TokenSource) -> Result<Secret, String> {
        secret_of(source, &self.known.variables)
    }

    /// What is wrong with the file as it is now, if anything is, and what counts instead.
    pub fn broken(&self) -> Option<Broken> {
        self.known.lock().broken.clone()
    }

    /// When the file had no mistake last: what a mistake leaves as it was is of that time.
    pub fn good_at(&self) -> SystemTime {
        self.known.lock().good
    }

    /// Changes with every look that finds another list, or other mistakes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.known.changes.subscribe()
    }

    /// The file that is read: `repos.yaml`.
    pub fn file(&self) -> &Path {
        &self.known.file
    }
}

impl Known {
    /// What the next look begins with.
    fn looking(&self) -> Looking {
        let state = self.lock();
        Looking {
            file: self.file.clone(),
            variables: Arc::clone(&self.variables),
            current: Arc::clone(&state.current),
            seen: Arc::clone(&state.seen),
            secret_stamps: state.secret_stamps.clone(),
            anew: state.broken.is_some() && state.read.elapsed() >= ANEW,
        }
    }

    /// Takes what a look has found, and tells whoever waits for it.
    fn take(&self, found: Found) -> Change {
        let change = self.took(found);
        if change != Change::Unchanged {
            self.changes.send_modify(|count| *count += 1);
        }
        change
    }

    fn took(&self, found: Found) -> Change {
        let Found { seen, loaded, secret_stamps, broken } = found;
        let mut state = self.lock();
        let same_text = seen.text == state.seen.text;
        let seen = Arc::new(seen);
        (state.seen, state.secret_stamps, state.read) = (Arc::clone(&seen), secret_stamps, Instant::now());
        let same_repos = loaded.repos == state.current.repos;
        let same_secrets = loaded.secrets == state.current.secrets;
        if !(same_repos && same_secrets) {
            state.current = Arc::new(loaded);
        }
        if let Some(Broken { mistakes, consequence }) = broken {
            if same_text && state.broken.as_ref().is_some_and(|broken| broken.mistakes == mistakes) {
                return Change::Unchanged;
            }
            tracing::error!(file = %self.file.display(), "repos.yaml has a mistake; {consequence}:\n{mistakes}");
            state.broken = Some(Broken { mistakes: mistakes.clone(), consequence });
            return Change::Broken(mistakes);
        }
        state.good = now();
        // Paths and secret files may have changed while the text did not.
        let as_it_was = state.broken.take().is_none() && same_text && same_repos;
        if as_it_was && same_secrets {
            return Change::Unchanged;
        }
        if as_it_was {
            tracing::info!("a webhook secret was read anew; the former one no longer counts");
            return Change::Reloaded;
        }
        let current = Arc::clone(&state.current);
        drop(state);
        self.keep(&seen);
        tracing::info!(file = %self.file.display(), repositories = current.repos.repos.len(), "repos.yaml was read anew");
        warn(&current);
        Change::Reloaded
    }

    /// Keeps a list without mistakes for the next start.
    fn keep(&self, seen: &Arc<Seen>) {
        let Some(file) = &self.last_good else { return };
        let (seen, writing) = (Arc::clone(seen), file.clone());
        let kept = files::waited(PATIENCE, move || {
            let Some(text) = &seen.text else { return Ok(()) };
            if read_bounded(&writing).is_ok_and(|kept| kept == *text) {
                return Ok(());
            }
            files::at(&writing, &writing, || write_private(&writing, text)).flatten()
        });
        if let Err(error) = kept.unwrap_or_else(|lost| Err(lost.into())) {
            tracing::warn!(
                file = %file.display(),
                "the list cannot be kept for a start with a broken repos.yaml: {error}"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        // The state is replaced field by field with whole values; a panic elsewhere cannot leave it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "told to people, and waited for by nobody")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes a file that the daemon's user alone may read, as a whole or not at all.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let beside = file.with_extension("new");
    let mut new = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

fn warn(loaded: &RepoList) {
    for warning in &loaded.repos.warnings {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new(text: &str) -> (Bench, LiveRepos) {
            let dir = tempfile::tempdir().unwrap();
            let bench = Bench { dir };
            for name in ["shop", "blog"] {
                fs::create_dir(bench.dir.path().join(name)).unwrap();
            }
            bench.write(text);
            let live = LiveRepos::open(&bench.file(), HashMap::new()).unwrap();
            (bench, live)
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("repos.yaml")
        }

        fn write(&self, text: &str) {
            fs::write(self.file(), text.replace("$", &self.dir.path().display().to_string())).unwrap();
        }
    }

    fn names(live: &LiveRepos) -> Vec<String> {
        live.current().repos.repos.iter().map(|repo| repo.name.clone()).collect()
    }

    #[test]
    fn an_edit_counts_at_once() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        assert_eq!(live.refresh(), Change::Unchanged);
        bench.write("shop: $/shop\nblog: $/blog\n");
        assert_eq!(names(&live), ["shop", "blog"]);
        // Same length, same second, same inode: only the content differs.
        bench.write("shop: $/shop\nblag: $/blog\n");
        assert_eq!(names(&live), ["shop", "blag"]);
    }

    #[test]
    fn a_broken_edit_keeps_the_old_list_and_is_told_once() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        bench.write("shop: $/shop\nblog: [\n");
        assert!(matches!(live.refresh(), Change::Broken(_)));
        assert_eq!(live.refresh(), Change::Unchanged);
        assert_eq!(names(&live), ["shop"]);
        assert!(live.broken().is_some());
        bench.write("shop: $/shop\nblog: $/missing\n");
        assert!(matches!(live.refresh(), Change::Broken(_)));
        bench.write("blog: $/blog\n");
        assert_eq!(live.refresh(), Change::Reloaded);
        assert_eq!(names(&live), ["blog"]);
        assert!(live.broken().is_none());
    }

    #[test]
    fn a_file_that_vanishes_keeps_the_old_list() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        fs::remove_file(bench.file()).unwrap();
        assert!(matches!(live.refresh(), Change::Broken(_)));
        assert_eq!(live.refresh(), Change::Unchanged);
        assert_eq!(names(&live), ["shop"]);
        bench.write("shop: $/shop\n");
        live.refresh();
        assert!(live.broken().is_none());
    }

    #[test]
    fn a_file_that_was_emptied_keeps_the_old_list_and_an_empty_list_does_not() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        for nothing in ["", "\n\n", "# shop: away\n", "---\n", "null\n"] {
            bench.write(nothing);
            live.refresh();
            assert_eq!(names(&live), ["shop"], "{nothing:?}");
            assert!(live.broken().is_some(), "{nothing:?}");
        }
        bench.write("repos: {}\n");
        assert_eq!(live.refresh(), Change::Reloaded);
        assert_eq!(names(&live), [""; 0]);
        bench.write("# nothing yet\n");
        live.refresh();
        assert!(live.broken().is_none(), "there was nothing before either");
    }

    #[test]
    fn a_check_reads_an_emptied_file_as_the_daemon_does() {
        let (bench, _) = Bench::new("");
        let kept = bench.dir.path().join("kept.yaml");
        let wrong = || LiveRepos::open_sound(&bench.file(), HashMap::new(), &kept).1;
        assert!(wrong().0.is_empty(), "no daemon ever had a list");
        fs::write(&kept, "# nothing yet\n").unwrap();
        assert!(wrong().0.is_empty(), "there was nothing before either");
        fs::write(&kept, "shop: /srv/shop\n").unwrap();
        assert!(wrong().to_string().contains("holds nothing, not even an empty list"), "{}", wrong());
        bench.write("repos: {}\n");
        assert!(wrong().0.is_empty(), "an empty list is meant");
    }

    #[test]
    fn a_daemon_starts_whatever_is_in_its_first_list() {
        let dir = tempfile::tempdir().unwrap();
        let (file, kept) = (dir.path().join("repos.yaml"), dir.path().join("kept.yaml"));
        let open = || LiveRepos::open_with(&file, HashMap::new(), &kept);
        assert!(open().is_err(), "there is no file at all");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &file).unwrap();
        for wrong in ["a link that leads nowhere", "shop: [\n", "shop: relative\n", "repos: 7\n", "\u{0}", "a folder"] {
            match wrong {
                "a folder" => {
                    fs::remove_file(&file).unwrap();
                    fs::create_dir(&file).unwrap();
                }
                "a link that leads nowhere" => {}
                text => {
                    let _ = fs::remove_file(&file);
                    fs::write(&file, text).unwrap();
                }
            }
            let live = open().unwrap();
            assert_eq!(names(&live), [""; 0], "{wrong}");
            assert!(live.broken().unwrap().consequence.contains("nothing is deployed"), "{wrong}");
        }
        let live = open().unwrap();
        fs::remove_dir(&file).unwrap();
        fs::write(&file, format!("shop: {}\n", dir.path().display())).unwrap();
        assert_eq!(names(&live), ["shop"]);
        assert!(live.broken().is_none());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "set as the time of a file")]
    fn a_secret_file_counts_as_it_is_now() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        let file = bench.dir.path().join("hook");
        let secret = |text: &str| {
            fs::write(&file, text).unwrap();
            live.current().secrets["shop"].clone()
        };
        fs::write(&file, "first").unwrap();
        bench.write("shop: { path: $/shop, secret_file: $/hook }\n");
        assert_eq!(live.current().secrets["shop"], Secret::new("first"));
        // Same length, same second, same inode.
        assert_eq!(secret("other\n"), Secret::new("other"));
        let past = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
        live.refresh();
        assert_eq!(live.refresh(), Change::Unchanged);
        // Renamed into place, with an old time stamp.
        let new = bench.dir.path().join("new");
        fs::write(&new, "third").unwrap();
        fs::File::options().write(true).open(&new).unwrap().set_modified(past).unwrap();
        fs::rename(&new, &file).unwrap();
        assert_eq!(live.current().secrets["shop"], Secret::new("third"));
        // Taken away: the list stays, nothing is signed with the former secret any more.
        fs::remove_file(&file).unwrap();
        assert!(matches!(live.refresh(), Change::Broken(_)));
        assert_eq!(live.current().secrets["shop"], Secret::default());
        assert_eq!(secret("fourth"), Secret::new("fourth"));
        assert!(live.broken().is_none());
    }

    #[test]
    fn a_secret_that_is_not_there_is_a_mistake() {
        let (bench, live) = Bench::new("shop: $/shop\n");
        bench.write("shop: { path: $/shop, secret_env: SHOP_SECRET }\n");
        let Change::Broken(mistakes) = live.refresh() else { panic!() };
        assert!(mistakes.to_string().contains("SHOP_SECRET is not set"), "{mistakes}");
        let variables = HashMap::from([("SHOP_SECRET".to_owned(), "abc".to_owned())]);
        let live = LiveRepos::open(&bench.file(), variables).unwrap();
        assert_eq!(live.current().secrets["shop"], Secret::new("abc"));
    }
}
