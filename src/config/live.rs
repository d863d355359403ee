//! `repos.yaml` as it is now: read anew when the file changes; a broken edit keeps what was there.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    Secret,
    gather::{path_state, read_bounded, read_secret_file},
    mistake::{Mistake, Mistakes, Place},
    repos::{self, Repos, TokenSource},
};

/// A file changed this recently may change again without a different time stamp, so it is compared by content too.
const TOO_FRESH: Duration = Duration::from_secs(2);

/// The repositories with what reading them needed from outside.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The list.
    pub repos: Repos,
    /// Webhook secrets of single repositories, by name.
    pub secrets: HashMap<String, Secret>,
}

/// What [`LiveRepos::refresh`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file is as it was.
    Unchanged,
    /// A changed file was read.
    Reloaded,
    /// A changed file cannot be used; the list before it stays.
    Broken(Arc<Mistakes>),
}

/// A `repos.yaml` that is watched. Cheap to share and to ask: one `stat` where nothing changed.
pub struct LiveRepos {
    file: PathBuf,
    variables: HashMap<String, String>,
    state: Mutex<State>,
}

struct State {
    current: Arc<Loaded>,
    broken: Option<Arc<Mistakes>>,
    seen: Seen,
    /// Files with webhook secrets of the current list, as they were when read.
    secret_stamps: Vec<Option<Stamp>>,
}

#[derive(Clone, PartialEq, Eq, Default)]
struct Seen {
    stamp: Option<Stamp>,
    text: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl LiveRepos {
    /// Reads the file for the first time. `variables` answers `secret_env:`; the daemon's environment and `.env`.
    ///
    /// # Errors
    /// All mistakes: at the start nothing is there to fall back on.
    pub fn open(file: &Path, variables: HashMap<String, String>) -> Result<LiveRepos, Mistakes> {
        let (seen, loaded) = look(file, &variables);
        let current = Arc::new(loaded?);
        warn(&current);
        // None are known yet: the first look at them compares them with what was read here.
        let state = State { current, broken: None, seen, secret_stamps: Vec::new() };
        Ok(LiveRepos { file: file.to_path_buf(), variables, state: Mutex::new(state) })
    }

    /// Reads the file once, for a check: what is wrong with it, and the entries that are right all the same.
    pub fn open_sound(file: &Path, variables: HashMap<String, String>) -> (LiveRepos, Mistakes) {
        let shown = file.display().to_string();
        let (seen, loaded) = look(file, &variables);
        let (loaded, mistakes) = match loaded {
            Ok(loaded) => (loaded, Mistakes::default()),
            Err(mistakes) => {
                let text = seen.text.clone().unwrap_or_default();
                let repos = repos::parse_sound(&text, &shown, &path_state).map(|(repos, _)| repos).unwrap_or_default();
                (Loaded { secrets: present_secrets(&repos, &variables), repos }, mistakes)
            }
        };
        let broken = (!mistakes.0.is_empty()).then(|| Arc::new(mistakes.clone()));
        let state = State { current: Arc::new(loaded), broken, seen, secret_stamps: Vec::new() };
        (LiveRepos { file: file.to_path_buf(), variables, state: Mutex::new(state) }, mistakes)
    }

    /// The list as it was read, without another look at the file.
    pub fn checked(&self) -> Arc<Loaded> {
        self.lock().current.clone()
    }

    /// The list that counts now, after a look at the file.
    pub fn current(&self) -> Arc<Loaded> {
        self.refresh();
        self.lock().current.clone()
    }

    /// Looks at the file. A change is logged, a broken one once an edit.
    pub fn refresh(&self) -> Change {
        let mut state = self.lock();
        if !self.changed(&state.seen) && !secrets_changed(&state) {
            return Change::Unchanged;
        }
        // Taken before they are read, so that a write in between is seen next time.
        state.secret_stamps = secret_stamps(&state.current.repos);
        let (seen, loaded) = look(&self.file, &self.variables);
        let same_text = seen.text.is_some() && seen.text == state.seen.text;
        state.seen = seen;
        match loaded {
            Ok(loaded) => {
                // Paths and secret files may have changed while the text did not.
                let was_broken = state.broken.take().is_some();
                let same_repos = !was_broken && same_text && loaded.repos == state.current.repos;
                if same_repos && loaded.secrets == state.current.secrets {
                    return Change::Unchanged;
                }
                state.secret_stamps = secret_stamps(&loaded.repos);
                state.current = Arc::new(loaded);
                if same_repos {
                    tracing::info!("a webhook secret was read anew; the former one no longer counts");
                    return Change::Reloaded;
                }
                tracing::info!(file = %self.file.display(), repositories = state.current.repos.repos.len(), "read anew");
                warn(&state.current);
                Change::Reloaded
            }
            Err(mistakes) => {
                // The list stays, but a secret that was taken away or replaced must not count any longer.
                let secrets = present_secrets(&state.current.repos, &self.variables);
                if secrets != state.current.secrets {
                    state.current = Arc::new(Loaded { repos: state.current.repos.clone(), secrets });
                }
                if same_text && state.broken.as_deref() == Some(&mistakes) {
                    return Change::Unchanged;
                }
                let mistakes = Arc::new(mistakes);
                state.broken = Some(mistakes.clone());
                tracing::error!(file = %self.file.display(), "the edit is broken, the list before it stays:\n{mistakes}");
                Change::Broken(mistakes)
            }
        }
    }

    /// Reads a token or secret from where `repos.yaml` says it is.
    ///
    /// # Errors
    /// Why it cannot be read, in words; never the text itself.
    pub fn secret(&self, source: &TokenSource) -> Result<Secret, String> {
        secret_of(source, &self.variables)
    }

    /// What is wrong with the file as it is now, if it could not be read.
    pub fn broken(&self) -> Option<Arc<Mistakes>> {
        self.lock().broken.clone()
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn changed(&self, seen: &Seen) -> bool {
        let now = stamp(&self.file);
        if now != seen.stamp {
            return true;
        }
        let fresh = now.as_ref().is_some_and(Stamp::is_fresh);
        fresh && read_bounded(&self.file).ok() != seen.text
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced field by field with whole values; a panic elsewhere cannot leave it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn is_fresh(&self) -> bool {
        let modified = u64::try_from(self.modified.0).unwrap_or(0);
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
        // A time in the future says nothing, so it counts as fresh.
        age.map_or(true, |age| age < TOO_FRESH)
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let meta = fs::metadata(file).ok()?;
    Some(Stamp {
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        size: meta.size(),
        inode: meta.ino(),
    })
}

fn secret_files(repos: &Repos) -> impl Iterator<Item = (&str, &Path)> {
    repos.repos.iter().filter_map(|repo| match &repo.secret {
        Some(TokenSource::File(file)) => Some((repo.name.as_str(), file.as_path())),
        _ => None,
    })
}

fn secret_stamps(repos: &Repos) -> Vec<Option<Stamp>> {
    secret_files(repos).map(|(_, file)| stamp(file)).collect()
}

/// Whether a secret's file may hold another text than was read from it: by its stamp, and by its content where it was
/// written so recently that the stamp says nothing.
fn secrets_changed(state: &State) -> bool {
    let current = &state.current;
    let now = secret_stamps(&current.repos);
    let fresh = now.iter().map(|stamp| stamp.as_ref().is_some_and(Stamp::is_fresh));
    let differs = |(name, file): (&str, &Path)| read_secret_file(file).ok().as_ref() != current.secrets.get(name);
    now != state.secret_stamps || secret_files(&current.repos).zip(fresh).any(|(file, fresh)| fresh && differs(file))
}

/// The secrets as they are now. One that cannot be had is empty: nothing is signed with that.
fn present_secrets(repos: &Repos, variables: &HashMap<String, String>) -> HashMap<String, Secret> {
    let sources = repos.repos.iter().filter_map(|repo| Some((repo.name.clone(), repo.secret.as_ref()?)));
    sources.map(|(name, source)| (name, secret_of(source, variables).unwrap_or_default())).collect()
}

/// Reads the file as it is now. The stamp is taken before the text, so that a write in between is seen next time.
fn look(file: &Path, variables: &HashMap<String, String>) -> (Seen, Result<Loaded, Mistakes>) {
    let stamp = stamp(file);
    let shown = file.display().to_string();
    match read_bounded(file) {
        Ok(text) => {
            let loaded =
                repos::parse(&text, &shown, &path_state).and_then(|repos| with_secrets(repos, &shown, variables));
            (Seen { stamp, text: Some(text) }, loaded)
        }
        Err(error) => {
            let mistake = Mistake::new(Place::File(shown), "", format!("cannot be read: {error}"))
                .hint("copy repos.yaml.example there, or name another file with --repos");
            (Seen { stamp, text: None }, Err(Mistakes::one(mistake)))
        }
    }
}

fn with_secrets(repos: Repos, file: &str, variables: &HashMap<String, String>) -> Result<Loaded, Mistakes> {
    let mut secrets = HashMap::new();
    let mut mistakes = Mistakes::default();
    for repo in &repos.repos {
        let Some(source) = &repo.secret else { continue };
        let key = match source {
            TokenSource::Env(_) => "secret_env",
            TokenSource::File(_) => "secret_file",
        };
        let secret = secret_of(source, variables);
        match secret {
            Ok(secret) => {
                secrets.insert(repo.name.clone(), secret);
            }
            Err(message) => {
                let path = format!("{}.{key}", repo.name);
                mistakes.0.push(Mistake::new(Place::File(file.to_owned()), path, message));
            }
        }
    }
    mistakes.unless_any(Loaded { repos, secrets })
}

fn secret_of(source: &TokenSource, variables: &HashMap<String, String>) -> Result<Secret, String> {
    let secret = match source {
        TokenSource::Env(name) => variables
            .get(name)
            .map(|text| Secret::new(text.as_str()))
            .ok_or_else(|| format!("the variable {name} is not set"))?,
        TokenSource::File(path) => {
            read_secret_file(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        }
    };
    match secret.reveal().trim() {
        "" => Err("it is empty".to_owned()),
        _ => Ok(secret),
    }
}

fn warn(loaded: &Loaded) {
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
