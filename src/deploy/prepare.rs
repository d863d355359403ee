//! From a work tree to a plan: `.env`, Compose files, the decision about builds. Reads, changes nothing.
//!
//! `turnout plan` ends after this; `turnout deploy` goes on with the very same value.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use super::{
    Failure,
    orphans::Judged,
    stack::{self, Stack},
};
use crate::{
    compose::{
        dotenv,
        load::{LoadOptions, LoadRequest, load},
        model::Project,
        source::{DiskFiles, FileSource as _},
    },
    config::Repo,
    decide::{Base, Decision},
    engine::Engine,
    plan::{self, Intent, Observed, Plan},
};

/// Variables of the daemon's environment that a project may see. Its own settings, and above all its secrets, are not
/// the project's business; what a project needs stands in its `.env`.
const PASSED_ON: &[&str] = &["HOME", "PATH", "USER", "LANG", "DOCKER_CONFIG", "DOCKER_DEFAULT_PLATFORM"];

/// A project read from a work tree.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Project name and files.
    pub stack: Stack,
    /// The project.
    pub project: Project,
    /// What was odd, in words.
    pub warnings: Vec<String>,
}

/// A deployment, decided but not begun.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The project.
    pub loaded: Loaded,
    /// What the changed files were compared with.
    pub base: Base,
    /// What is rebuilt, and why.
    pub decision: Decision,
    /// The steps.
    pub plan: Plan,
    /// The engine they were planned for.
    pub engine: Engine,
}

/// Reads the `.env`, chooses project and files, loads the project. Blocking.
///
/// # Errors
/// With file, line and what would be right.
pub fn load_project(repo: &Repo) -> Result<Loaded, Failure> {
    let root = repo.real_path.as_path();
    if !root.is_dir() {
        return Err(Failure::new(format!("{} is not there (any more)", repo.path.display())).hint(
            "put the work tree back, correct the path in repos.yaml, or give a `remote` so that it can be cloned",
        ));
    }
    let env = read_env(root, &repo.env_file)?;
    let present = present(root, &repo.compose_files)?;
    let value = |key: &str| env.get(key).map(String::as_str);
    let stack = stack::choose(&repo.project, &repo.compose_files, value("COLOR"), value("DEBUG"), &present)
        .map_err(|error| Failure::new(format!("{}: {error}", repo.path.display())).hint(error.hint()))?;
    let request = LoadRequest {
        working_dir: root.to_owned(),
        project_directory: Some(root.to_owned()),
        files: stack.files.iter().map(|file| root.join(file).to_string_lossy().into_owned()).collect(),
        // An `env_file` other than the usual takes its place in interpolation too.
        env_files: match repo.env_file.as_str() {
            ".env" => Vec::new(),
            other => vec![root.join(other).to_string_lossy().into_owned()],
        },
        project_name: Some(stack.project.clone()),
        profiles: repo.profiles.clone(),
        process_env: PASSED_ON
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect(),
        stdin: None,
        services: Vec::new(),
        options: LoadOptions::default(),
    };
    let loaded = load(&request, &DiskFiles::default())?;
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    let project = Project { repository: Some(repo.name.clone()), ..loaded.project };
    Ok(Loaded { stack, project, warnings })
}

/// The steps, checked.
///
/// # Errors
/// When the project cannot be brought up here.
pub(super) fn make_plan(
    project: &Project,
    observed: &Observed,
    decision: &Decision,
    orphans: Judged,
) -> Result<Plan, Failure> {
    let intent = Intent {
        build: decision.builds(),
        // A deployer runs a finished job again when it changed, not at every push.
        rerun_completed_jobs: false,
        remove_orphans: true,
        spared_orphans: orphans.spared,
        idle_orphans: orphans.idle,
        now: super::now_ms() / 1000,
        ..Intent::default()
    };
    let plan = plan::converge(project, observed, &intent)?;
    plan::check(&plan).map_err(|fault| {
        Failure::new(format!("the plan is unsound and was not begun: {fault}"))
            .hint("this is a mistake of turnout's; please report it with the output of `turnout plan`")
    })?;
    Ok(plan)
}

/// The repository's `.env`; absent is empty.
fn read_env(root: &Path, name: &str) -> Result<BTreeMap<String, String>, Failure> {
    let file = root.join(name);
    let bytes = match DiskFiles::default().read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Failure::new(format!("{} cannot be read: {error}", file.display()))),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::new(format!("{} is not UTF-8 (byte {})", file.display(), error.utf8_error().valid_up_to()))
    })?;
    let values = dotenv::parse(&text, &|_| None).map_err(|error| {
        Failure::new(format!("{}: {error}", file.display()))
            .hint("nothing was changed; correct the line, then push again or run `turnout deploy`")
    })?;
    Ok(values.into_iter().collect())
}

/// Names at the top of the repository, and configured files that exist.
fn present(root: &Path, configured: &[String]) -> Result<BTreeSet<String>, Failure> {
    let entries =
        std::fs::read_dir(root).map_err(|error| Failure::new(format!("{} cannot be read: {error}", root.display())))?;
    let mut names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.extend(configured.iter().filter(|file| root.join(file).is_file()).cloned());
    Ok(names)
}
