//! The gate to `.gitmodules`. libgit2 reads that of the work tree whenever it is asked for submodules, also by a comparison
//! of a work tree that has some: whole, as it is, through a link, from a pipe, and with what it includes. git itself
//! includes nothing there (`config_from_gitmodules` in its submodule-config.c). So each is looked at here first.

use std::{io, path::Path};

use git2::Repository;

use super::error::GitError;
use turnout_files::{Kind, Reach};
use turnout_report::units;

pub(super) const FILE: &str = ".gitmodules";
/// Bytes of it, at most: some ten thousand submodules. Limits memory and time.
pub(super) const LARGEST: u64 = 1 << 20;

/// What stands in the `.gitmodules` of a work tree; none where there is none. After this libgit2 may be asked.
///
/// # Errors
/// When it is no file, too large, or includes others.
pub(super) fn read(repo: &Repository) -> Result<Option<Vec<u8>>, GitError> {
    let Some(file) = repo.workdir().map(|top| top.join(FILE)) else { return Ok(None) };
    let failed = |error: &io::Error| GitError::io(&file, "read", error);
    match std::fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
        Ok(found) if found.is_symlink() => return Err(refusal(&file, "it is a link")),
        Ok(found) if !found.is_file() => return Err(refusal(&file, "it is no file")),
        Ok(found) if found.len() > LARGEST => return Err(refusal(&file, &too_large())),
        Ok(_) => {}
    }
    let text = Reach::Anywhere.read(&file, Kind { most: LARGEST }).map_err(|error| failed(&error))?;
    match fault(&text) {
        Some(why) => Err(refusal(&file, &why)),
        None => Ok(Some(text)),
    }
}

fn refusal(file: &Path, why: &str) -> GitError {
    GitError::other(format!("read {}", file.display()), format!("{why}: correct it in the repository"))
}

/// Why libgit2 must not read it; none: it may.
pub(super) fn fault(text: &[u8]) -> Option<String> {
    if text.len() as u64 > LARGEST {
        return Some(too_large());
    }
    includes(text).then(|| "it includes other files, which git does not follow there".to_owned())
}

fn too_large() -> String {
    format!("it has more than {}", units::shown(LARGEST))
}

/// Whether there is what could be the head of a section `include` or `includeIf`, wherever it stands: two readers of one
/// file may take it differently.
fn includes(text: &[u8]) -> bool {
    const WORD: &[u8] = b"include";
    text.split(|byte| *byte == b'[')
        .skip(1)
        .any(|head| head.trim_ascii_start().get(..WORD.len()).is_some_and(|start| start.eq_ignore_ascii_case(WORD)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn includes_are_found_wherever_they_stand() {
        for text in [
            "[include]\npath = x",
            "a\n [ INCLUDE ] path=x",
            "[a]b=c\n[includeIf \"gitdir:/\"]\npath=x",
            "[a][include]",
        ] {
            assert!(fault(text.as_bytes()).is_some_and(|why| why.contains("includes other files")), "{text}");
        }
        for text in ["[submodule \"include\"]\npath = include\n", "", "[includ", "["] {
            assert_eq!(fault(text.as_bytes()), None, "{text}");
        }
        assert_eq!(fault(&vec![b'\n'; LARGEST as usize]), None);
        assert!(fault(&vec![b'\n'; LARGEST as usize + 1]).is_some_and(|why| why.contains("more than 1.0 MB")));
    }

    #[test]
    fn only_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(read(&repo).unwrap(), None);
        std::fs::write(&file, "[a]\n").unwrap();
        assert_eq!(read(&repo).unwrap().as_deref(), Some(b"[a]\n".as_slice()));
        let refused = |what: &str| {
            let error = read(&repo).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(what), "{error}");
            let _ = std::fs::remove_file(&file);
        };
        std::fs::write(&file, "[include]\npath = /dev/zero\n").unwrap();
        refused("includes other files");
        std::fs::remove_file(&file).unwrap_or_default();
        symlink("/dev/zero", &file).unwrap();
        refused("it is a link");
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        refused("it is no file");
    }
}
