//! What somebody changed in the work tree by hand: it runs, and the commit alone would not say so.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Recorder;
use crate::{config::Repo, files, git, report::Reporter as _};

/// How long the look for changes by hand may take: it is told, and decides nothing.
const LOOK_BY_HAND: Duration = Duration::from_secs(30);

/// What lies in the work tree otherwise than in the commit, in words: it runs, and the commit alone would not say so.
pub(super) async fn by_hand(repo: &Repo, commit: &str, recorder: &Recorder) -> Vec<String> {
    const NAMED: usize = 5;
    /// Looks that have not come back: each repository costs one thread at most.
    static LOST: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let lost = || LOST.lock().unwrap_or_else(PoisonError::into_inner);
    let path = repo.real_path.clone();
    // It looks at whatever lies beside the files, mounts that hang among it.
    let changed = if lost().insert(path.clone()) {
        let looked = files::blocking(move || {
            let changed = git::changed_by_hand(&path).map_err(|error| error.to_string());
            lost().remove(&path);
            changed
        });
        match tokio::time::timeout(LOOK_BY_HAND, looked).await {
            Ok(looked) => looked.unwrap_or_else(|lost| Err(lost.to_string())),
            Err(_) => Err(format!("git did not tell within {} s", LOOK_BY_HAND.as_secs())),
        }
    } else {
        Err("git has not told yet, since an earlier deployment".to_owned())
    };
    let changed = match changed {
        Ok(changed) => changed,
        Err(why) => {
            recorder.warn(format!("whether files were changed by hand is not known: {why}"));
            return Vec::new();
        }
    };
    if changed.is_empty() {
        return Vec::new();
    }
    let more = if changed.len() > NAMED { format!(" and {} more", changed.len() - NAMED) } else { String::new() };
    let named = changed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let words = format!("changed by hand, not as in {}: {named}{more}", git::short(commit));
    recorder.info(words.clone());
    vec![words]
}
