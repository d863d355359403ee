//! Where `turnout-proxy` is, for whoever starts it: beside this program, else in `PATH`.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::SteerError;

/// What the program is called.
pub(crate) const NAME: &str = "turnout-proxy";

/// `turnout-proxy` beside this program, else in a folder of `PATH`.
///
/// # Errors
/// Names every file that was looked for, where there is none that can be run.
pub fn program_beside(current_exe: &Path) -> Result<PathBuf, SteerError> {
    found(candidates(current_exe, std::env::var_os("PATH").as_deref()), can_be_run)
}

/// In the order in which they count. Folders of `PATH` that depend on where somebody stands are no place for a program that
/// serves everybody.
fn candidates(current_exe: &Path, path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut all = vec![current_exe.with_file_name(NAME)];
    for folder in path.map(std::env::split_paths).into_iter().flatten().filter(|folder| folder.is_absolute()) {
        let candidate = folder.join(NAME);
        if !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

fn found(mut all: Vec<PathBuf>, can_be_run: impl Fn(&Path) -> bool) -> Result<PathBuf, SteerError> {
    match all.iter().position(|candidate| can_be_run(candidate)) {
        Some(index) => Ok(all.swap_remove(index)),
        None => Err(SteerError::NoProgram { looked: all }),
    }
}

fn can_be_run(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_counts_before_path_and_what_cannot_be_run_does_not_count() {
        let all = candidates(Path::new("/opt/bin/turnout"), Some(OsStr::new("/usr/bin:.:bin::/opt/bin:/bin")));
        let expected = ["/opt/bin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).join(NAME));
        assert_eq!(all, expected);
        assert_eq!(found(all.clone(), |_| true).unwrap(), expected[0]);
        assert_eq!(found(all.clone(), |path| !path.starts_with("/opt")).unwrap(), expected[1]);
        let told = found(all, |_| false).unwrap_err().to_string();
        assert_eq!(
            told,
            "turnout-proxy was not found; looked for /opt/bin/turnout-proxy, /usr/bin/turnout-proxy, /bin/turnout-proxy; \
             install it beside turnout, or in a folder of PATH"
        );
    }

    #[test]
    fn a_program_that_was_replaced_while_it_runs_still_has_its_folder() {
        let all = candidates(Path::new("/usr/bin/turnout (deleted)"), None);
        assert_eq!(all, [Path::new("/usr/bin/turnout-proxy")]);
    }

    #[test]
    fn a_folder_and_a_file_without_the_right_are_no_programs() {
        let directory = tempfile::tempdir().unwrap();
        let (folder, file) = (directory.path().join("folder"), directory.path().join("file"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(!can_be_run(&folder) && !can_be_run(&file) && !can_be_run(&directory.path().join("none")));
        mode(0o755);
        assert!(can_be_run(&file));
    }
}
