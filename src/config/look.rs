//! A look at `repos.yaml` and what it names: whether anything has changed, and what counts then.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    gather::{PATIENCE, path_state, read_bounded, read_secret_file, unread},
    mistake::{Mistake, Mistakes, Place},
    repo_list::{RepoList, present_secrets, secret_files, secret_of, secret_stamps},
    repos::{self, Fallback, Repos, TokenSource},
    stamp::{Stamp, stamp},
};
use crate::files::{self, Lost};

/// Mistakes in the file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong.
    pub mistakes: Arc<Mistakes>,
    /// What counts instead, in words.
    pub consequence: String,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) stamp: Option<Stamp>,
    pub(super) text: Option<String>,
}

/// A look at the files, with what was known before.
pub(super) struct Looking {
    pub(super) file: PathBuf,
    pub(super) variables: Arc<HashMap<String, String>>,
    pub(super) current: Arc<RepoList>,
    pub(super) seen: Arc<Seen>,
    pub(super) secret_stamps: Vec<Option<Stamp>>,
    /// Read them also where nothing has changed.
    pub(super) anew: bool,
}

/// What a look has found.
pub(super) struct Found {
    pub(super) seen: Seen,
    /// The list that counts: this one, or the last one without a mistake.
    pub(super) loaded: RepoList,
    pub(super) secret_stamps: Vec<Option<Stamp>>,
    /// What is wrong.
    pub(super) broken: Option<Broken>,
}

impl Looking {
    /// Nothing where all is as it was.
    pub(super) fn look(&self) -> Option<Found> {
        let Looking { file, variables, current, seen: _, secret_stamps: _, anew } = self;
        if !anew && !self.changed() && !self.secrets_changed() {
            return None;
        }
        // Taken before they are read, so that a write in between is seen next time.
        let before = secret_stamps(&current.repos);
        let (seen_now, Read { sound, mistakes }) = look(file, variables, !current.repos.repos.is_empty());
        let stamps = |repos: &Repos| if *repos == current.repos { before.clone() } else { secret_stamps(repos) };
        match sound {
            Some(loaded) if mistakes.0.is_empty() => {
                let secret_stamps = stamps(&loaded.repos);
                Some(Found { seen: seen_now, loaded, secret_stamps, broken: None })
            }
            // Of a file with mistakes what can be taken.
            sound => {
                let sound = sound.map(|loaded| loaded.repos);
                let Fallback { repos, consequence } = repos::fallback(sound, &mistakes, &current.repos);
                // Also of an entry that stays as it was: a secret that was taken away or replaced must not count any
                // longer.
                let secrets = present_secrets(&repos, variables);
                let broken = Some(Broken { mistakes: Arc::new(mistakes), consequence });
                let secret_stamps = stamps(&repos);
                Some(Found { seen: seen_now, loaded: RepoList { repos, secrets }, secret_stamps, broken })
            }
        }
    }

    fn changed(&self) -> bool {
        let now = stamp(&self.file);
        if now != self.seen.stamp {
            return true;
        }
        let fresh = now.as_ref().is_some_and(Stamp::is_fresh);
        fresh && read_bounded(&self.file).ok() != self.seen.text
    }

    /// Whether a secret's file may hold another text than was read from it: by its stamp, and by its content where it was
    /// written so recently that the stamp says nothing.
    fn secrets_changed(&self) -> bool {
        let current = &self.current;
        let now = secret_stamps(&current.repos);
        let fresh = now.iter().map(|stamp| stamp.as_ref().is_some_and(Stamp::is_fresh));
        let differs = |(name, file): (&str, &Path)| read_secret_file(file).ok().as_ref() != current.secrets.get(name);
        now != self.secret_stamps || secret_files(&current.repos).zip(fresh).any(|(file, fresh)| fresh && differs(file))
    }
}

/// What was found in a file.
pub(super) struct Read {
    /// The entries without a mistake. `None`: it cannot be read at all.
    pub(super) sound: Option<RepoList>,
    pub(super) mistakes: Mistakes,
}

/// Whether a text holds nothing at all: what an editor leaves on a full disk, and for a moment whoever writes in place. An
/// empty list that is meant says `{}` or `repos: {}`.
pub(super) fn is_blank(text: &str) -> bool {
    let says_nothing = |line: &str| line.is_empty() || line.starts_with('#') || matches!(line, "---" | "null" | "~");
    text.lines().all(|line| says_nothing(line.trim()))
}

/// Reads the file for the first time. A file system that hangs is waited for once, and then read past.
pub(super) fn look_patiently(file: &Path, variables: &Arc<HashMap<String, String>>, before: bool) -> (Seen, Read) {
    loop {
        let (looking, variables) = (file.to_path_buf(), Arc::clone(variables));
        match files::waited(PATIENCE, move || look(&looking, &variables, before)) {
            Ok(found) => return found,
            Err(Lost::Hangs(_)) => {}
            Err(died @ Lost::Died(_)) => {
                let mistake = Mistake::new(Place::File(file.display().to_string()), "", died.to_string());
                return (Seen::default(), Read { sound: None, mistakes: Mistakes::one(mistake) });
            }
        }
    }
}

/// Reads the file as it is now. The stamp is taken before the text, so that a write in between is seen next time. `before`:
/// there were entries; then a file that holds nothing has a mistake.
pub(super) fn look(file: &Path, variables: &HashMap<String, String>, before: bool) -> (Seen, Read) {
    let stamp = stamp(file);
    let shown = file.display().to_string();
    match read_bounded(file) {
        Ok(text) if before && is_blank(&text) => {
            let mistake = Mistake::new(Place::File(shown), "", "holds nothing, not even an empty list".to_owned())
                .hint("write `repos: {}` if no repository is to be deployed any more");
            (Seen { stamp, text: Some(text) }, Read { sound: None, mistakes: Mistakes::one(mistake) })
        }
        Ok(text) => {
            let read = match repos::parse_sound(&text, &shown, &path_state) {
                Ok((repos, mistakes)) => with_secrets(repos, mistakes, &shown, variables),
                Err(mistakes) => Read { sound: None, mistakes },
            };
            (Seen { stamp, text: Some(text) }, read)
        }
        Err(error) => {
            let mistake = Mistake::new(Place::File(shown), "", format!("cannot be read: {error}"));
            let mistake = match unread(&error, file) {
                Some(hint) => mistake.hint(hint),
                None => mistake,
            };
            (Seen { stamp, text: None }, Read { sound: None, mistakes: Mistakes::one(mistake) })
        }
    }
}

/// Reads the secrets of the entries. One without its secret has a mistake.
fn with_secrets(mut repos: Repos, mut mistakes: Mistakes, file: &str, variables: &HashMap<String, String>) -> Read {
    let mut secrets = HashMap::new();
    repos.repos.retain(|repo| {
        let Some(source) = &repo.secret else { return true };
        let key = match source {
            TokenSource::Env(_) => "secret_env",
            TokenSource::File(_) => "secret_file",
        };
        match secret_of(source, variables) {
            Ok(secret) => {
                secrets.insert(repo.name.clone(), secret);
                true
            }
            Err(message) => {
                let path = format!("{}.{key}", repo.name);
                mistakes.0.push(Mistake::new(Place::File(file.to_owned()), path, message));
                false
            }
        }
    });
    Read { sound: Some(RepoList { repos, secrets }), mistakes }
}
