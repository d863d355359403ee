//! What images say of themselves that matters to whoever decides how their services are deployed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use turnout_compose::model::Duration;

use super::{Engine, EngineError};

/// Inspections side by side.
const INSPECTIONS: usize = 8;

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSays {
    /// Paths that it declares as volumes.
    pub volumes: BTreeSet<String>,
    /// TCP ports that it exposes.
    pub ports: BTreeSet<u16>,
    /// `CMD`; empty where it has none.
    pub command: Vec<String>,
    /// `ENTRYPOINT`; empty where it has none.
    pub entrypoint: Vec<String>,
    /// Whether it brings a health check.
    pub healthcheck: bool,
    /// How long that may fail after a start.
    pub start_period: Duration,
}

impl Engine {
    /// What these images say of themselves, by name; those that are not here are left out.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn images_say(&self, names: BTreeSet<String>) -> Result<BTreeMap<String, ImageSays>, EngineError> {
        let looks = names.into_iter().map(|name| async move {
            let found = self.find_image(&name).await?;
            Ok::<_, EngineError>((name, found.map(|found| found.config.unwrap_or_default())))
        });
        let all: Vec<_> = stream::iter(looks).buffered(INSPECTIONS).try_collect().await?;
        let says = |config: bollard::models::ImageConfig| {
            let tcp = |port: String| port.strip_suffix("/tcp").unwrap_or(&port).parse().ok();
            let check = config.healthcheck.unwrap_or_default();
            let test = check.test.unwrap_or_default();
            ImageSays {
                volumes: config.volumes.unwrap_or_default().into_iter().collect(),
                ports: config.exposed_ports.unwrap_or_default().into_iter().filter_map(tcp).collect(),
                command: config.cmd.unwrap_or_default(),
                entrypoint: config.entrypoint.unwrap_or_default(),
                healthcheck: test.first().is_some_and(|word| word != "NONE"),
                start_period: Duration(check.start_period.unwrap_or_default()),
            }
        };
        Ok(all.into_iter().filter_map(|(name, config)| Some((name, says(config?)))).collect())
    }
}
