//! `gc.pid`: what keeps two repackings of a repository apart, git's own and ours (builtin/gc.c, `lock_repo_for_gc`).

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, test_kill_process};

/// An older one is a dead one's, for git as for us.
const OLD: Duration = Duration::from_secs(12 * 60 * 60);

/// Held until dropped.
pub(super) struct Hold(PathBuf);

/// Takes it; none where somebody else repacks.
pub(super) fn take(common: &Path) -> Result<Option<Hold>, String> {
    let (file, beside) = (common.join("gc.pid"), common.join("gc.pid.lock"));
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    let is_old = |file: &Path| {
        let written = fs::metadata(file).and_then(|found| found.modified());
        written.is_ok_and(|then| SystemTime::now().duration_since(then).is_ok_and(|age| age > OLD))
    };
    let mut fresh = match File::create_new(&beside) {
        Ok(fresh) => fresh,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // It lives for a moment only, except after a crash.
            if !is_old(&beside) {
                return Ok(None);
            }
            fs::remove_file(&beside).and_then(|()| File::create_new(&beside)).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    let gone = |beside: &Path| {
        let _ = fs::remove_file(beside);
    };
    if is_held(&file) && !is_old(&file) {
        gone(&beside);
        return Ok(None);
    }
    let text = format!("{} {}", std::process::id(), host());
    fresh.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, &file)).map_err(|error| {
        gone(&beside);
        failed(error)
    })?;
    Ok(Some(Hold(file)))
}

/// Whether a process that lives has it. One of another host cannot be asked, and counts as alive.
fn is_held(file: &Path) -> bool {
    let Ok(text) = fs::read_to_string(file) else { return false };
    let mut words = text.split_whitespace();
    let (pid, theirs) = (words.next().and_then(|word| word.parse().ok()).and_then(Pid::from_raw), words.next());
    theirs != Some(host().as_str()) || pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
