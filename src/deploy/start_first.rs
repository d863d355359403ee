//! Services of a stack that is deployed in place whose replacement is to start before the old one stops
//! (`deploy.update_config.order: start-first`), and what speaks against that.

use std::{collections::BTreeMap, path::Path};

use super::{Failure, TreeProject, colours::facts};
use crate::{
    config::Repo,
    engine::Engine,
    switch::in_place::{any_asks, start_first},
};

/// The services that ask for it, with what forbids it in words. `state`: the state directory.
///
/// # Errors
/// When the engine does not answer.
pub async fn asked(
    repo: &Repo,
    loaded: &TreeProject,
    engine: &Engine,
    state: &Path,
) -> Result<BTreeMap<String, Result<(), String>>, Failure> {
    if !any_asks(&loaded.project) {
        return Ok(BTreeMap::new());
    }
    let facts = facts::gather(repo, loaded, &loaded.stack.color, engine, state).await?;
    let asked = start_first(&loaded.project, &facts).into_iter();
    Ok(asked.map(|(name, may)| (name, may.map_err(|bar| bar.to_string()))).collect())
}
