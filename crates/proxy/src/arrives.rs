//! What is read of a connection before it is given to anybody: whose it is, and the host that it names. Bounded; the time for it
//! is the caller's.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use turnout_traffic::spot::Network;

use crate::{
    hello::{self, Hello},
    preamble::{self, LINE, SIGNATURE, TEXT, Whose},
};

/// What was found out of a connection.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Its client: of whom the sender speaks, if it does.
    pub(crate) client: SocketAddr,
    /// The host that it names; empty where it names none, or nothing is asked.
    pub(crate) host: String,
    /// What was read, and is its container's.
    pub(crate) early: Vec<u8>,
}

impl Arrived {
    /// Nothing is asked.
    pub(crate) fn plainly(client: SocketAddr) -> Arrived {
        Arrived { client, host: String::new(), early: Vec::new() }
    }
}

fn broke(_: io::Error) -> &'static str {
    "it broke off before it said whose it is"
}

/// Whose a connection is that comes from there, where its sender says so first. Not one byte more is read than it says.
///
/// # Errors
/// Why it is not taken.
pub(crate) async fn whose(
    stream: &mut TcpStream,
    peer: SocketAddr,
    by: &[Network],
) -> Result<SocketAddr, &'static str> {
    if !by.iter().any(|network| network.has(peer.ip())) {
        return Err("who may connect here says first whom it speaks for, and this is none of them (`proxied_by`)");
    }
    let mut begin = [0; SIGNATURE.len()];
    stream.read_exact(&mut begin).await.map_err(broke)?;
    let whose = if begin == *SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(broke)?;
        let mut block = vec![0; preamble::length(head)?];
        stream.read_exact(&mut block).await.map_err(broke)?;
        preamble::block(head, &block)?
    } else if begin.starts_with(TEXT) {
        preamble::line(&rest_of_line(stream, begin.to_vec()).await?)?
    } else {
        return Err("it does not say first whose it is (PROXY protocol)");
    };
    Ok(match whose {
        Whose::Client(client) => client,
        Whose::Senders => peer,
    })
}

async fn rest_of_line(stream: &mut TcpStream, mut line: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let mut ahead = [0; LINE];
    loop {
        let wanted = ahead.get_mut(..LINE.saturating_sub(line.len())).filter(|wanted| !wanted.is_empty());
        let wanted = wanted.ok_or("its line of the PROXY protocol is too long")?;
        let here = stream.peek(wanted).await.map_err(broke)?;
        let here = wanted.get(..here).unwrap_or_default();
        let end = memchr::memchr(b'\n', here);
        let length = end.map_or(here.len(), |end| end + 1);
        if length == 0 {
            return Err("it broke off before it said whose it is");
        }
        let from = line.len();
        line.resize(from + length, 0);
        stream.read_exact(line.get_mut(from..).unwrap_or_default()).await.map_err(broke)?;
        if end.is_some() {
            let without = line.strip_suffix(b"\r\n").ok_or("its line of the PROXY protocol ends with a bare LF")?;
            return Ok(without.to_vec());
        }
    }
}

/// The host that a TLS client names, empty where it names none; all that was read of it is put there.
///
/// # Errors
/// Why it is no client of TLS.
pub(crate) async fn host(stream: &mut TcpStream, early: &mut Vec<u8>) -> Result<String, &'static str> {
    loop {
        match hello::read(early) {
            Hello::Names(name) => return Ok(name.unwrap_or_default()),
            Hello::Other => return Err("it does not begin as TLS does"),
            Hello::More if early.len() >= hello::BYTES => return Err("its first words have no end"),
            Hello::More => {}
        }
        early.reserve(4 << 10);
        match stream.read_buf(early).await {
            Ok(length) if length > 0 => {}
            _ => return Err("it broke off in its first words"),
        }
    }
}

/// A TLS client is told that nobody has the host that it names.
pub(crate) async fn refuse_host(stream: &mut TcpStream) {
    // Fatal, unrecognized_name (RFC 6066, 3).
    let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 112]).await;
    let _ = stream.shutdown().await;
}
