//! Packs loose objects. A server that only fetches has few; a git that pulls by hand leaves more.

use std::{
    fs,
    path::{Path, PathBuf},
};

use git2::{Oid, Repository};

use super::{
    nursery::Nursery,
    pack,
    work::{MOST_OBJECTS, Work},
};

/// How many there are, guessed as git does: from one of the 256 folders.
pub(super) fn estimate(objects: &Path) -> usize {
    in_folder(&objects.join("17"), "17").len() * 256
}

/// Packs them and removes the files. Gives how many.
pub(super) fn pack(repo: &Repository, work: &Work<'_>) -> Result<usize, String> {
    let told = |error: git2::Error| error.message().to_owned();
    let mut found: Vec<(Oid, PathBuf)> = Vec::new();
    for folder in 0..=255u8 {
        let prefix = format!("{folder:02x}");
        found.extend(in_folder(&work.objects.join(&prefix), &prefix));
    }
    found.truncate(MOST_OBJECTS);
    let nursery = Nursery::new(&work.objects)?;
    let mut builder = repo.packbuilder().map_err(told)?;
    // A deployment has the machine's other work beside it.
    builder.set_threads(1);
    builder.set_progress_callback(|_, _, _| work.goes_on()).map_err(told)?;
    for (id, _) in &found {
        work.go_on()?;
        builder.insert_object(*id, None).map_err(told)?;
    }
    builder.write(nursery.path(), 0o444).map_err(told)?;
    work.go_on()?;
    let name = builder.name().map_err(told)?.ok_or("the new pack has no name")?.to_owned();
    let index = nursery.settle(&name, &work.objects)?;
    let packed = pack::objects(&index)?;
    let mut count = 0;
    for (id, file) in found {
        // An object that was written again meanwhile is in the pack as well.
        if id.as_bytes().try_into().is_ok_and(|name: pack::Name| packed.contains_key(&name)) {
            fs::remove_file(&file).map_err(|error| format!("cannot remove {}: {error}", file.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

fn in_folder(folder: &Path, prefix: &str) -> Vec<(Oid, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |entry: &fs::DirEntry| {
        let rest = entry.file_name().to_str()?.to_owned();
        (rest.len() == 38).then(|| Oid::from_str(&format!("{prefix}{rest}")).ok()).flatten()
    };
    entries.flatten().filter_map(|entry| Some((named(&entry)?, entry.path()))).collect()
}
