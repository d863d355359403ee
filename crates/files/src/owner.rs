//! Whose a path is, in names: what may be read only by another user is not wrong, and the one who asks is told as whom to ask.

use std::{io, os::unix::fs::MetadataExt as _, path::Path};

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

#[cfg(test)]
mod tests {
    use super::*;

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
