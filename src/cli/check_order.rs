//! What `turnout check` says of services whose replacement is to start before the old one stops, where a stack is deployed in
//! place.

use crate::{
    config::{Repo, Settings},
    deploy::{TreeProject, start_first},
    engine::Engine,
};

/// A line for each service that asks for it; the wrong ones are marked.
pub(super) async fn of(
    settings: &Settings,
    repo: &Repo,
    project: &TreeProject,
    engine: &Engine,
) -> Vec<(bool, String)> {
    let repo_name = &repo.name;
    match start_first::asked(repo, project, engine, &settings.state_dir).await {
        Ok(asked) => asked
            .into_iter()
            .map(|(service, may)| match may {
                Ok(()) => (
                    false,
                    format!(
                        "{repo_name}: {service} is replaced start-first: the old container runs until the new one is ready"
                    ),
                ),
                Err(why) => (
                    false,
                    format!(
                        "{repo_name}: but note: deploy.update_config.order of {service} is start-first, and the old \
                         container stops before the new one starts: {why}"
                    ),
                ),
            })
            .collect(),
        Err(failure) => vec![(true, format!("{repo_name}: {}", failure.summary))],
    }
}
