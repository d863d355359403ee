//! A secret in a file, as it is now: the former one stops counting when the file changes.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    Secret,
    gather::read_secret_file,
    live::{Stamp, stamp},
};

/// The daemon's webhook secret, where it is kept in a file. One `stat` where nothing changed.
pub struct LiveSecret {
    file: PathBuf,
    seen: Mutex<(Option<Stamp>, Secret)>,
}

impl LiveSecret {
    /// Watches a file. `secret` is what was read from it.
    pub fn new(file: &Path, secret: Secret) -> LiveSecret {
        // No stamp is known yet: the first look compares it with what was read.
        LiveSecret { file: file.to_path_buf(), seen: Mutex::new((None, secret)) }
    }

    /// The secret as it is now; empty where the file cannot be read or says nothing: nothing is signed with that.
    pub fn current(&self) -> Secret {
        // Taken before the text is read, so that a write in between is seen next time.
        let now = stamp(&self.file);
        // Only whole values are written under this lock.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = now.as_ref().is_none_or(Stamp::is_fresh);
        if now == seen.0 && !fresh {
            return seen.1.clone();
        }
        let secret = match read_secret_file(&self.file) {
            Ok(secret) if !secret.reveal().trim().is_empty() => secret,
            Ok(_) => Secret::default(),
            Err(error) => {
                if !seen.1.is_empty() {
                    tracing::error!(file = %self.file.display(), "the webhook secret cannot be read: {error}");
                }
                Secret::default()
            }
        };
        if secret != seen.1 {
            match secret.is_empty() {
                true => tracing::error!(
                    file = %self.file.display(),
                    "the webhook secret is gone: no delivery is taken until it is there again"
                ),
                false => tracing::info!(
                    file = %self.file.display(),
                    "the webhook secret was read anew; the former one no longer counts"
                ),
            }
        }
        *seen = (now, secret.clone());
        secret
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
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
