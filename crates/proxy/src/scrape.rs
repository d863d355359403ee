//! `--metrics`: one page, for Prometheus. Small and apart from all else: neither a silent reader nor a crowd of them costs more than
//! a few connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{change::Changer, door};

/// Connections at a time; others wait.
const CONNECTIONS: usize = 8;
/// Time for a question and its answer.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of a question.
const HEAD: usize = 8 << 10;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens for whoever collects metrics.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    door::listen(address).map_err(|error| format!("cannot listen on {address} for --metrics: {error}"))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, changer: Arc<Changer>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let changer = Arc::clone(&changer);
                tokio::spawn(async move {
                    match timeout(TIME, answer(stream, &changer)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "a reader of the metrics broke off"),
                        Err(_) => tracing::debug!(%peer, "a reader of the metrics was too slow"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("a connection to the metrics could not be taken: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One question, one answer, and the end.
async fn answer(mut stream: TcpStream, changer: &Changer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let asked = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, kind, text) = match asked {
        b"GET /metrics HTTP/1.1" | b"GET /metrics HTTP/1.0" => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", changer.metrics())
        }
        _ => ("404 Not Found", "text/plain", "GET /metrics is all that is answered here\n".to_owned()),
    };
    let length = text.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
