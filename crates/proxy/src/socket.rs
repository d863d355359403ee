//! One socket: how it is connected, kept, and broken off.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// Peers that went away without a word are noticed after this, and four unanswered questions.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Time between those questions.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Connects to a container.
pub(crate) async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    // A port of this machine on which nobody listens may be given to this very socket, which is then connected to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Small writes go at once, and a peer that is gone is noticed. Not vital: a socket that takes none of it works too.
pub(crate) fn watch_over(stream: &TcpStream) {
    let set = || -> rustix::io::Result<()> {
        sockopt::set_tcp_nodelay(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(stream, ASK_AGAIN)?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        sockopt::set_socket_keepalive(stream, true)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a socket does not take its options");
    }
}

/// The peer learns that this is no regular end, when the stream is dropped: a reset.
pub(crate) fn break_off(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection ends without a reset");
    }
}
