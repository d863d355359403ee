//! The processes of nginx, as the system shows them: a master, and its workers, of which those of before a reload say so in
//! their title.

use std::{collections::BTreeSet, fs, path::Path};

/// What nginx writes into the title of a worker.
const WORKER: &str = "worker process";
/// The same, of one that finishes what it has, and takes nothing new.
const LEAVING: &str = "worker process is shutting down";

/// What it writes into that of a master.
const MASTER: &str = "master process";

/// Whether a process is a master. `None`: the system does not say.
pub(crate) fn is_master(id: i32) -> Option<bool> {
    title(&Path::new("/proc").join(id.to_string())).map(|title| title.contains(MASTER))
}

/// How many workers of a master are leaving. `None`: the system does not say.
pub(crate) fn leaving(master: i32) -> Option<u64> {
    let count = children(master)?.iter().filter(|(_, title)| title.contains(LEAVING)).count();
    u64::try_from(count).ok()
}

/// The workers of a master that take requests; none where the system does not say.
pub(crate) fn working(master: i32) -> BTreeSet<i32> {
    let works = |(id, title): (i32, String)| (title.contains(WORKER) && !title.contains(LEAVING)).then_some(id);
    children(master).unwrap_or_default().into_iter().filter_map(works).collect()
}

/// A process's children, with their titles.
fn children(of: i32) -> Option<Vec<(i32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").ok()? {
        let folder = entry.ok()?.path();
        let id = folder.file_name().and_then(|name| name.to_string_lossy().parse().ok());
        let Some(id) = id.filter(|_| parent(&folder) == Some(of)) else { continue };
        found.extend(title(&folder).map(|title| (id, title)));
    }
    Some(found)
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
