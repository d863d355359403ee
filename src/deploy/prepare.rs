//! From a work tree to a plan: `.env`, Compose files, the decision about builds. Reads, changes nothing.
//!
//! `turnout plan` ends after this; `turnout deploy` goes on with the very same value.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Failure, bounds, clock, compose_env, mounted,
    orphans::Judged,
    overlay,
    prepared::TreeProject,
    secrets,
    stack::{self, Stack, StackError},
    view::{View, Viewed},
};
use crate::{
    compose::{
        dotenv,
        load::{LoadOptions, LoadRequest, load},
        model::Project,
        source::{DiskFiles, FileSource},
    },
    config::{OutsidePaths, Repo},
    decide::Decision,
    engine::image::{OutOfReach, out_of_reach},
    files::{self, Reach},
    git,
    plan::{self, Intent, Observed, Plan},
    registry::docker_config_directory,
    report::redact::Redactor,
};

/// Variables of the daemon's environment that a project may see. Its own settings, and above all its secrets, are not
/// the project's business; what a project needs stands in its `.env`.
const PASSED_ON: &[&str] = &["HOME", "PATH", "USER", "LANG", "DOCKER_CONFIG", "DOCKER_DEFAULT_PLATFORM"];

/// Why the work tree cannot be read, if it cannot: not cloned yet, gone, or closed to this user are not the same.
fn usable(repo: &Repo, view: &View) -> Result<(), Failure> {
    let path = repo.path.display();
    match files::at(view.tree(), view.tree(), || std::fs::read_dir(view.tree())).flatten() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(match repo.remote {
            Some(_) => Failure::new(format!("{path} is not there"))
                .hint(format!("the next deployment clones it: turnout deploy {}", repo.name)),
            None => Failure::new(format!("{path} is not there (any more)")).hint(
                "put the work tree back, correct the path in repos.yaml, or give a `remote` so that it can be cloned",
            ),
        }),
        Err(error) => {
            let usual = || "this user, and the daemon's, need access to it and to the directories above".to_owned();
            Err(Failure::new(format!("{path} cannot be looked into: {error}"))
                .hint(files::hint(&error).unwrap_or_else(usual)))
        }
    }
}

/// Project and files of a repository, chosen but not read yet.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Project name and files.
    pub stack: Stack,
    /// What the loader is asked for.
    pub request: LoadRequest,
    /// A base file that is left out.
    base: Option<&'static str>,
    /// What was odd, in words.
    notes: Vec<String>,
    /// What reads its files.
    disk: DiskFiles,
}

/// From where the files of a repository may be read.
fn reach(repo: &Repo, view: &View) -> Reach {
    let root = view.tree().to_owned();
    let (links, modules) = match git::committed_links(&root) {
        Ok(git::CommittedLinks { links, modules }) => (links, modules),
        // Whose a link is, nobody can tell: then it counts as a commit's, wherever it is.
        Err(_) => (BTreeSet::new(), [PathBuf::new()].into()),
    };
    let outside = repo.outside_paths == OutsidePaths::Allow;
    let written = repo.path.clone();
    Reach::Repository(Arc::new(files::Repository { name: repo.name.clone(), root, written, links, modules, outside }))
}

fn is_file(disk: &DiskFiles, path: &Path) -> bool {
    // What may not be read is there, and told of where it is read.
    disk.exists(path) && !disk.is_dir(path)
}

/// Reads the `.env` and chooses project, files, profiles and the environment that Compose files are filled in from. Secrets
/// are registered before anything can be said of them. `colour`: in the place of COLOR in the `.env`, where the project is read
/// for another one. Blocking.
///
/// # Errors
/// With file, line and what would be right.
pub fn choose_project(repo: &Repo, view: &View, redactor: &Redactor, colour: Option<&str>) -> Result<Chosen, Failure> {
    let redactor = &redactor.of(&repo.name);
    let (root, tree) = (repo.real_path.as_path(), view.tree());
    usable(repo, view)?;
    let disk = DiskFiles::within(reach(repo, view));
    let env = read_env(tree, &repo.env_file, &disk, redactor)?;
    let mut known = secrets::of_values(secrets::pairs_of(&env));
    // A password that is also the name of everything would leave no line readable.
    known.retain(|text| *text != repo.name && *text != repo.project);
    redactor.add_all(&known);
    if let Some(directory) = docker_config_directory(&std::env::vars().collect()) {
        // The server's own, whoever uses them.
        redactor.own().add_all(&secrets::of_logins(&directory));
    }
    let mut present = present(tree, &repo.compose_files, &disk)?;
    let value = |key: &str| env.get(key).map(String::as_str);
    let named = compose_env::files(&env, repo, &present);
    present.extend(named.iter().flatten().filter(|file| is_file(&disk, &tree.join(file))).cloned());
    let configured = named.as_deref().unwrap_or(&repo.compose_files);
    let mut stack = stack::choose(&repo.project, configured, colour.or(value("COLOR")), value("DEBUG"), &present)
        .map_err(|error| not_chosen(repo, &error, named.is_some()))?;
    if named.is_some() {
        stack.reason = format!("named by COMPOSE_FILE in {}", repo.env_file);
    }
    let base = overlay::left_out(&stack, &repo.compose_files, &present);
    let mut notes = compose_env::notes(&env, repo, &stack);
    let lies = project_directory(root, &stack);
    if lies != root && named.is_none() && repo.env_file == ".env" && env.keys().any(|name| !is_ours(name)) {
        notes.push(format!(
            "variables in Compose files are filled in from {}, as `docker compose -f {}` does; {} only gives DEBUG, COLOR \
             and COMPOSE_*",
            lies.join(".env").display(),
            stack.files.join(" -f "),
            root.join(".env").display()
        ));
    }
    let passed = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut process_env: BTreeMap<String, String> = passed.collect();
    if let Some(colour) = colour {
        // Over what the `.env` says, as Compose has it.
        process_env.insert("COLOR".to_owned(), colour.to_owned());
    }
    if named.is_some() && lies != root {
        // Compose reads the `.env` that holds COMPOSE_FILE first, and the one beside the files below it.
        env.iter().for_each(|(name, value)| {
            process_env.entry(name.clone()).or_insert_with(|| value.clone());
        });
    }
    let request = LoadRequest {
        working_dir: root.to_owned(),
        // As for `docker compose -f`: relative paths count from the folder of the first file.
        project_directory: Some(lies),
        files: stack.files.iter().map(|file| root.join(file).to_string_lossy().into_owned()).collect(),
        // An `env_file` other than the usual takes its place in interpolation too.
        env_files: match repo.env_file.as_str() {
            ".env" => Vec::new(),
            other => vec![root.join(other).to_string_lossy().into_owned()],
        },
        project_name: Some(stack.project.clone()),
        profiles: compose_env::profiles(&env, repo),
        process_env,
        stdin: None,
        services: Vec::new(),
        options: LoadOptions { repository: Some(repo.name.clone()), ..LoadOptions::default() },
    };
    Ok(Chosen { stack, request, base, notes, disk })
}

/// Reads the project of a repository. Its secrets are registered before anything can be said of it. Blocking.
///
/// # Errors
/// With file, line and what would be right.
pub fn load_project(repo: &Repo, redactor: &Redactor) -> Result<TreeProject, Failure> {
    load_project_through(repo, View::of(repo), redactor)
}

/// As [`load_project`], of files that are read where the view has them. Blocking.
///
/// # Errors
/// As [`load_project`].
pub fn load_project_through(repo: &Repo, view: View, redactor: &Redactor) -> Result<TreeProject, Failure> {
    load_in(repo, view, redactor, None)
}

/// As [`load_project_through`]; with a colour in the place of COLOR in the `.env`. Blocking.
///
/// # Errors
/// As [`load_project`].
pub(super) fn load_in(
    repo: &Repo,
    view: View,
    redactor: &Redactor,
    colour: Option<&str>,
) -> Result<TreeProject, Failure> {
    let redactor = &redactor.of(&repo.name);
    let tree = view.tree();
    let Chosen { stack, request, base, notes, disk } = choose_project(repo, &view, redactor, colour)?;
    let files = Learning { files: Viewed { view: &view, files: disk.clone() }, texts: RefCell::default() };
    let loaded = load(&request, &files).map_err(|error| {
        // What cannot be loaded has no values to look through, and its error may quote a line of any file.
        let mut known: Vec<String> = files.texts.borrow().iter().flat_map(|text| secrets::of_lines(text)).collect();
        known.retain(|text| *text != repo.name && *text != repo.project);
        redactor.add_all(&known);
        let failure = Failure::from(error);
        match base {
            Some(base) => failure.hint(overlay::line(base, &stack)),
            None => failure,
        }
    })?;
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(notes);
    if let Some(base) = base {
        // A base file that cannot be read is none of this deployment's business.
        let text = |file: &str| {
            let bytes = disk.read(&tree.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let chosen = stack.files.first().map(|file| text(file)).unwrap_or_default();
        if let Some(missing) = overlay::missing(&text(base), &chosen) {
            let why = &stack.reason;
            warnings.push(format!("{base} is left out ({why}): {missing}; {}", overlay::line(base, &stack)));
        }
    }
    bounds::refuse(&loaded.project)?;
    if let Some(refused) = out_of_reach(&loaded.project) {
        let OutOfReach { service, attribute, path, error } = refused;
        let failure = Failure::new(format!("service {service}: {attribute}: {} {error}", path.display()));
        return Err(match files::hint(&error).or_else(|| denied(&error, &path)) {
            Some(hint) => failure.hint(format!("nothing was changed; {hint}")),
            None => failure,
        });
    }
    let mut known = secrets::of_project(&loaded.project);
    known.retain(|text| *text != repo.name && *text != repo.project && !loaded.project.services.contains_key(text));
    redactor.add_all(&known);
    let mut loaded = TreeProject { stack, project: loaded.project, warnings, view: view.clone() };
    let policies = mounted::policies(repo, &loaded)?;
    let strangers = repo.on_mounted_change.services.keys().filter(|name| !policies.contains_key(*name));
    loaded.warnings.extend(strangers.map(|name| {
        format!(
            "on_mounted_change in repos.yaml names {name}, and the project has no such service (with these profiles)"
        )
    }));
    Ok(loaded)
}

/// The disk, and what was read from it: Compose files, each `env_file`, the `.env` of what they include.
struct Learning<'v> {
    files: Viewed<'v, DiskFiles>,
    texts: RefCell<Vec<String>>,
}

impl FileSource for Learning<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path)?;
        self.texts.borrow_mut().push(String::from_utf8_lossy(&bytes).into_owned());
        Ok(bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.files.is_dir(path)
    }

    fn stays_in(&self, path: &Path, folder: &Path) -> bool {
        self.files.stays_in(path, folder)
    }

    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.files.link_target(path)
    }

    fn reach(&self) -> Reach {
        self.files.reach()
    }
}

fn not_chosen(repo: &Repo, error: &StackError, by_env: bool) -> Failure {
    let path = repo.path.display();
    match error {
        StackError::Missing(file) if by_env => Failure::new(format!(
            "{path}: COMPOSE_FILE in {} names {file}, which is not in the repository",
            repo.env_file
        ))
        .hint(format!("correct it, or commit the file; paths count from {path}")),
        other => Failure::new(format!("{path}: {other}")).hint(other.hint()),
    }
}

/// The folder that relative paths in the Compose files count from.
fn project_directory(root: &Path, stack: &Stack) -> PathBuf {
    let first = stack.files.first().map(|file| root.join(file));
    first.and_then(|file| Some(file.parent()?.to_owned())).unwrap_or_else(|| root.to_owned())
}

/// Variables of the `.env` that turnout itself reads.
fn is_ours(name: &str) -> bool {
    name == "DEBUG" || name == "COLOR" || name.starts_with("COMPOSE_")
}

/// The steps, checked. `intent` has what was found out; how a deployer goes about it is laid over it.
///
/// # Errors
/// When the project cannot be brought up here.
pub(super) fn make_plan(
    project: &Project,
    observed: &Observed,
    decision: &Decision,
    intent: Intent,
    orphans: Judged,
) -> Result<Plan, Failure> {
    let intent = Intent {
        build: if intent.no_build { BTreeMap::new() } else { decision.builds() },
        // A deployer runs a finished job again when it changed, not at every push.
        rerun_completed_jobs: false,
        restore_names: true,
        remove_orphans: true,
        without_flags: true,
        spared_orphans: orphans.spared,
        idle_orphans: orphans.idle,
        remove_idle_networks: orphans.networks,
        now: clock::now_ms() / 1000,
        ..intent
    };
    let plan = plan::converge(project, observed, &intent)?;
    plan::check(&plan).map_err(|fault| {
        Failure::new(format!("the plan is unsound and was not begun: {fault}"))
            .hint("this is a mistake of turnout's; please report it with the output of `turnout plan`")
    })?;
    Ok(plan)
}

/// The repository's `.env`; absent is empty.
fn read_env(
    root: &Path,
    name: &str,
    disk: &DiskFiles,
    redactor: &Redactor,
) -> Result<BTreeMap<String, String>, Failure> {
    let file = root.join(name);
    let bytes = match disk.read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            let failure = Failure::new(format!("{} cannot be read: {error}", file.display()));
            return Err(match files::hint(&error).or_else(|| denied(&error, &file)) {
                Some(hint) => failure.hint(format!("nothing was changed; {hint}")),
                None => failure,
            });
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::new(format!("{} is not UTF-8 (byte {})", file.display(), error.utf8_error().valid_up_to()))
    })?;
    let values = dotenv::parse(&text, &|_| None).map_err(|error| {
        // The line that is quoted may hold a secret.
        redactor.add_all(&secrets::of_lines(&text));
        Failure::new(format!("{}: {error}", file.display()))
            .hint("nothing was changed; correct the line, then push again or run `turnout deploy`")
    })?;
    Ok(values.into_iter().collect())
}

/// What to do where the file system keeps this process from reading a path.
fn denied(error: &io::Error, path: &Path) -> Option<String> {
    // With what is the gate's own refusal, rights have nothing to do.
    if error.kind() != io::ErrorKind::PermissionDenied || error.raw_os_error().is_none() {
        return None;
    }
    // The work tree is the daemon's. Somebody else, who asks at the command line, must not take its files over.
    let whose = path.parent().and_then(files::owner);
    if whose.is_some_and(|owner| owner != rustix::process::geteuid().as_raw())
        && let Some(as_whom) = files::anothers(error, path)
    {
        return Some(match files::owner(path) {
            Some(0) => format!("{as_whom}; {}", files::let_in(path)),
            _ => as_whom,
        });
    }
    let user = files::this_user();
    Some(format!("turnout runs as user {user}, who must own it or be let in: `chown {user} {}`", path.display()))
}

/// Names at the top of the repository, and configured files that exist.
fn present(root: &Path, configured: &[String], disk: &DiskFiles) -> Result<BTreeSet<String>, Failure> {
    let entries = files::at(root, root, || std::fs::read_dir(root)).flatten();
    let entries = entries.map_err(|error| {
        let failure = Failure::new(format!("{} cannot be read: {error}", root.display()));
        match denied(&error, root) {
            Some(hint) => failure.hint(format!("nothing was changed; {hint}")),
            None => failure,
        }
    })?;
    let mut names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.extend(configured.iter().filter(|file| is_file(disk, &root.join(file))).cloned());
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::repos;

    #[test]
    fn whose_rights_are_wanting_is_told() {
        let said = denied(&io::Error::from_raw_os_error(13), Path::new("/srv/shop/.env")).unwrap();
        assert!(said.starts_with("turnout runs as user ") && said.ends_with(" /srv/shop/.env`"), "{said}");
        assert_eq!(denied(&io::Error::from_raw_os_error(5), Path::new("/srv/shop/.env")), None);
        let gate = io::Error::new(io::ErrorKind::PermissionDenied, "it lies outside of the repository");
        assert_eq!(denied(&gate, Path::new("/srv/shop/.env")), None);
    }

    #[test]
    fn what_cannot_be_loaded_gives_no_secret_away() {
        for (file, text) in [
            ("conf/app.env", "API_TOKEN=\"s3cret-of-env\n"),
            ("conf/app.env", "DB_PASSWORD=fine\nMAIL_PASSWORD 's3cret-of-env\n"),
            ("conf/app.env", "KEY='first\ns3cret-of-env\n'\nMAIL PASSWORD s3cret-of-env\nDB_PASSWORD=s3cret-of-env\n"),
            (
                "docker-compose.yml",
                "services:\n  web:\n    image: x\n    environment:\n      - API_KEY=s3cret-of-env\n    ports: [\"s3cret-of-env\"]\n",
            ),
            (
                "docker-compose.yml",
                "services:\n  web:\n    image: x\n    environment: { API_KEY: s3cret-of-env }\n    mem_limit: s3cret-of-env\n",
            ),
            (
                "docker-compose.yml",
                "services:\n  web:\n    image: x\n    environment:\n      DB_PASSWORD: |-\n        s3cret-of-env${\n",
            ),
            ("conf/app.env", "DB_PASSWORD=${NOPE?s3cret-of-env}\n"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let usual = "services:\n  web:\n    image: x\n    env_file: conf/app.env\n";
            std::fs::create_dir(dir.path().join("conf")).unwrap();
            std::fs::write(dir.path().join("docker-compose.yml"), usual).unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
            let list = format!("shop: {}\n", dir.path().display());
            let look = |path: &Path| repos::PathState::Directory(path.to_path_buf());
            let repo = repos::parse(&list, "repos.yaml", &look).unwrap().repos.remove(0);
            let redactor = Redactor::new();
            let failure = load_project(&repo, &redactor).expect_err(text);
            let said = failure.clone().redacted(&redactor.of(&repo.name));
            let said = format!("{} {}", said.summary, said.hint.unwrap_or_default());
            assert!(!said.contains("s3cret"), "{text}: {said}");
            assert!(said.contains(file.rsplit('/').next().unwrap()) || said.contains("web"), "{said}");
        }
    }
}
