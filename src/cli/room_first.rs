//! A start on a full disk. The daemon stays, refuses what it could not keep, and begins when there is room: one that ended
//! would be started again and again, and senders would hear nothing at all.

use std::{sync::Arc, time::Duration};

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::notify::notify;
use crate::{
    server::{self, ListenLimits, control, full, refusals::Refusals},
    store::StoreError,
};

/// How long answers may take to be read once there is room: whoever does not read must not hold up the start.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the daemon can be reached.
pub(super) struct Doors {
    /// The webhook port.
    pub(super) web: TcpListener,
    /// The control socket.
    pub(super) control: UnixListener,
}

/// Does what has to be written before the work can begin. While the disk is full, it is tried again, and both doors say so.
///
/// # Errors
/// Of everything but a full disk, those of `attempt`.
pub(super) async fn once_there_is_room<T>(
    doors: Doors,
    limits: &ListenLimits,
    attempt: impl AsyncFn() -> Result<T, StoreError>,
) -> anyhow::Result<(T, Doors)> {
    let error = match attempt().await {
        Ok(done) => return Ok((done, doors)),
        Err(error) if error.is_full() => error,
        Err(error) => return Err(error.into()),
    };
    tracing::error!("the disk of the state directory is full: no push can be taken, and nothing begins ({error})");
    let (web, commands) = (doors.web.into_std()?, doors.control.into_std()?);
    let stop = CancellationToken::new();
    // Also where this ends by an error.
    let stopped = stop.clone().drop_guard();
    let serving = tokio::spawn(server::serve(
        TcpListener::from_std(web.try_clone()?)?,
        full::router(),
        ListenLimits { grace: LAST_WORDS, ..limits.clone() },
        Arc::new(Refusals::default()),
        stop.clone().cancelled_owned(),
    ));
    let listener = UnixListener::from_std(commands.try_clone()?)?;
    let telling = tokio::spawn(control::serve(listener, full::commands(), stop, LAST_WORDS));
    let status = "the disk of the state directory is full: nothing begins before it has room";
    notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(status)]);
    let pause = sd_notify::watchdog_enabled().map_or(PAUSE, |limit| (limit / 4).min(PAUSE));
    let done = loop {
        tokio::time::sleep(pause).await;
        notify(&[sd_notify::NotifyState::Watchdog]);
        match attempt().await {
            Ok(done) => break done,
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error.into()),
        }
    };
    tracing::info!("the disk of the state directory has room again");
    drop(stopped);
    serving.await??;
    telling.await?;
    Ok((done, Doors { web: TcpListener::from_std(web)?, control: UnixListener::from_std(commands)? }))
}
