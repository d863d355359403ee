//! From the merged document to the typed project.
//!
//! Per model (the main one, and each included one): [`defaults`], [`validate`], [`paths`], [`environment`].
//! Once: [`finish`]. Rules: compose-go 2.9.1, `loader.ModelToProject` and what it calls.

mod consistency;
pub mod defaults;
pub mod environment;
mod env_files;
mod normalise;
pub mod paths;
mod select;
mod typing;
pub mod validate;

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    error::{LoadError, Warning},
    model::Project,
    source::FileSource,
};
use crate::yaml::{Node, Pos};

/// What [`finish`] needs besides the document.
pub struct FinishContext<'a> {
    /// Project name, already valid.
    pub name: String,
    /// Project directory, absolute.
    pub working_dir: PathBuf,
    /// Variables: process over `.env`.
    pub environment: BTreeMap<String, String>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Services wanted, with what they depend on; empty = all.
    pub services: Vec<String>,
    /// Compose files in order, absolute (`-` for standard input).
    pub config_files: Vec<String>,
    /// `--env-file` values as given.
    pub env_files: Vec<String>,
    /// Whether `env_file` is read into `environment`.
    pub resolve_env_files: bool,
    /// Where env and label files are read.
    pub files: &'a dyn FileSource,
}

/// Names what is implicit, types the document, keeps what is selected and checks that it fits together.
///
/// # Errors
///
/// The first mistake found, with attribute path and place.
pub fn finish(
    mut root: Node,
    context: &FinishContext<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Project, LoadError> {
    normalise::apply(&mut root, &context.name, &context.environment);
    let mut project = typing::project(&root, warnings)?;
    project.name.clone_from(&context.name);
    project.working_dir.clone_from(&context.working_dir);
    project.config_files.clone_from(&context.config_files);
    project.env_files.clone_from(&context.env_files);
    project.environment.clone_from(&context.environment);

    let places = Places { root: &root };
    select::by_profiles(&mut project, &context.profiles);
    consistency::check(&mut project, &places)?;
    env_files::resolve_labels(&mut project, context.files, &places)?;
    select::enable(&mut project, &context.services);
    select::with_dependencies(&mut project, &context.services)?;
    select::prune(&mut project);
    if context.resolve_env_files {
        env_files::resolve_environment(&mut project, context.files, &places, warnings)?;
    }
    consistency::check_container_names(&project, &places)?;
    Ok(project)
}

/// Finds where attributes of the typed project stood in the files.
struct Places<'a> {
    root: &'a Node,
}

impl Places<'_> {
    /// An error at `path`, placed at the deepest part of it that stands in a file.
    fn error(&self, path: &[&str], message: impl Into<String>) -> LoadError {
        let mut error = LoadError::new(message).path(path.join("."));
        if let Some(pos) = self.find(path) {
            error = error.pos(pos);
        }
        error
    }

    fn find(&self, path: &[&str]) -> Option<Pos> {
        let mut node = self.root;
        let mut pos = None;
        for key in path {
            let Some(entry) = node.as_map().and_then(|map| map.get(*key)) else { break };
            pos = Some(entry.key_pos.clone());
            node = &entry.node;
        }
        pos
    }
}
