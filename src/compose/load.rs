//! From a request to a loaded project: the whole pipeline on one screen.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};

use super::{
    document::{self, Scope, Session},
    error::{LoadError, Warning},
    model::Project,
    name,
    resolve::{self, FinishContext},
    select_files,
    source::FileSource,
};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct LoadRequest {
    /// Directory that relative arguments refer to; absolute.
    pub working_dir: PathBuf,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-f`, in order; `-` is [`LoadRequest::stdin`]. Empty = `COMPOSE_FILE`, else discovery.
    pub files: Vec<String>,
    /// Text of standard input, for `-f -`.
    pub stdin: Option<String>,
    /// `--env-file`, in order. Empty = `COMPOSE_ENV_FILES`, else `.env` of the project directory.
    pub env_files: Vec<String>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// Environment of the process; wins over every `.env`.
    pub process_env: BTreeMap<String, String>,
    /// Services wanted, with what they depend on. Empty = all.
    pub services: Vec<String>,
    /// Options.
    pub options: LoadOptions,
}

/// How to load.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Replace variables (`--no-interpolate` turns it off).
    pub interpolate: bool,
    /// Read `env_file` into `environment`.
    pub resolve_env_files: bool,
    /// Bounds.
    pub limits: crate::yaml::Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { interpolate: true, resolve_env_files: true, limits: crate::yaml::Limits::default() }
    }
}

/// A loaded project and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// Oddities.
    pub warnings: Vec<Warning>,
}

/// Loads a project exactly as Compose 2.40.3 does.
///
/// # Errors
///
/// The first mistake found, with attribute path and place.
pub fn load(request: &LoadRequest, files: &dyn FileSource) -> Result<Loaded, LoadError> {
    let mut warnings = Vec::new();
    let options = &request.options;
    if !request.working_dir.is_absolute() {
        return Err(LoadError::new(format!("the working directory {} is not absolute", request.working_dir.display())));
    }

    // Environment, files, directory, profiles; then the name, which variables may refer to.
    let mut selected = select_files::select(request, files, &mut warnings)?;
    let mut session = Session::new(request, files);
    let texts = selected.files.iter().map(|file| session.read(file)).collect::<Result<Vec<_>, _>>()?;
    let name = name::project_name(
        request.project_name.as_deref(),
        &selected.environment,
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
        &selected.directory,
        options.interpolate,
        &mut warnings,
    )?;
    drop(texts);
    selected.environment.insert("COMPOSE_PROJECT_NAME".into(), name.clone());

    // Every document of every file over the ones before, with what it extends and includes.
    let scope = Scope {
        working_dir: selected.directory.clone(),
        loader_dir: selected.directory.clone(),
        environment: Rc::new(selected.environment.clone()),
    };
    session.warnings = warnings;
    let root = document::load_model(&mut session, &scope, &selected.files, &[])?;
    if root.as_map().is_none_or(|map| map.is_empty()) {
        return Err(LoadError::at("", &root, "empty compose file").hint("begin with services:"));
    }

    // From the tree to the typed, selected project.
    let mut warnings = session.warnings;
    let context = FinishContext {
        name,
        working_dir: selected.directory.into(),
        environment: selected.environment,
        profiles: selected.profiles,
        services: request.services.clone(),
        config_files: selected.files,
        env_files: selected.env_files,
        resolve_env_files: options.resolve_env_files,
        files,
    };
    let project = resolve::finish(root, &context, &mut warnings)?;
    Ok(Loaded { project, warnings: without_repetitions(warnings) })
}

/// Each warning once, as the same text is often met on several ways.
fn without_repetitions(warnings: Vec<Warning>) -> Vec<Warning> {
    let mut seen = BTreeSet::new();
    warnings.into_iter().filter(|warning| seen.insert(warning.message.clone())).collect()
}
