//! A secret in a file, as it is now: the former one stops counting when the file changes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Secret,
    gather::{PATIENCE, read_secret_file},
    stamp::{Stamp, stamp},
    turn::{MOMENT, Turn},
};
use crate::files;

/// The daemon's webhook secret, where it is kept in a file. One `stat` where nothing changed.
pub struct LiveSecret {
    known: Arc<Known>,
    turn: Turn,
}

struct Known {
    file: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Clone)]
struct Seen {
    stamp: Option<Stamp>,
    secret: Secret,
    /// Why there is none, as it was told.
    told: String,
}

impl LiveSecret {
    /// Watches a file. `secret` is what was read from it.
    pub fn new(file: &Path, secret: Secret) -> LiveSecret {
        // No stamp is known yet: the first look compares it with what was read.
        let seen = Seen { stamp: None, secret, told: String::new() };
        let known = Known { file: file.to_path_buf(), seen: Mutex::new(seen) };
        LiveSecret { known: Arc::new(known), turn: Turn::default() }
    }

    /// Has a look count for so long; at first it counts for nothing.
    #[must_use]
    pub fn looking_every(self, counts: Duration) -> LiveSecret {
        LiveSecret { turn: Turn::counting(counts), ..self }
    }

    /// The secret as it is now; empty where the file cannot be read or says nothing: nothing is signed with that. While its
    /// disk is slow, what was known.
    pub fn current(&self) -> Secret {
        if let Some(mine) = self.turn.take() {
            let (known, before) = (Arc::clone(&self.known), self.known.seen().clone());
            let file = known.file.clone();
            let noted = files::begun(
                MOMENT,
                PATIENCE,
                move || look(&file, before),
                move |looked| {
                    let _mine = mine;
                    match looked {
                        Ok(Some(now)) => known.note(now),
                        Ok(None) => {}
                        // The next look finds that it hangs, and does not wait.
                        Err(lost) => {
                            tracing::error!(file = %known.file.display(), "the webhook secret cannot be read: {lost}");
                        }
                    }
                },
            );
            // What comes later counts then.
            let _later = noted;
        }
        self.known.seen().secret.clone()
    }
}

impl Known {
    fn note(&self, now: Seen) {
        let mut seen = self.seen();
        let file = self.file.display();
        if !now.told.is_empty() && now.told != seen.told {
            tracing::error!(%file, "the webhook secret cannot be read: {}", now.told);
        }
        if now.secret != seen.secret {
            match now.secret.is_empty() {
                true => tracing::error!(
                    %file,
                    "the webhook secret is gone: no delivery is taken until it is there again"
                ),
                false => tracing::info!(%file, "the webhook secret was read anew; the former one no longer counts"),
            }
        }
        *seen = now;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Only whole values are written under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file says now, if it may be something else.
fn look(file: &Path, before: Seen) -> Option<Seen> {
    // Taken before the text is read, so that a write in between is seen next time.
    let stamp = stamp(file);
    let fresh = stamp.as_ref().is_none_or(Stamp::is_fresh);
    if stamp == before.stamp && !fresh {
        return None;
    }
    let (secret, told) = match read_secret_file(file) {
        Ok(secret) if !secret.reveal().trim().is_empty() => (secret, String::new()),
        Ok(_) => (Secret::default(), String::new()),
        Err(error) => (Secret::default(), error.to_string()),
    };
    Some(Seen { stamp, secret, told })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "set as the time of a file")]
    fn it_is_what_the_file_says_now() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "first\n").unwrap();
        let live = LiveSecret::new(&file, Secret::new("first"));
        assert_eq!(live.current(), Secret::new("first"));
        // Same length, same second, same inode.
        fs::write(&file, "other\n").unwrap();
        assert_eq!(live.current(), Secret::new("other"));
        let past = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&file).unwrap().set_modified(past).unwrap();
        assert_eq!(live.current(), Secret::new("other"));
        for gone in ["", " \n"] {
            fs::write(&file, gone).unwrap();
            assert_eq!(live.current(), Secret::default());
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(live.current(), Secret::default());
        fs::write(&file, "third").unwrap();
        assert_eq!(live.current(), Secret::new("third"));
    }
}
