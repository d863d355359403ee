//! Why a file is not read.

use std::{fmt, io, path::PathBuf, time::Duration};

/// Why the gate stays closed. It is inside of an [`io::Error`], so that readers of files need not know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is something else than a regular file; the word says what.
    NotAFile(&'static str),
    /// A folder was wanted.
    NotAFolder(&'static str),
    /// It has more bytes than are read of its kind.
    TooLarge(u64),
    /// It lies outside of the repository.
    Outside {
        /// The repository's name in `repos.yaml`.
        repository: String,
        /// The link, by its path in the repository, that leads out; nothing where the path itself does.
        link: Option<PathBuf>,
        /// Where it leads.
        to: PathBuf,
    },
    /// It belongs to one of the kernel's own file systems.
    Kernels(PathBuf),
    /// Its file system did not answer for so long.
    Hangs(PathBuf, Duration),
    /// It was another kind of file a moment ago.
    Swapped,
}

impl Refusal {
    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            Self::NotAFile(_) | Self::NotAFolder(_) => "name a regular file, or take the link away".to_owned(),
            Self::TooLarge(_) => "make it smaller, or name another file".to_owned(),
            Self::Outside { repository, .. } => format!(
                "if turnout may read outside of this repository, write `outside_paths: allow` below `{repository}:` in \
                 repos.yaml; else move the file into the work tree, where git need not track it"
            ),
            Self::Kernels(_) => "name a file of the repository; what stands there is turnout's own".to_owned(),
            Self::Hangs(path, _) => format!(
                "see what is mounted there (`findmnt -T {}`), mount it anew or take it away; then deploy again",
                path.display()
            ),
            Self::Swapped => "deploy again".to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile(what) => write!(f, "is {what}, not a file"),
            Self::NotAFolder(what) => write!(f, "is {what}, not a directory"),
            Self::TooLarge(most) => write!(f, "larger than {most} bytes"),
            Self::Outside { link: None, to, .. } => {
                write!(f, "is outside of the repository ({}), and a commit may not choose such a file", to.display())
            }
            Self::Outside { link: Some(link), to, .. } => write!(
                f,
                "is outside of the repository: the link {} in it leads to {}, and a commit may not choose such a file",
                link.display(),
                to.display()
            ),
            Self::Kernels(path) => {
                write!(f, "is a file of the kernel's own ({}), which is never read for a repository", path.display())
            }
            Self::Hangs(path, waited) => {
                write!(f, "{} did not answer for {} s: its file system hangs", path.display(), waited.as_secs())
            }
            Self::Swapped => write!(f, "was exchanged for something else while it was read"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::NotAFile("a directory") => io::ErrorKind::IsADirectory,
            Refusal::NotAFolder(_) => io::ErrorKind::NotADirectory,
            Refusal::NotAFile(_) | Refusal::Swapped => io::ErrorKind::InvalidInput,
            Refusal::TooLarge(_) => io::ErrorKind::InvalidData,
            Refusal::Outside { .. } | Refusal::Kernels(_) => io::ErrorKind::PermissionDenied,
            Refusal::Hangs(..) => io::ErrorKind::TimedOut,
        };
        Self::new(kind, refusal)
    }
}

/// What to do about an error of the gate; nothing for those of the file system.
pub fn hint(error: &io::Error) -> Option<String> {
    error.get_ref()?.downcast_ref::<Refusal>().map(Refusal::hint)
}
