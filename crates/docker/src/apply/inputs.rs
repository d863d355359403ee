//! What goes into images, as carrying out a plan needs it: written on what is built. Who reads and remembers it stands
//! above the engine.

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use turnout_compose::model::Project;

use crate::{Engine, EngineError};

/// Reads what goes into images.
pub trait InputReader: Send + Sync {
    /// What a build of this image would read now; none where that cannot be seen.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn read<'a>(
        &'a self,
        engine: &'a Engine,
        project: &'a Project,
        image: &'a str,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Option<Box<dyn InputsRead>>, EngineError>>;
}

/// What goes into one image.
pub trait InputsRead: Send {
    /// Its digest, which a label of the image keeps.
    fn fingerprint(&self) -> String;

    /// The image is built and has this ID: remembers what it was built from.
    ///
    /// # Errors
    /// When the engine does not answer. That nothing can be remembered is no failure of the build.
    fn built<'a>(self: Box<Self>, engine: &'a Engine, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>>;
}
