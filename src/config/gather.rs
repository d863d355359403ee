//! Reads what the settings need from the outside: environment, `.env`, the secret's file, `repos.yaml`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Secret, dotenv,
    mistake::{Mistake, Mistakes, Place},
    repos::{self, PathState, Repos},
    settings::{self, Layers, Settings},
    table::{self, SettingsArgs},
};
use crate::files::{self, Kind, Lost, Reach};

/// Where `repos.yaml` and `.env` lie on a server that was set up by the book.
const SYSTEM_HOME: &str = "/etc/turnout";
/// Largest `.env`, secret file and `repos.yaml` read: a wrong path (a disk image, say) must not fill memory.
const MAX_FILE: u64 = 1 << 20;
/// How long the file system of a setting may take for one call. After it what was known counts, or the start has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The settings of this process: command line, environment, `.env`, defaults.
///
/// # Errors
/// All mistakes found, in whichever layer.
pub fn gather(args: &SettingsArgs) -> Result<Settings, Mistakes> {
    // Variables that are not UTF-8 cannot be ours.
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    gather_from(args, env, Path::new("."), Path::new(SYSTEM_HOME))
}

/// As [`gather`], for whoever goes on whatever mistakes there are: with all of them, and the defaults in the place of settings that
/// have one.
pub fn gather_all(args: &SettingsArgs) -> (Settings, Mistakes) {
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    all_from(args, env, Path::new("."), Path::new(SYSTEM_HOME))
}

fn gather_from(
    args: &SettingsArgs,
    env: BTreeMap<String, String>,
    here: &Path,
    system: &Path,
) -> Result<Settings, Mistakes> {
    let (settings, mistakes) = all_from(args, env, here, system);
    mistakes.unless_any(settings)
}

fn all_from(args: &SettingsArgs, env: BTreeMap<String, String>, here: &Path, system: &Path) -> (Settings, Mistakes) {
    let mut layers = Layers { cli: args.given.clone(), env, ..Layers::default() };
    layers.home = match settings::text_of(&layers, &table::REPOS) {
        Some((file, _)) => Path::new(&file).parent().map_or_else(PathBuf::new, Path::to_path_buf),
        // One that does not answer is there; to read it tells so.
        None if there(&here.join("repos.yaml")) => here.to_path_buf(),
        None => system.to_path_buf(),
    };
    let mut mistakes = Mistakes::default();
    match read_dotenv(&layers) {
        Ok(Some((file, values))) => (layers.dotenv_file, layers.dotenv) = (file, values),
        Ok(None) => {}
        Err(found) => mistakes.0.extend(found.0),
    }
    match read_secret(&layers) {
        Ok(Some((file, secret))) => (layers.secret_file, layers.secret_from_file) = (file, Some(secret)),
        Ok(None) => {}
        Err(mistake) => mistakes.0.push(mistake),
    }
    let (settings, found) = settings::resolve_all(&layers);
    mistakes.0.extend(settings::misspelt(&layers).0.into_iter().chain(found.0));
    (settings, mistakes)
}

/// Reads and validates `repos.yaml`.
///
/// # Errors
/// All mistakes found.
pub fn load_repos(file: &Path) -> Result<Repos, Mistakes> {
    let shown = file.display().to_string();
    let text = read_bounded(file).map_err(|error| {
        let mistake = Mistake::new(Place::File(shown.clone()), "", format!("cannot be read: {error}"));
        Mistakes::one(match unread(&error, file) {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        })
    })?;
    repos::parse(&text, &shown, &path_state)
}

/// What to do about a list that cannot be read.
pub(super) fn unread(error: &io::Error, file: &Path) -> Option<String> {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let whom = match files::anothers(error, file) {
            // The daemon's user is let in; somebody at the command line asks as root.
            Some(whom) if files::owner(file) == Some(0) => {
                format!("{}; at the command line: {whom}", files::let_in(file))
            }
            Some(whom) => whom,
            None => "the daemon's user must be able to read it".to_owned(),
        };
        let rights = files::rights(file).map(|rights| format!("{rights}; ")).unwrap_or_default();
        return Some(format!("{rights}{whom}"));
    }
    match error.kind() {
        io::ErrorKind::NotFound => Some(
            "copy repos.yaml.example there (the package has it in /usr/share/doc/turnout/examples), or name another file \
             with --repos"
                .to_owned(),
        ),
        io::ErrorKind::TimedOut => {
            Some("mount it anew, or put a file in its place; it is read again by itself".to_owned())
        }
        _ => None,
    }
}

/// What lies at a path, for [`repos::parse`].
pub fn path_state(path: &Path) -> PathState {
    let looking = path.to_path_buf();
    let looked = files::waited(PATIENCE, move || files::at(&looking, &looking, || state(&looking)));
    match looked {
        Ok(Ok(state)) => state,
        // A file system that hangs is no mistake of the list: it is said by whoever works there.
        Ok(Err(_)) | Err(Lost::Hangs(_)) => PathState::Silent,
        Err(died @ Lost::Died(_)) => PathState::Unreadable(died.to_string()),
    }
}

fn state(path: &Path) -> PathState {
    match fs::canonicalize(path) {
        Ok(real) if real.is_dir() => PathState::Directory(real),
        Ok(_) => PathState::NotADirectory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => PathState::Missing {
            parent_exists: path.parent().is_some_and(Path::is_dir),
            // Of a path that is yet to be cloned, the part that exists is made canonical.
            real: match (path.parent().and_then(|parent| fs::canonicalize(parent).ok()), path.file_name()) {
                (Some(parent), Some(name)) => parent.join(name),
                _ => path.to_path_buf(),
            },
        },
        Err(error) => PathState::Unreadable(error.to_string()),
    }
}

/// Reads a secret from a file: one line end at the end is not part of it.
///
/// # Errors
/// What the reading said; never the content.
pub fn read_secret_file(file: &Path) -> io::Result<Secret> {
    let text = read_bounded(file)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

/// Through the gate, though no commit chose it: a pipe in the place of a file would be waited for while the daemon serves, and
/// so would a mount whose server is gone.
pub(super) fn read_bounded(file: &Path) -> io::Result<String> {
    let reading = file.to_path_buf();
    let read = files::waited(PATIENCE, move || Reach::Anywhere.read(&reading, Kind { most: MAX_FILE }));
    let bytes = read.unwrap_or_else(|lost| Err(lost.into())).map_err(|error| match error.kind() {
        // The same words at each look: for how long, the log tells by its time.
        io::ErrorKind::TimedOut => io::Error::new(
            error.kind(),
            format!("its file system hangs (`findmnt -T {}` names the mount)", file.display()),
        ),
        _ => error,
    })?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Whether something is there. What cannot be looked at in time counts as there.
fn there(file: &Path) -> bool {
    let looking = file.to_path_buf();
    let looked = files::waited(PATIENCE, move || files::at(&looking, &looking, || looking.exists()));
    looked.ok().and_then(Result::ok).unwrap_or(true)
}

type Dotenv = Option<(String, BTreeMap<String, String>)>;

fn read_dotenv(layers: &Layers) -> Result<Dotenv, Mistakes> {
    let named = settings::text_of(layers, &table::ENV_FILE);
    let file = named.as_ref().map_or_else(|| layers.home.join(".env"), |(file, _)| PathBuf::from(file));
    let shown = file.display().to_string();
    match read_bounded(&file) {
        Ok(text) => dotenv::parse(&text, &shown).map(|values| Some((shown, values))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => {
            Err(Mistakes::one(Mistake::new(Place::File(shown), "", format!("cannot be read: {error}")).hint(
                files::anothers(&error, &file).unwrap_or_else(|| {
                    "the daemon's user must be able to read it; --env-file names another".to_owned()
                }),
            )))
        }
    }
}

fn read_secret(layers: &Layers) -> Result<Option<(PathBuf, Secret)>, Mistake> {
    let credential = layers.env.get("CREDENTIALS_DIRECTORY").map(|dir| Path::new(dir).join("webhook-secret"));
    let (file, source) = match settings::text_of(layers, &table::WEBHOOK_SECRET_FILE) {
        Some((file, source)) => (PathBuf::from(file), source),
        None => match credential {
            Some(file) if there(&file) => (file, "$CREDENTIALS_DIRECTORY".to_owned()),
            _ => return Ok(None),
        },
    };
    match read_secret_file(&file) {
        Ok(secret) => Ok(Some((file, secret))),
        Err(error) => {
            let message = format!("the secret's file {} cannot be read: {error}", file.display());
            let mistake = Mistake::new(Place::Source(source), "", message);
            Err(match files::anothers(&error, &file) {
                Some(whose) => mistake.hint(whose),
                None => mistake,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_dotenv_beside_repos_yaml_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("repos.yaml"), "").unwrap();
        fs::write(dir.path().join(".env"), "WEBHOOK_SECRET=abc\nTURNOUT_PARALLEL=7\n").unwrap();
        let settings = gather_from(&SettingsArgs::default(), env(&[]), dir.path(), Path::new("/nonexistent")).unwrap();
        assert_eq!(settings.webhook_secret, Some(Secret::new("abc")));
        assert_eq!(settings.parallel, 7);
        assert_eq!(settings.repos, dir.path().join("repos.yaml"));
    }

    #[test]
    fn a_named_file_that_is_missing_and_a_bad_line_are_both_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".env"), "not an assignment\n").unwrap();
        let missing = dir.path().join("gone").display().to_string();
        let env = env(&[("TURNOUT_WEBHOOK_SECRET_FILE", &missing), ("TURNOUT_PARALLEL", "many")]);
        let error = gather_from(&SettingsArgs::default(), env, Path::new("/nonexistent"), dir.path()).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.0.len(), 3, "{text}");
        assert!(text.contains(".env:1: ") && text.contains("gone") && text.contains("TURNOUT_PARALLEL"), "{text}");
    }

    #[test]
    fn a_systemd_credential_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("webhook-secret"), "s3cret\n").unwrap();
        let dir_text = dir.path().display().to_string();
        let env = env(&[("CREDENTIALS_DIRECTORY", &dir_text)]);
        let settings = gather_from(&SettingsArgs::default(), env, Path::new("/nonexistent"), dir.path()).unwrap();
        assert_eq!(settings.webhook_secret, Some(Secret::new("s3cret")));
    }

    #[test]
    fn a_name_that_no_setting_has_keeps_nothing_from_being_known() {
        let home = tempfile::tempdir().unwrap();
        let dotenv = home.path().join(".env");
        fs::write(&dotenv, "TURNOUT_PARALEL=2\nTURNOUT_HISTORY_KEEP=7\nWEBHOOK_SECRET=s\n").unwrap();
        let all = || all_from(&SettingsArgs::default(), env(&[]), Path::new("/nonexistent"), home.path());
        let (settings, misspelt) = all();
        assert_eq!((settings.history_keep, misspelt.0.len()), (7, 1));
        assert!(misspelt.to_string().contains("did you mean TURNOUT_PARALLEL?"), "{misspelt}");
        let gathered = gather_from(&SettingsArgs::default(), env(&[]), Path::new("/nonexistent"), home.path());
        assert_eq!(gathered.unwrap_err(), misspelt);
        // Others have their default, and nothing else is lost.
        fs::write(&dotenv, "TURNOUT_PARALEL=2\nTURNOUT_HISTORY_KEEP=many\nTURNOUT_LISTEN=here\nWEBHOOK_SECRET=s\n")
            .unwrap();
        let (settings, mistakes) = all();
        assert_eq!(mistakes.0.len(), 3, "{mistakes}");
        assert_eq!(settings.webhook_secret, Some(Secret::new("s")));
    }
}
