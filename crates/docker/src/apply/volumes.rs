//! Steps that make and remove volumes, and that pull and remove images.

use bollard::query_parameters::{RemoveImageOptions, RemoveVolumeOptions};

use super::{executor::Executor, schedule::Did};
use crate::{EngineError, error::status_of, image, translate};

impl Executor<'_> {
    /// [`turnout_plan::Action::CreateVolume`].
    pub(super) async fn create_volume(&self, key: &str, name: &str) -> Result<Did, EngineError> {
        let project = self.run.project;
        let absent = || EngineError::Stale(format!("the project has no volume {key}"));
        let definition = project.volumes.get(key).ok_or_else(absent)?.clone().unwrap_or_default();
        // A volume of that name made meanwhile is returned as it is: creation never changes one.
        let created =
            self.engine.ask(self.engine.docker().create_volume(translate::volume(project, key, &definition))).await;
        created.map_err(|e| EngineError::api(format!("create volume {name}"), e))?;
        Ok(Did::Done(format!("created volume {name}")))
    }

    /// [`turnout_plan::Action::RemoveVolume`].
    pub(super) async fn remove_volume(&self, name: &str, replaced: bool) -> Result<Did, EngineError> {
        let removed = self.engine.ask(self.engine.docker().remove_volume(name, None::<RemoveVolumeOptions>)).await;
        match removed {
            Err(error) if replaced && status_of(&error) != Some(404) => {
                Err(EngineError::api(format!("remove volume {name}"), error))
            }
            removed => self.removed(format!("volume {name}"), removed),
        }
    }

    /// [`turnout_plan::Action::Pull`].
    pub(super) async fn pull(&self, service: &str, image: &str, tolerate: bool) -> Result<Did, EngineError> {
        match image::pull_for(self.engine, self.run.project, service, image, &self.image_context()).await {
            Ok(id) => {
                self.world.set_image(image, &id.0);
                Ok(Did::Done(format!("pulled {image}")))
            }
            Err(_) if self.run.cancel.is_cancelled() => Err(EngineError::Cancelled),
            Err(error) if tolerate => Ok(Did::Skipped(format!("{error}; going on without"))),
            Err(error) => Err(error.of_engine()),
        }
    }

    /// [`turnout_plan::Action::RemoveImage`].
    pub(super) async fn remove_image(&self, image: &str) -> Result<Did, EngineError> {
        let removed = self.engine.ask(self.engine.docker().remove_image(image, None::<RemoveImageOptions>, None)).await;
        self.removed(format!("image {image}"), removed.map(drop))
    }

    /// Absent is a good end; in use is a warning. The words are those of Compose.
    pub(super) fn removed(&self, what: String, result: Result<(), bollard::errors::Error>) -> Result<Did, EngineError> {
        match result {
            Ok(()) => Ok(Did::Done(format!("removed {what}"))),
            Err(error) if status_of(&error) == Some(404) => Ok(Did::Skipped("No resource found to remove".to_owned())),
            Err(error) if matches!(status_of(&error), Some(403 | 409)) => {
                self.run.reporter.warn(format!("{what} is still in use and was kept: {error}"));
                Ok(Did::Skipped("Resource is still in use".to_owned()))
            }
            Err(error) => Err(EngineError::api(format!("remove {what}"), error)),
        }
    }
}
