//! A project that was read, and a deployment of it that was decided and not begun.

use super::{compared::Compared, stack::Stack, view::View};
use crate::{
    compose::model::Project,
    decide::{Base, Decision},
    engine::{Engine, Stands},
    plan::Plan,
};

/// A project read from a work tree.
#[derive(Debug, Clone)]
pub struct TreeProject {
    /// Project name and files.
    pub stack: Stack,
    /// The project, interpolated and resolved.
    pub project: Project,
    /// What was odd, in words.
    pub warnings: Vec<String>,
    /// Where its files are read.
    pub view: View,
}

/// A deployment, decided but not begun.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The project that is deployed.
    pub loaded: TreeProject,
    /// What the changed files were compared with.
    pub base: Base,
    /// What is rebuilt, and why.
    pub decision: Decision,
    /// What will be done, step by step.
    pub plan: Plan,
    /// The steps as they are printed.
    pub text: String,
    /// What is mounted.
    pub compared: Compared,
    /// The engine they were planned for.
    pub engine: Engine,
    /// What ran of the project when they were planned, as it is kept.
    pub running: Option<String>,
    /// How it stood then, container by container.
    pub stands: Stands,
}
