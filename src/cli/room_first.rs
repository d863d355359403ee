//! A start on a full disk. The daemon stays, refuses what it could not keep, and begins when there is room: one that ended
//! would be started again and again, and senders would hear nothing at all.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::notify::notify;
use crate::{
    server::{self, ListenLimits, full, refusals::Refusals},
    store::StoreError,
};

/// How often it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Does what has to be written before the work can begin. While the disk is full, it is tried again, and the port says so.
///
/// # Errors
/// Of everything but a full disk, those of `attempt`.
pub(super) async fn once_there_is_room<T>(
    web: TcpListener,
    limits: &ListenLimits,
    attempt: impl AsyncFn() -> Result<T, StoreError>,
) -> anyhow::Result<(T, TcpListener)> {
    let error = match attempt().await {
        Ok(done) => return Ok((done, web)),
        Err(error) if error.is_full() => error,
        Err(error) => return Err(error.into()),
    };
    tracing::error!("the disk of the state directory is full: no push can be taken, and nothing begins ({error})");
    let web = web.into_std()?;
    let stop = CancellationToken::new();
    // Also where this ends by an error.
    let stopped = stop.clone().drop_guard();
    let serving = tokio::spawn(server::serve(
        TcpListener::from_std(web.try_clone()?)?,
        full::router(),
        limits.clone(),
        Arc::new(Refusals::default()),
        stop.cancelled_owned(),
    ));
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
    Ok((done, TcpListener::from_std(web)?))
}
