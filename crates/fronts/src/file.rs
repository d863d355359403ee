//! A file that another program reads, replaced whole.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::FrontError;

/// More than this is in none of the files that are written here.
const MOST: u64 = 1 << 20;

/// Its text. `None`: there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FrontError> {
    let failed = |source| FrontError::File { path: path.to_owned(), done: "read", source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Replaces it: whoever reads sees all of one text or all of the other, after a power cut too. Its mode stays; a new one can
/// be read by everybody, as the program that reads it runs as somebody else.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FrontError> {
    let failed = |source| FrontError::File { path: path.to_owned(), done: "written", source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = beside(path);
    let replaced = || {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(known) = fs::metadata(path) {
            file.set_permissions(known.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    };
    replaced().map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

/// Whether it could be replaced.
pub(crate) fn can_be_replaced(path: &Path) -> Result<(), FrontError> {
    let beside = beside(path);
    let tried = File::create(&beside).and_then(|_| fs::remove_file(&beside));
    tried.map_err(|source| FrontError::File { path: path.to_owned(), done: "written", source })
}

/// Takes it away, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), FrontError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FrontError::File { path: path.to_owned(), done: "removed", source })
        }
        _ => Ok(()),
    }
}

/// A name that neither `*.conf` nor Traefik's watch of `*.yml` takes for one of its own.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.turnout-new"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.conf");
        assert_eq!(read(&path).unwrap(), None);
        for text in ["one", "two"] {
            replace(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        let gone = folder.path().join("no").join("shop.conf");
        let said = replace(&gone, "").unwrap_err().to_string();
        assert!(said.contains("cannot be written") && said.contains("needs access"), "{said}");
    }
}
