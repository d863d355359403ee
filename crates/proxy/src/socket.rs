//! One socket: how it is connected, kept, and broken off.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket, sockopt};
use tokio::net::TcpStream;

/// Peers that went away without a word are noticed after this, and four unanswered questions.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Time between those questions.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// `MSG_PROBE` of Linux: nothing is sent.
const PROBE: SendFlags = SendFlags::from_bits_retain(0x10);

/// Connects to a container.
///
/// # Errors
/// It takes no connection; or its address is on no network of this machine: the network may have been removed, and what is
/// meant for the container would go out to whoever has that address elsewhere.
pub(crate) async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    is_near(target)?;
    let stream = TcpStream::connect(target).await?;
    // A port of this machine on which nobody listens may be given to this very socket, which is then connected to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Asks the kernel whether an address is on a network of this machine, where no gateway is needed. Only for IPv4: containers have
/// no targets of another kind, but for this machine itself.
fn is_near(target: SocketAddr) -> io::Result<()> {
    // Most are ports of this machine, and cost nothing.
    if target.is_ipv6() || target.ip().is_loopback() {
        return Ok(());
    }
    // An option of the connection itself, `SO_DONTROUTE`, cannot be set without `unsafe`. A datagram that is only probed goes the
    // same way through the kernel's routes, and is not sent.
    let probe = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sendto(&probe, &[], SendFlags::DONTROUTE | SendFlags::CONFIRM | PROBE, &target)?;
    Ok(())
}

/// Whether a connection failed for want of a network: nobody is there who could take it again soon.
pub(crate) fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NetworkUnreachable
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nothing_goes_to_an_address_that_is_on_no_network_of_this_machine() {
        // Kept for documentation: nobody has it.
        let far = connect("198.51.100.7:9".parse().unwrap()).await.unwrap_err();
        assert!(is_lost(&far), "{far}");
        for near in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(near).await else { continue };
            connect(listener.local_addr().unwrap()).await.unwrap();
        }
    }
}
