//! The walls that systemd puts round the daemon, and how a place is let through them.

use std::path::Path;

use super::Failure;
use crate::git::GitError;

/// What to do so that the daemon of `turnout.service` may write this work tree: the folder that holds it is opened. A path
/// that is not there yet would keep the service from starting (status 226/NAMESPACE), which the `-` prevents, and would stay
/// closed where the first deployment is to make it; the folder that holds it is there.
pub fn let_write(tree: &Path) -> String {
    let opened = tree.parent().filter(|above| above.parent().is_some()).unwrap_or(tree);
    // There is nothing between such a one and the whole disk.
    let first = if opened == tree { ", once it is made" } else { "" };
    format!(
        "`systemctl edit turnout`: [Service], ReadWritePaths=-{}{first}; then `systemctl restart turnout`",
        opened.display()
    )
}

/// A fetch that failed, with what to do where the work tree could not be written for a wall.
pub(super) fn told(error: GitError, tree: &Path) -> Failure {
    let walled = error.is_read_only();
    let failure = Failure::from(error);
    if !walled {
        return failure;
    }
    failure.hint(format!("where it is turnout.service that may not write there: {}", let_write(tree)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_is_there_before_the_first_clone() {
        assert!(let_write(Path::new("/data/shop")).contains("ReadWritePaths=-/data;"));
        assert!(let_write(Path::new("/home/me/shop")).contains("ReadWritePaths=-/home/me;"));
        // Not the whole disk.
        assert!(let_write(Path::new("/shop")).contains("ReadWritePaths=-/shop, once it is made;"));
    }

    #[test]
    fn a_disk_that_is_closed_is_told_with_what_opens_it() {
        let message = "Read-only file system (os error 30)".to_owned();
        let closed = GitError::Other { doing: "create a folder in /data".to_owned(), message };
        let failure = told(closed, Path::new("/data/shop"));
        assert!(failure.hint.is_some_and(|hint| hint.contains("ReadWritePaths=-/data;")));
        let other = GitError::Other { doing: "create a folder in /data".to_owned(), message: "no".to_owned() };
        assert_eq!(told(other, Path::new("/data/shop")).hint, None);
    }
}
