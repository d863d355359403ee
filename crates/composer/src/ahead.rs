//! The first look at the engine, begun while the project's files are being read: all that the two need of each other is
//! the project's name, and that mostly stands on the command line or is the folder's.
//!
//! What is asked is the same, in the same order, only earlier. The look is made again where the name turns out to be another
//! one, which costs the engine one list, and where reading the files took long, as the engine may have changed meanwhile.

use std::time::Duration;

use turnout_compose::{load, remote};
use turnout_docker::{ClientSettings, Endpoint, Engine, EngineError, observe::Look};

use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// How old a look may be that is planned upon. Reading files takes milliseconds; what takes longer came from elsewhere
/// (`include` of a repository), or somebody was asked.
const FRESH: Duration = Duration::from_secs(1);

/// A connection on its way, and a look behind it.
pub(super) struct Ahead {
    engine: oneshot::Receiver<Result<Engine, EngineError>>,
    look: Begun,
}

/// A look that was begun for a project of this name; it ends with whoever holds this.
pub(super) struct Begun {
    name: String,
    since: Instant,
    task: JoinHandle<Option<Result<Look, EngineError>>>,
}

impl Ahead {
    /// Begins, where the name can be known and nobody has to be asked before the engine is.
    pub(super) fn begin(request: &load::LoadRequest, endpoint: Endpoint, settings: ClientSettings) -> Option<Ahead> {
        // `ssh` may ask for a password, and whoever is asked for one wants to know of a mistake in the files first.
        if matches!(endpoint, Endpoint::Ssh(_)) || request.files.iter().any(|file| remote::parse(file).is_some()) {
            return None;
        }
        let name = load::presumed_name(request)?;
        let (connected, engine) = oneshot::channel();
        let project = name.clone();
        let task = tokio::spawn(async move {
            match Engine::connect_with(&endpoint, settings).await {
                Ok(engine) => {
                    let sent = connected.send(Ok(engine.clone()));
                    // Nobody waits any more.
                    sent.ok()?;
                    Some(engine.look(&project).await)
                }
                Err(error) => {
                    let _ = connected.send(Err(error));
                    None
                }
            }
        });
        Some(Ahead { engine, look: Begun { name, since: Instant::now(), task } })
    }

    /// The connection, and the look that is still on its way. `None` if the attempt came to no end of its own.
    pub(super) async fn connected(self) -> Option<Result<(Engine, Begun), EngineError>> {
        let engine = self.engine.await.ok()?;
        Some(engine.map(|engine| (engine, self.look)))
    }
}

impl Begun {
    /// What was seen of the project of this name; `None` if it was another one's, is old, or could not be finished.
    pub(super) async fn of(mut self, project: &str) -> Option<Result<Look, EngineError>> {
        // One that is still on its way is not old: the engine answers with what is there when it comes to it.
        let old = self.task.is_finished() && self.since.elapsed() > FRESH;
        if old || self.name != project {
            return None;
        }
        (&mut self.task).await.ok().flatten()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.task.abort();
    }
}
