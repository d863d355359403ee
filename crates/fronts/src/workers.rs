//! The processes of nginx, as the system shows them: a master, and its workers, of which those of before a reload say so in
//! their title.

use std::{fs, path::Path};

/// What nginx writes into the title of a worker that finishes what it has, and takes nothing new.
const LEAVING: &str = "worker process is shutting down";

/// How many workers of a master are leaving. `None`: the system does not say.
pub(crate) fn leaving(master: i32) -> Option<u64> {
    let mut count = 0;
    for entry in fs::read_dir("/proc").ok()? {
        let folder = entry.ok()?.path();
        if !folder.file_name()?.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if parent(&folder) == Some(master) && title(&folder).is_some_and(|title| title.contains(LEAVING)) {
            count += 1;
        }
    }
    Some(count)
}

/// A process that ends meanwhile is none any more.
fn parent(folder: &Path) -> Option<i32> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name before may hold anything, brackets too.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn title(folder: &Path) -> Option<String> {
    fs::read(folder.join("cmdline")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
