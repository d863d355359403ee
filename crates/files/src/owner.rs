//! Whose a path is, in names: what may be read only by another user is not wrong, and the one who asks is told as whom to ask.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, lchown},
    path::Path,
};

/// The name of a user, or the number where the system knows no name for it.
pub fn user(uid: u32) -> String {
    let named = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| uid.to_string())
}

/// The user of this process, by name.
pub fn this_user() -> String {
    user(rustix::process::geteuid().as_raw())
}

/// Who owns a path or, where that may not be looked at or is not there, the nearest directory above it.
pub fn owner(path: &Path) -> Option<u32> {
    path.ancestors().find_map(|place| std::fs::metadata(place).ok()).map(|meta| meta.uid())
}

/// What to do where the file system kept this user from a path that is another user's. `None` for every other error, and
/// for the gate's own refusals, with which rights have nothing to do.
pub fn anothers(error: &io::Error, path: &Path) -> Option<String> {
    if error.kind() != io::ErrorKind::PermissionDenied || error.raw_os_error().is_none() {
        return None;
    }
    let owner = owner(path)?;
    if owner == rustix::process::geteuid().as_raw() {
        return None;
    }
    let (me, command) = (this_user(), "turnout \u{2026}");
    Some(match owner {
        0 => format!("only root may, and this was asked as {me}: `sudo {command}`"),
        _ => {
            let owner = user(owner);
            format!("only {owner} and root may, and this was asked as {me}: `sudo -u {owner} {command}`, or as root")
        }
    })
}

/// Whose a path is, or the nearest folder above it that can be looked at, and who may what there.
pub fn rights(path: &Path) -> Option<String> {
    let (place, meta) = path.ancestors().find_map(|place| Some((place, fs::metadata(place).ok()?)))?;
    Some(format!("{} belongs to {} and has mode {:03o}", place.display(), user(meta.uid()), meta.mode() & 0o7777))
}

/// What lets this user read what is root's, where it is the daemon's user that is kept out.
pub fn let_in(path: &Path) -> String {
    // What was refused is the path itself, or the nearest folder above it that can be looked at.
    let closed = path.ancestors().find(|place| fs::metadata(place).is_ok()).unwrap_or(path);
    let (mode, closed, me) = (if closed.is_dir() { "750" } else { "640" }, closed.display(), this_user());
    format!("where the daemon runs as {me}, it needs this: `chown root:{me} {closed}` and `chmod {mode} {closed}`")
}

/// Makes a folder, and those above it that are missing; each belongs to whom the folder belongs that it is made in.
///
/// # Errors
/// As [`fs::create_dir_all`].
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|place| fs::symlink_metadata(place).is_err()).collect();
    for place in missing.into_iter().rev().filter(|place| !place.as_os_str().is_empty()) {
        match fs::DirBuilder::new().mode(mode).create(place) {
            Ok(()) => give_to_owner_above(place)?,
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    if fs::metadata(path)?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Gives what root has just made to the owner of the folder that it lies in: a command of root's that works in the daemon's
/// folders leaves nothing there that the daemon may not write. Of any other user it is that user's own, and stays so.
///
/// # Errors
/// When it or the folder cannot be looked at, or not be given away.
pub fn give_to_owner_above(made: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (above, own) = (fs::metadata(above)?, fs::symlink_metadata(made)?);
    if (own.uid(), own.gid()) == (above.uid(), above.gid()) {
        return Ok(());
    }
    // The owner of the folder may have put a link in its place: what that leads to is not given away.
    lchown(made, Some(above.uid()), Some(above.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_belongs_to_whom_the_folder_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        make_folder(&state, 0o750).unwrap();
        // Another user than root can make nothing for others.
        let root = rustix::process::geteuid().is_root();
        if root {
            lchown(&state, Some(4242), Some(4243)).unwrap();
        }
        let folder = state.join("plans/inner");
        make_folder(&folder, 0o700).unwrap();
        make_folder(&folder, 0o700).unwrap();
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        give_to_owner_above(&file).unwrap();
        let of = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.uid(), meta.gid())).unwrap();
        for made in [state.join("plans"), folder.clone(), file.clone()] {
            assert_eq!(of(&made), of(&state), "{}", made.display());
        }
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        // A link is given away, not what it leads to.
        let (link, elsewhere) = (state.join("link"), dir.path().join("elsewhere"));
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        give_to_owner_above(&link).unwrap();
        assert_eq!((of(&link), of(&elsewhere).0), (of(&state), rustix::process::geteuid().as_raw()));
        assert_eq!(make_folder(&file, 0o700).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn users_have_names_or_numbers() {
        assert_eq!(user(0), "root");
        assert_eq!(user(4_000_000_123), "4000000123");
    }

    #[test]
    fn only_what_the_system_refused_is_a_matter_of_users() {
        let path = Path::new("/proc/1/nothing/here");
        assert_eq!(owner(path), Some(0));
        assert_eq!(anothers(&io::Error::from(io::ErrorKind::PermissionDenied), path), None);
        assert_eq!(anothers(&io::Error::from_raw_os_error(2), path), None);
        let denied = anothers(&io::Error::from_raw_os_error(13), path);
        // Run by root, it is this user's own.
        assert_eq!(denied.is_some(), !rustix::process::geteuid().is_root());
    }
}
