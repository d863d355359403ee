//! Tunnels through an HTTP proxy (`CONNECT`, RFC 9110, 9.3.6), and the reading of HTTP heads within bounds.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use turnout_report::redact::foreign;

use crate::{
    NetError,
    proxy::{bare_host, login},
};

/// Time for a request or an answer to come. Limits how long a wrong address holds up a deployment.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first line and headers of a request or an answer. Limits memory.
const LONGEST_HEAD: usize = 16 * 1024;

/// Asks a proxy of the surroundings, to which `server` is a connection, for a tunnel to `peer` (`host:port`).
///
/// # Errors
/// The proxy does not answer or refuses.
pub async fn open(server: &mut TcpStream, proxy: &url::Url, peer: &str) -> Result<(), NetError> {
    let ask = format!("CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n{}\r\n", login(proxy));
    let answer = match server.write_all(ask.as_bytes()).await {
        Ok(()) => head_of(server).await,
        Err(_) => None,
    };
    let (head, _) = answer.unwrap_or_default();
    let status = String::from_utf8_lossy(&head).lines().next().unwrap_or("no answer").to_owned();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let message = format!("the proxy {} says: {}", bare_host(proxy), foreign(&status));
    Err(NetError::Unreachable { peer: peer.to_owned(), message })
}

/// The head of a request, or of an answer, and what came after it, within a short time.
pub async fn head_of(client: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    timeout(PATIENCE, read_head(client)).await.ok().flatten()
}

/// The same of any stream, for as long as it takes.
pub async fn read_head(from: &mut (impl AsyncRead + Unpin)) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut chunk = [0; 2048];
        let length = from.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(chunk.get(..length)?);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Some((head, rest));
        }
        if head.len() > LONGEST_HEAD {
            return None;
        }
    }
}
