//! Ties a container's own process to this terminal: what is typed goes there, what it writes comes here, Ctrl-C ends
//! one or both.

use bollard::{
    container::AttachContainerResults,
    query_parameters::{AttachContainerOptions, KillContainerOptions, ResizeContainerTTYOptions},
};

use super::{
    session::interrupted,
    terminal::{self, Raw},
};
use turnout_docker::{Engine, EngineError};

/// How they are tied.
#[derive(Debug, Clone, Default)]
pub(super) struct Tie {
    /// What is typed here goes there.
    pub reads: bool,
    /// The process has a terminal of its own.
    pub tty: bool,
    /// Keys pass as they are.
    pub raw: bool,
    /// Ctrl-C here is a SIGINT there; otherwise it unties them.
    pub signals: bool,
    /// Keys that untie them, as Docker writes them.
    pub detach_keys: Option<String>,
}

/// The two, tied together.
pub(super) struct Tied<'a> {
    engine: &'a Engine,
    id: &'a str,
    tie: Tie,
    ends: AttachContainerResults,
}

impl<'a> Tied<'a> {
    /// Ties them; the process need not run yet.
    ///
    /// # Errors
    /// The engine's.
    pub(super) async fn to(engine: &'a Engine, id: &'a str, name: &str, tie: Tie) -> anyhow::Result<Tied<'a>> {
        let options = AttachContainerOptions {
            stream: true,
            stdin: tie.reads,
            stdout: true,
            stderr: true,
            logs: false,
            detach_keys: tie.detach_keys.clone(),
        };
        let ends = engine.docker().attach_container(id, Some(options)).await;
        let ends = ends.map_err(|error| EngineError::api(format!("attach to {name}"), error))?;
        Ok(Tied { engine, id, tie, ends })
    }

    /// Stays until the process has said everything, or until they are untied. Whether Ctrl-C did that.
    ///
    /// # Errors
    /// When the connection breaks or our output has gone.
    pub(super) async fn stay(self) -> anyhow::Result<bool> {
        let Tied { engine, id, tie, ends } = self;
        let raw = if tie.raw { Some(Raw::enter()?) } else { None };
        let resize = |height, width| async move {
            let size = ResizeContainerTTYOptions { h: i32::from(height), w: i32::from(width) };
            engine.docker().resize_container_tty(id, size).await.is_ok()
        };
        let pump = async {
            let pump = terminal::pump(ends.output, tie.reads.then_some(ends.input));
            match tie.tty {
                true => terminal::keeping_size(pump, resize).await,
                false => pump.await,
            }
        };
        tokio::pin!(pump);
        let untied = loop {
            tokio::select! {
                done = &mut pump => break done.map(|()| false),
                () = interrupted() => {
                    if !tie.signals {
                        break Ok(true);
                    }
                    // It may have ended meanwhile.
                    let signal = KillContainerOptions { signal: "SIGINT".to_owned() };
                    let _ = engine.docker().kill_container(id, Some(signal)).await;
                }
            }
        };
        drop(raw);
        untied
    }
}
