//! turnout-proxy after an upgrade, where no service manager runs it: the process that was started from the former program has one of
//! the present program take over.

use std::sync::{Mutex, PoisonError};

use crate::steer::{ProgramFile, Steer, program_beside};

/// Which program was to take over last: one that cannot is not tried again and again.
#[derive(Debug, Default)]
pub(super) struct Renewals(Mutex<Option<ProgramFile>>);

impl Renewals {
    /// Has the present program take over, where another one runs. What comes of it is said in the log; requests are served in
    /// any case.
    pub(super) async fn look(&self, steer: &Steer) {
        let Ok(own) = std::env::current_exe() else { return };
        let Some(present) = program_beside(&own).ok().and_then(|path| ProgramFile::at(&path)) else { return };
        match steer.program().await {
            Ok(Some(running)) if running != present => {}
            Ok(_) | Err(_) => return,
        }
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(present);
        if before == Some(present) {
            return;
        }
        match steer.renew().await {
            Ok(true) => match steer.program().await {
                Ok(Some(running)) if running == present => {
                    tracing::info!(
                        "turnout-proxy runs the program that lies beside turnout from now on; no request waited for it"
                    );
                }
                _ => tracing::warn!(
                    "turnout-proxy was started anew from where it lay before, which is not beside turnout: end it \
                     (SIGTERM), and turnout starts the one beside it; new clients wait meanwhile"
                ),
            },
            Ok(false) => tracing::warn!(
                "turnout-proxy runs on with its former program, which cannot hand over yet: end it (SIGTERM), and turnout starts the \
                 new one; ports are closed until its connections have ended, 30 s at most"
            ),
            Err(error) => tracing::warn!(%error, "turnout-proxy runs on with its former program"),
        }
    }
}
