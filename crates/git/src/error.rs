//! What can go wrong, in words that say what to do next. No message carries a credential. `path` is
//! the work tree unless it is said what else.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use super::stage::Stage;
use turnout_net::NetError;
pub(super) use turnout_report::redact::foreign as clean;
use turnout_report::{counted, redact::escape_controls, units};

/// Names at most this many files, branches or keys in one message.
const NAMED: usize = 10;

/// Why an update or a question to a repository failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitError {
    /// The caller gave up.
    #[error("the update of {} was cancelled; {stage}", path.display())]
    Cancelled {
        path: PathBuf,
        /// What came of it.
        stage: Stage,
    },
    /// The time for the whole update is over.
    #[error("the update of {} was not done after {after:?}; {stage}; raise the fetch timeout if the repository is large", path.display())]
    TimedOut {
        path: PathBuf,
        /// What came of it.
        stage: Stage,
        after: Duration,
    },
    /// The server said nothing for too long.
    #[error(
        "{peer} accepted the connection but sent nothing for {after:?}; is the server overloaded or is a firewall in between?"
    )]
    Stalled {
        /// `host:port`.
        peer: String,
        after: Duration,
    },
    /// Name resolution, connecting or the TLS handshake failed.
    #[error("cannot connect to {peer}: {message}")]
    Unreachable {
        /// `host:port`.
        peer: String,
        message: String,
    },
    /// The connection ended, or the server could not go on.
    #[error("fetch from {address} broke off: {message}")]
    BrokenOff {
        /// The address without credentials.
        address: String,
        /// What libgit2 says.
        message: String,
    },
    /// The server sends more than it may.
    #[error("{peer} sends more than {} as {what}, so the fetch was ended; if the repository is really that large, raise max_fetch \
             for it in repos.yaml", units::shown(*limit))]
    TooMuch {
        /// `host:port`, or the address.
        peer: String,
        /// What is too long.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The files of a commit are larger than they may be.
    #[error("the files to write in {} have {}, and {} are allowed, so nothing was written; if the repository is really that large, \
             raise max_checkout for it in repos.yaml", path.display(), units::shown(*size), units::shown(*limit))]
    TooLarge {
        path: PathBuf,
        /// Size of the repository's objects, in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A submodule lies on a host that nobody allowed.
    #[error(
        "{address} lies on another host than the repository that names it, {main}; if turnout may fetch from there, allow it in \
             repos.yaml: `submodule_hosts: [{host}]`"
    )]
    ForeignHost {
        /// The address without credentials.
        address: String,
        host: String,
        /// That of the repository.
        main: String,
    },
    /// The server sent us elsewhere.
    #[error("the remote redirects to another place, {to}; set that address as the remote if it is right")]
    RedirectedAway {
        /// The place, without credentials.
        to: String,
    },
    /// The address cannot be understood.
    #[error("the remote's address {address:?} cannot be used: {message}")]
    BadAddress {
        /// The address without credentials.
        address: String,
        message: String,
    },
    /// The server did not accept us.
    #[error("{address} refused access (tried: {tried}); {hint}")]
    Denied {
        /// The address without credentials.
        address: String,
        tried: String,
        hint: String,
    },
    /// The SSH server's key is not among the trusted ones.
    #[error("{message}; {hint}")]
    HostKey {
        /// What is wrong with it.
        message: String,
        /// The command that helps.
        hint: String,
    },
    /// The server's TLS certificate is not valid for its name, or nobody we trust has signed it.
    #[error(
        "the TLS certificate of {address} is not trusted ({message}); check the address and the clock, or add the signing authority to the system's trust store (update-ca-certificates)"
    )]
    Certificate {
        /// The address without credentials.
        address: String,
        /// What OpenSSL says.
        message: String,
    },
    /// There is no such repository on the server, or it is hidden from us.
    #[error("{address} was not found; check the address, and whether the credentials may read it")]
    NotFound {
        /// The address without credentials.
        address: String,
    },
    /// Nothing at the path and nothing to clone.
    #[error("{} does not exist or is empty, and no remote is configured to clone it from; set `remote` or put the work tree back", path.display())]
    Absent { path: PathBuf },
    /// Something else is at the path.
    #[error("{} is not a git work tree: {message}", path.display())]
    NotAWorkTree {
        path: PathBuf,
        /// What was found there, in words of git's library or ours.
        message: String,
    },
    /// The files belong to another user, so that hooks and settings in them are not ours.
    #[error("{0} belongs to another user than the one that turnout runs as, and git reads no such repository; `chown -R` it, or allow it, as turnout's user (sudo -u turnout): git config --global --add safe.directory {0}", path.display())]
    WrongOwner { path: PathBuf },
    /// A merge, rebase or the like was begun by hand and not ended.
    #[error("{0} is in the middle of a {1}; end it (git -C {0} {1} --continue) or give it up (--abort)", path.display(), what)]
    InTheMiddle {
        path: PathBuf,
        /// `merge`, `rebase`, …
        what: &'static str,
    },
    /// No branch is checked out and commits would be lost.
    #[error("{0} is not on a branch (detached at {commit}){reason}; run git -C {0} switch {branch}", path.display())]
    Detached {
        path: PathBuf,
        /// In its short form.
        commit: String,
        /// Why that matters here.
        reason: &'static str,
        /// The branch to switch to.
        branch: String,
    },
    /// The remote has no commit at all.
    #[error("{address} is empty: it has no branch yet; push something first")]
    EmptyRemote {
        /// The address without credentials.
        address: String,
    },
    /// The remote has no such branch.
    #[error("{address} has no branch {branch:?}{}", branches(there))]
    MissingBranch {
        /// The address without credentials.
        address: String,
        branch: String,
        /// Some that are there.
        there: Vec<String>,
    },
    /// The remote has nothing of that name.
    #[error("{address} has no branch, tag or commit {revision:?}{}", branches(there))]
    MissingRevision {
        /// The address without credentials.
        address: String,
        /// What was asked for.
        revision: String,
        /// Some branches and tags that are there.
        there: Vec<String>,
    },
    /// A commit cannot be looked for among so many branches and tags.
    #[error(
        "{address} has {names} branches and tags, and at most {most} are searched for a commit that begins with {digits}; give \
             the whole commit, or a branch or tag"
    )]
    TooManyNames {
        /// The address without credentials.
        address: String,
        /// What was asked for.
        digits: String,
        /// Branches and tags.
        names: usize,
        /// How many are searched.
        most: usize,
    },
    /// Both sides have commits that the other has not.
    #[error("{0} and its remote have diverged: {1} up to {local}, {behind} on the remote up to {remote}; \
             reconcile by hand, or set on_divergence to reset (give the local ones up) or rebase (put them on top)",
            path.display(), counted(*ahead, "local commit"))]
    Diverged {
        path: PathBuf,
        /// Short commit here.
        local: String,
        /// Short commit there.
        remote: String,
        /// Commits only here.
        ahead: usize,
        /// Commits only there.
        behind: usize,
    },
    /// The remote branch was set back to an older commit.
    #[error("the remote branch was set back from {local} to the older {remote} ({0} taken away); \
             set on_divergence to reset to follow it", counted(*dropped, "commit"))]
    Rewound {
        /// Short commit here.
        local: String,
        /// Short commit there.
        remote: String,
        /// How many commits were taken away.
        dropped: usize,
    },
    /// Files changed by hand stand in the way.
    #[error("local changes in {0} stand in the way of the update: {1}; commit, stash or restore them (git -C {0} status)",
            path.display(), list(files))]
    LocalChanges { path: PathBuf, files: Vec<String> },
    /// A commit brings a file that is the server's own.
    #[error("the commit brings {1}, which in {0} is the server's own file and not tracked: it would be overwritten; take it out of \
             the repository (`git rm --cached`), or move the server's away", path.display(), list(files))]
    ServerFile { path: PathBuf, files: Vec<String> },
    /// A submodule's work tree lies where files of the commit are to be.
    #[error("{1} in {0} is a submodule that the commit replaces by files of its own, and its work tree is in their way; take that \
             away (rm -rf; its commits stay in .git/modules), then deploy again", path.display(), list(folders))]
    ModuleInTheWay {
        path: PathBuf,
        /// Paths of the submodules.
        folders: Vec<String>,
    },
    /// A repository lies where files of the commit are to be.
    #[error("{1} in {0} is to become a file or a folder of its own, but a repository (a former submodule) lies there; \
             move it away (mv, or git -C {0} submodule deinit), then deploy again", path.display(), list(folders))]
    RepositoryInTheWay {
        path: PathBuf,
        /// Where they lie.
        folders: Vec<String>,
    },
    /// The system does not let us read or change a file.
    #[error("cannot read or change {}: {message}{owners}; let turnout write there (chown, chmod g+w, or setfacl -m u:USER:rwx on \
             the folder that holds it; in a systemd unit ReadWritePaths=), then deploy again", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        message: String,
        /// Whose it is and who we are; empty where that is not known.
        owners: String,
    },
    /// Files that cannot be brought into their form.
    #[error("{1} must pass through a program or a conversion on the way into {0}, so nothing was written: {advice}",
            path.display(), list(files))]
    Filtered {
        path: PathBuf,
        /// The files, each with its attribute.
        files: Vec<String>,
        /// Why they cannot, and what to do.
        advice: String,
    },
    /// A program that must convert a file failed.
    #[error("{file} in {}: the {way} program of filter {filter} failed: {reason}; run git -C {0} checkout -- {file} to see it \
             at work, and correct filter.{filter}.… in git's configuration", path.display())]
    Filter {
        path: PathBuf,
        file: String,
        /// The driver's name.
        filter: String,
        /// `clean` or `smudge`.
        way: &'static str,
        /// What came of it.
        reason: String,
    },
    /// Files kept in Git LFS whose content cannot be had.
    #[error("the content of {1} in {0} is kept in Git LFS and cannot be had ({reason}), so nothing was written: {advice}; \
             or run git lfs pull in {0} and deploy again", path.display(), list(files))]
    Lfs {
        path: PathBuf,
        files: Vec<String>,
        /// What the server says, or why there is none.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// Files that have not passed through their program.
    #[error("{1} in {0} hold what git stores (a pointer of Git LFS, or encrypted text), not the file itself; install the \
             filter's program and let it write the files (git lfs pull, git-crypt unlock) in {0}, then deploy again",
            path.display(), list(files))]
    Unfiltered {
        path: PathBuf,
        /// The files, each with its attribute.
        files: Vec<String>,
    },
    /// The index is in a form that libgit2 cannot read.
    #[error("the index of {} is a {form}, which turnout cannot read; run {command}, then deploy again", path.display())]
    IndexForm {
        path: PathBuf,
        /// What git calls it.
        form: &'static str,
        /// What turns it into an ordinary one.
        command: String,
    },
    /// A local commit does not fit on top.
    #[error(
        "local commit {commit} ({subject}) conflicts with the remote in {}; nothing was changed; rebase by hand",
        list(files)
    )]
    RebaseConflict {
        /// In its short form.
        commit: String,
        subject: String,
        files: Vec<String>,
    },
    /// A commit is not known here.
    #[error("commit {revision} is not in {}{}", path.display(), if *shallow { " (the clone is shallow; git fetch --unshallow brings the rest)" } else { "" })]
    UnknownCommit {
        path: PathBuf,
        /// What was asked for.
        revision: String,
        /// Whether the history is cut off.
        shallow: bool,
    },
    /// A submodule could not be brought to its commit.
    #[error("submodule {name}: {source}")]
    Submodule {
        /// Its path in the work tree above.
        name: String,
        source: Box<GitError>,
    },
    /// The disk is full.
    #[error("no space left on the device of {}; free some and deploy again", path.display())]
    NoSpace { path: PathBuf },
    /// There is some room, but less than a check-out needs.
    #[error("there is too little room for a check-out in {}: {why}; nothing was written; free some and deploy again", path.display())]
    Tight {
        path: PathBuf,
        /// What is lacking.
        why: String,
    },
    /// Somebody else works on the repository.
    #[error("{message}")]
    Busy {
        /// Who or what, and what to do about it.
        message: String,
    },
    /// Anything else; the message is libgit2's.
    #[error("{doing}: {message}")]
    Other {
        /// What was being done.
        doing: String,
        /// What came of it.
        message: String,
    },
}

impl GitError {
    /// Whether a disk, or what stands before it, lets nothing be written. libgit2 reports that as text only.
    pub fn is_read_only(&self) -> bool {
        let text = "Read-only file system";
        match self {
            Self::Other { message, .. } | Self::NotWritable { message, .. } => message.contains(text),
            _ => false,
        }
    }

    /// Something failed that has no name of its own.
    pub(super) fn other(doing: impl Into<String>, message: impl ToString) -> Self {
        Self::Other { doing: doing.into(), message: clean(&message.to_string()) }
    }

    /// A transfer that ended in the middle.
    pub(super) fn broken_off(address: &dyn std::fmt::Display, message: &str) -> Self {
        Self::BrokenOff { address: address.to_string(), message: clean(message) }
    }

    /// Translates an error of libgit2 that happened on the local side.
    pub(super) fn local(path: &std::path::Path, doing: &str, error: &git2::Error) -> Self {
        let path = path.to_owned();
        let message = clean(error.message());
        if out_of_space(&message) {
            return Self::NoSpace { path };
        }
        let unknown = |what: &str| message.contains(&format!("unsupported mandatory extension: '{what}'"));
        let form = match () {
            () if unknown("sdir") => Some(("sparse index", "git -C {} sparse-checkout reapply --no-sparse-index")),
            () if unknown("link") => Some(("split index", "git -C {} update-index --no-split-index")),
            () => None,
        };
        if let Some((form, command)) = form {
            let command = command.replace("{}", &path.display().to_string());
            return Self::IndexForm { path, form, command };
        }
        match error.code() {
            git2::ErrorCode::Owner => Self::WrongOwner { path },
            _ if not_owned(&message).is_some() => Self::WrongOwner { path },
            git2::ErrorCode::Locked => Self::Busy {
                message: format!(
                    "another git process uses it ({message}); if none is running, a crashed one left a lock: remove the \
                     file named index.lock (or *.lock) in its .git folder"
                ),
            },
            _ => Self::Other { doing: format!("{doing} {}", path.display()), message },
        }
    }

    /// Translates an error met in looking at a file or changing it.
    pub(super) fn not_writable(path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::{io::ErrorKind, os::unix::fs::MetadataExt as _};
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy => {
                let us = rustix::process::geteuid().as_raw();
                let owners = std::fs::symlink_metadata(path)
                    .map(|found| format!(" (it belongs to user {}, and turnout runs as user {us})", found.uid()))
                    .unwrap_or_default();
                Self::NotWritable { path: path.to_owned(), message: error.to_string(), owners }
            }
            _ => Self::io(path, "read or write", error),
        }
    }

    /// Translates an error of the file system.
    pub(super) fn io(path: &std::path::Path, doing: &str, error: &std::io::Error) -> Self {
        if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            return Self::NoSpace { path: path.to_owned() };
        }
        Self::Other { doing: format!("{doing} {}", path.display()), message: error.to_string() }
    }
}

impl From<NetError> for GitError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::BadProxy { address, message } => Self::BadAddress { address, message },
            NetError::Unreachable { peer, message } => Self::Unreachable { peer, message },
        }
    }
}

/// libgit2 reports a full disk as text only.
/// The repository that libgit2 refuses for its owner's sake, by its words: on the way of a transfer the code of the error is lost.
pub(super) fn not_owned(message: &str) -> Option<PathBuf> {
    let (before, _) = message.split_once("is not owned by")?;
    Some(PathBuf::from(before.split('\'').nth(1).unwrap_or_else(|| before.trim())))
}

pub(super) fn out_of_space(message: &str) -> bool {
    message.contains("No space left on device") || message.contains("Disk quota exceeded")
}

fn list(names: &[String]) -> String {
    let mut out = String::new();
    for (i, name) in names.iter().take(NAMED).enumerate() {
        let _ = write!(out, "{}{}", if i == 0 { "" } else { ", " }, escape_controls(name));
    }
    if names.len() > NAMED {
        let _ = write!(out, " and {} more", names.len() - NAMED);
    }
    out
}

fn branches(there: &[String]) -> String {
    if there.is_empty() { String::new() } else { format!("; it has {}", list(there)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_libgit2_become_advice() {
        let path = std::path::Path::new("/srv/shop");
        let table = [
            (
                "could not write: No space left on device",
                git2::ErrorCode::GenericError,
                "no space left on the device of /srv/shop",
            ),
            ("not owned", git2::ErrorCode::Owner, "safe.directory /srv/shop"),
            ("failed to lock", git2::ErrorCode::Locked, "index.lock"),
            ("x https://u:pw@h/ y", git2::ErrorCode::GenericError, "open /srv/shop: x https://u:[redacted]@h/ y"),
        ];
        for (message, code, expected) in table {
            let error = git2::Error::new(code, git2::ErrorClass::Os, message);
            let shown = GitError::local(path, "open", &error).to_string();
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn whose_repository_is_refused_is_known_by_the_words() {
        let path = |of: &str| Some(PathBuf::from(of));
        assert_eq!(
            not_owned("repository path '/srv/git/shop.git/' is not owned by current user"),
            path("/srv/git/shop.git/")
        );
        assert_eq!(not_owned("/srv/shop is not owned by current user"), path("/srv/shop"));
        assert_eq!(not_owned("no such file"), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let files: Vec<String> = (0..14).map(|i| format!("f{i}")).collect();
        let shown = GitError::LocalChanges { path: "/srv/x".into(), files }.to_string();
        assert!(shown.contains("f9 and 4 more") && !shown.contains("f10"), "{shown}");
    }
}
