//! What is asked of the loader: which project, and how it is to be read.

use std::{collections::BTreeMap, path::PathBuf};

/// Values of one file, aliases expanded. Large ones have some thousand.
const MAX_VALUES: usize = 500_000;

/// Which project to load, from which files, as which command line asks for it.
#[derive(Debug, Clone, Default)]
pub struct LoadRequest {
    /// Directory that relative arguments refer to; absolute.
    pub working_dir: PathBuf,
    /// `--project-directory`: what paths in the files count from; none = the folder of the first file.
    pub project_directory: Option<PathBuf>,
    /// `-f`, in order; `-` is [`LoadRequest::stdin`]. Empty = `COMPOSE_FILE`, else discovery.
    pub files: Vec<String>,
    /// Text of standard input, for `-f -`.
    pub stdin: Option<String>,
    /// `--env-file`, in order. Empty = `COMPOSE_ENV_FILES`, else `.env` of the project directory.
    pub env_files: Vec<String>,
    /// `-p`: the project's name, whatever the files say.
    pub project_name: Option<String>,
    /// `--profile`: profiles to activate.
    pub profiles: Vec<String>,
    /// Environment of the process; wins over every `.env`.
    pub process_env: BTreeMap<String, String>,
    /// Services wanted, with what they depend on. Empty = all.
    pub services: Vec<String>,
    /// How the files are read.
    pub options: LoadOptions,
}

/// How the files of a project are read.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Replace variables (`--no-interpolate` turns it off).
    pub interpolate: bool,
    /// Make explicit what is implied: names, the default network, dependencies (`--no-normalize` turns it off).
    pub normalise: bool,
    /// Make paths absolute (`--no-path-resolution` turns it off).
    pub resolve_paths: bool,
    /// Check that services and resources fit together (`--no-consistency` turns it off).
    pub check_consistency: bool,
    /// Whose `env_file` is read into `environment`.
    pub env_files: EnvFiles,
    /// Refuse a container name that two services own.
    pub unique_container_names: bool,
    /// Keep networks, volumes, secrets, configs and models that no active service uses (`--all-resources`).
    pub all_resources: bool,
    /// Configured name of the repository that the project is of.
    pub repository: Option<String>,
    /// How large the YAML of one file may be.
    pub limits: turnout_yaml::Limits,
}

/// Whose env files are read. A file that is missing is an error only where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvFiles {
    /// Nobody's: what `env_file` names is not opened.
    OfNone,
    /// Those of the services that remain: what `up` does.
    OfSelected,
    /// Those of every service that the profiles activate, wanted or not; not those of a service that is only active
    /// because it was named.
    OfActive,
    /// Both, one after the other: what `config` does.
    OfActiveAndSelected,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            interpolate: true,
            normalise: true,
            resolve_paths: true,
            check_consistency: true,
            env_files: EnvFiles::OfSelected,
            unique_container_names: true,
            all_resources: false,
            repository: None,
            limits: turnout_yaml::Limits { max_nodes: MAX_VALUES, ..turnout_yaml::Limits::default() },
        }
    }
}
