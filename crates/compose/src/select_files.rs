//! Which files a project is made of, where it lies, and which environment it sees.

use std::{collections::BTreeMap, path::Path};

use indexmap::IndexMap;

use super::{
    dotenv,
    error::{LoadError, Warning, keep},
    lexical, remote,
    request::LoadRequest,
    source::{FileSource, hint, reason},
};

/// Names that are looked for, by priority.
pub(super) const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Names of overrides that are taken along, by priority.
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// Variables by name.
pub(super) type Environment = BTreeMap<String, String>;

/// The files of a project, and what they are read with.
pub(super) struct Selection {
    /// Absolute paths, or `-`.
    pub files: Vec<String>,
    /// The project directory, that relative paths count from; absolute.
    pub directory: String,
    /// Process environment over `.env` files.
    pub environment: Environment,
    /// Profiles that are active.
    pub profiles: Vec<String>,
    /// Env files that were asked for, absolute.
    pub env_files: Vec<String>,
}

/// Selects files, directory, environment and profiles, in the order of the Compose command line.
///
/// # Errors
///
/// No file, an unreadable `.env`, or a setting that makes no sense.
pub(super) fn select(
    request: &LoadRequest,
    source: &dyn FileSource,
    warnings: &mut Vec<Warning>,
) -> Result<Selection, LoadError> {
    let mut chooser =
        Chooser { request, source, cwd: request.working_dir.to_string_lossy().into_owned(), files: Vec::new() };
    chooser.files = request.files.iter().map(|file| chooser.absolute(file)).collect();
    let mut process = request.process_env.clone();
    let explicit = chooser.explicit_env_files(&process);

    // A first look at the `.env`, for COMPOSE_* alone: they act as if the process had them.
    if let Ok(found) = chooser.env_files(&explicit, &process)
        && let Ok(values) = read_env_files(&process, &found, source, &mut Vec::new())
    {
        for (key, value) in values {
            if key.starts_with("COMPOSE_") {
                process.entry(key).or_insert(value);
            }
        }
    }
    let mut environment = process.clone();
    environment.entry("PWD".into()).or_insert_with(|| chooser.cwd.clone());
    chooser.extend(&mut environment, &explicit, &process, warnings)?;
    chooser.choose_files(&environment, warnings)?;
    // The files may lie elsewhere than where the search began, with a `.env` of their own.
    chooser.extend(&mut environment, &explicit, &process, warnings)?;
    if chooser.files.is_empty() {
        return Err(LoadError::new("no configuration file provided: not found").hint(format!(
            "looked for {} in {} and above; name a file with -f",
            FILE_NAMES.join(", "),
            chooser.cwd
        )));
    }
    let profiles = if request.profiles.is_empty() {
        let list = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
        // No list is a list of one empty name, which a service can have.
        list.split(',').map(|profile| profile.trim().to_owned()).collect()
    } else {
        request.profiles.clone()
    };
    let directory = chooser.directory();
    Ok(Selection { files: chooser.files, directory, environment, profiles, env_files: explicit })
}

/// Reads dotenv files one after the other; later ones see and replace the values of earlier ones, `environment` wins
/// in references.
///
/// # Errors
///
/// A missing or malformed file.
pub(super) fn read_env_files(
    environment: &Environment,
    paths: &[String],
    source: &dyn FileSource,
    warnings: &mut Vec<Warning>,
) -> Result<IndexMap<String, String>, LoadError> {
    let mut values = IndexMap::new();
    for path in paths {
        let text = read_text(path, source, "create the file, or do not name it as an env file")?;
        let lookup = |name: &str| environment.get(name).cloned();
        let result = dotenv::parse_into(&text, &mut values, &lookup, &mut |name| {
            let message = format!("The {name:?} variable is not set. Defaulting to a blank string.");
            keep(warnings, Warning::new(message));
        });
        result.map_err(|error| LoadError::new(format!("failed to read {path}: {error}")))?;
    }
    Ok(values)
}

/// Reads a text file; `usual` is what to do about one that cannot be read.
///
/// # Errors
///
/// What the file system says, or that it is not UTF-8.
pub(super) fn read_text(path: &str, source: &dyn FileSource, usual: &str) -> Result<String, LoadError> {
    let unread = |error| {
        let hint = hint(&error).unwrap_or_else(|| usual.to_owned());
        LoadError::new(format!("cannot read {path}: {}", reason(&error))).hint(hint)
    };
    let bytes = source.read(Path::new(path)).map_err(unread)?;
    let not_text = || LoadError::new(format!("cannot read {path}: it is not UTF-8 text")).hint("save it as UTF-8");
    match bytes.as_slice() {
        // YAML may be UTF-16, told by its byte order mark.
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).ok_or_else(not_text),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).ok_or_else(not_text),
        _ => String::from_utf8(bytes).map_err(|_| not_text()),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).ok()
}

struct Chooser<'a> {
    request: &'a LoadRequest,
    source: &'a dyn FileSource,
    cwd: String,
    files: Vec<String>,
}

impl Chooser<'_> {
    fn absolute(&self, path: &str) -> String {
        let verbatim = path == "-" || remote::parse(path).is_some();
        if verbatim { path.to_owned() } else { lexical::join(&self.cwd, path) }
    }

    /// Project directory as far as it is known by now.
    fn directory(&self) -> String {
        match (&self.request.project_directory, self.files.iter().find(|file| *file != "-")) {
            (Some(directory), _) => lexical::join(&self.cwd, &directory.to_string_lossy()),
            (None, Some(file)) if remote::parse(file).is_some() => lexical::clean(&self.cwd),
            (None, Some(file)) => lexical::dir(file),
            (None, None) => lexical::clean(&self.cwd),
        }
    }

    fn explicit_env_files(&self, process: &Environment) -> Vec<String> {
        let listed: Vec<String> = if self.request.env_files.is_empty() {
            let list = process.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
            list.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect()
        } else {
            self.request.env_files.clone()
        };
        listed.iter().map(|file| lexical::join(&self.cwd, file)).collect()
    }

    fn env_files(&self, explicit: &[String], process: &Environment) -> Result<Vec<String>, LoadError> {
        if !explicit.is_empty() {
            return Ok(explicit.to_vec());
        }
        if let Some(text) = process.get("COMPOSE_DISABLE_ENV_FILE") {
            match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => return Ok(Vec::new()),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => {}
                other => {
                    return Err(LoadError::new(format!("COMPOSE_DISABLE_ENV_FILE is {other:?}"))
                        .hint("it must be true or false"));
                }
            }
        }
        let default = lexical::join(&self.directory(), ".env");
        let path = Path::new(&default);
        Ok(if self.source.exists(path) && !self.source.is_dir(path) { vec![default] } else { Vec::new() })
    }

    fn extend(
        &self,
        environment: &mut Environment,
        explicit: &[String],
        process: &Environment,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), LoadError> {
        let paths = self.env_files(explicit, process)?;
        for (key, value) in read_env_files(environment, &paths, self.source, warnings)? {
            environment.entry(key).or_insert(value);
        }
        Ok(())
    }

    fn choose_files(&mut self, environment: &Environment, warnings: &mut Vec<Warning>) -> Result<(), LoadError> {
        if !self.files.is_empty() {
            return Ok(());
        }
        if let Some(list) = environment.get("COMPOSE_FILE") {
            let separator =
                environment.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).map_or(":", String::as_str);
            for file in list.split(separator) {
                let path = self.absolute(file);
                if path != "-" && remote::parse(&path).is_none() && !self.source.exists(Path::new(&path)) {
                    return Err(LoadError::new(format!("COMPOSE_FILE names {path}, which does not exist"))
                        .hint(format!("paths are relative to {} and separated by {separator:?}", self.cwd)));
                }
                self.files.push(path);
            }
            return Ok(());
        }
        let mut directory = self.directory();
        loop {
            if let Some(found) = self.first_of(&FILE_NAMES, &directory, "config", warnings) {
                self.files.push(found);
                self.files.extend(self.first_of(&OVERRIDE_NAMES, &directory, "override", warnings));
                return Ok(());
            }
            let parent = lexical::dir(&directory);
            if parent == directory {
                return Ok(());
            }
            directory = parent;
        }
    }

    fn first_of(&self, names: &[&str], directory: &str, kind: &str, warnings: &mut Vec<Warning>) -> Option<String> {
        let mut found: Vec<String> = names.iter().map(|name| lexical::join(directory, name)).collect();
        found.retain(|path| self.source.exists(Path::new(path)));
        if found.len() > 1 {
            let list = found.join(", ");
            warnings.push(Warning::new(format!("Found multiple {kind} files with supported names: {list}")));
            warnings.push(Warning::new(format!("Using {}", found[0])));
        }
        found.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MapFiles;

    fn run(request: &LoadRequest, files: &[(&str, &str)]) -> Result<(Selection, Vec<Warning>), LoadError> {
        let mut warnings = Vec::new();
        let selection = select(request, &MapFiles::new(files.iter().copied()), &mut warnings)?;
        Ok((selection, warnings))
    }

    fn request() -> LoadRequest {
        LoadRequest { working_dir: "/p/sub".into(), ..LoadRequest::default() }
    }

    #[test]
    fn files_are_found_here_or_above_with_their_override() {
        let (found, warnings) = run(
            &request(),
            &[
                ("/p/compose.yaml", ""),
                ("/p/docker-compose.yml", ""),
                ("/p/compose.override.yml", ""),
                ("/p/.env", "A=1\n"),
            ],
        )
        .unwrap();
        assert_eq!(found.files, ["/p/compose.yaml", "/p/compose.override.yml"]);
        assert_eq!(found.directory, "/p");
        assert_eq!(found.environment.get("A").map(String::as_str), Some("1"));
        assert_eq!(warnings.len(), 2);
        let error = run(&request(), &[]).err().unwrap();
        assert!(error.to_string().starts_with("no configuration file provided: not found"));
    }

    #[test]
    fn the_environment_can_name_files_and_profiles() {
        let mut request = request();
        request.process_env.insert("A".into(), "process".into());
        let (found, _) = run(
            &request,
            &[
                ("/p/sub/.env", "COMPOSE_FILE=a.yml,b.yml\nCOMPOSE_PATH_SEPARATOR=,\nCOMPOSE_PROFILES=x, y\nA=file\n"),
                ("/p/sub/a.yml", ""),
                ("/p/sub/b.yml", ""),
            ],
        )
        .unwrap();
        assert_eq!(found.files, ["/p/sub/a.yml", "/p/sub/b.yml"]);
        assert_eq!(found.profiles, ["x", "y"]);
        assert_eq!(found.environment.get("A").map(String::as_str), Some("process"));
        assert!(run(&request, &[("/p/sub/.env", "COMPOSE_FILE=no.yml\n")]).is_err());
    }

    #[test]
    fn explicit_env_files_replace_the_default_one() {
        let mut request = request();
        request.files = vec!["../c.yml".into()];
        request.env_files = vec!["x.env".into(), "y.env".into()];
        let files =
            [("/p/c.yml", ""), ("/p/.env", "A=default\n"), ("/p/sub/x.env", "A=x\nB=1\n"), ("/p/sub/y.env", "A=y$B\n")];
        let (found, _) = run(&request, &files).unwrap();
        assert_eq!(found.directory, "/p");
        assert_eq!(found.environment.get("A").map(String::as_str), Some("y1"));
        request.env_files = vec!["none.env".into()];
        assert!(run(&request, &files).is_err());
    }
}
