//! A relay on the loopback interface between libgit2 and the network, so that a transfer can be stopped.
//!
//! libgit2 reads from blocking sockets without a limit. It connects to this relay instead; the relay connects to the
//! server with a limit, watches that bytes flow, and closes both sides on a stall or when `stop` is cancelled. The
//! blocked read then ends at once. TLS and SSH run through it end to end; it sees no content.
//!
//! It lives as long as one update, and leads nowhere but to the host of the remote.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::error::GitError;

/// Time to find and reach a server. Limits how long a wrong address holds up a deployment.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The request line and headers with which a client asks a proxy. Limits memory.
const LONGEST_REQUEST_HEAD: usize = 16 * 1024;
/// After the server ended the connection: time for libgit2 to take what is left.
const LINGER: Duration = Duration::from_secs(10);
const CHUNK: usize = 64 * 1024;

/// Where a connection leads.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// To this host and port.
    Fixed {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Speak as an HTTP proxy; the client says where, but only this host is allowed.
    HttpProxy {
        /// The remote's host.
        only: String,
    },
}

/// Opens ways to the network.
#[derive(Clone)]
pub(super) struct Relay {
    handle: Handle,
    stop: CancellationToken,
    stall: Duration,
    fault: Arc<Mutex<Option<GitError>>>,
}

impl Relay {
    /// A relay whose connections all end when `stop` is cancelled.
    pub(super) fn new(handle: Handle, stop: CancellationToken, stall: Duration) -> Self {
        Self { handle, stop, stall, fault: Arc::default() }
    }

    /// Opens a port on 127.0.0.1 that leads along the route.
    pub(super) fn open(&self, route: Route) -> std::io::Result<u16> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let relay = self.clone();
        self.handle.spawn(async move {
            let stop = relay.stop.clone();
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = stop.cancelled() => {}
                () = relay.accept(listener, route) => {}
            }
        });
        Ok(port)
    }

    /// What went wrong on the network since the last call, if anything did.
    pub(super) fn take_fault(&self) -> Option<GitError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn accept(self, listener: TcpListener, route: Route) {
        while let Ok((client, _)) = listener.accept().await {
            let relay = self.clone();
            let route = route.clone();
            self.handle.spawn(async move {
                let stop = relay.stop.clone();
                let ended = tokio::select! {
                    () = stop.cancelled() => return,
                    ended = relay.serve(client, route) => ended,
                };
                if let Err(fault) = ended {
                    // The first fault is the cause; later ones are its echoes.
                    relay.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                }
            });
        }
    }

    async fn serve(&self, mut client: TcpStream, route: Route) -> Result<(), GitError> {
        let _ = client.set_nodelay(true);
        let (host, port, greeting, first) = match route {
            Route::Fixed { host, port } => (host, port, None, Vec::new()),
            Route::HttpProxy { only } => {
                let Ok(Some(asked)) = timeout(CONNECT_TIMEOUT, read_request(&mut client)).await else {
                    return Ok(());
                };
                if !asked.host.eq_ignore_ascii_case(&only) {
                    return Err(GitError::RedirectedAway { to: format!("{}:{}", asked.host, asked.port) });
                }
                match asked.tunnel {
                    true => (asked.host, asked.port, Some("HTTP/1.1 200 Connection established\r\n\r\n"), asked.rest),
                    false => (asked.host, asked.port, None, asked.head),
                }
            }
        };
        let mut server = connect(&host, port).await?;
        let _ = server.set_nodelay(true);
        if let Some(greeting) = greeting
            && client.write_all(greeting.as_bytes()).await.is_err()
        {
            return Ok(());
        }
        if server.write_all(&first).await.is_err() {
            return Ok(());
        }
        self.pump(&mut client, &mut server, format!("{host}:{port}")).await
    }

    async fn pump(&self, client: &mut TcpStream, server: &mut TcpStream, peer: String) -> Result<(), GitError> {
        let flow = Flow::default();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let down = async {
            flow.copy(&mut from_server, &mut to_client, true).await;
            // Only the end of writing: what the client has not read yet must still reach it.
            let _ = to_client.shutdown().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            // The client has closed: it is done, whatever the server would still like to say.
            () = flow.copy(&mut from_client, &mut to_server, false) => Ok(()),
            () = down => Ok(()),
            () = flow.stalled(self.stall) => Err(GitError::Stalled { peer, after: self.stall }),
        }
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, GitError> {
    let peer = format!("{host}:{port}");
    match timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(GitError::Unreachable { peer, message: error.to_string() }),
        Err(_) => Err(GitError::Unreachable { peer, message: format!("no answer within {CONNECT_TIMEOUT:?}") }),
    }
}

/// Watches whether bytes flow.
#[derive(Default)]
struct Flow {
    moved: Notify,
    /// libgit2 is busy (unpacking) and takes nothing: not the server's fault.
    client_busy: AtomicBool,
}

impl Flow {
    async fn copy(&self, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), to_client: bool) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
            self.moved.notify_one();
            self.client_busy.store(to_client, Ordering::Relaxed);
            let Some(chunk) = buffer.get(..length) else { return };
            if to.write_all(chunk).await.is_err() {
                return;
            }
            self.client_busy.store(false, Ordering::Relaxed);
            self.moved.notify_one();
        }
    }

    async fn stalled(&self, limit: Duration) {
        loop {
            let quiet = timeout(limit, self.moved.notified()).await.is_err();
            if quiet && !self.client_busy.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// What a client asks of a proxy.
struct Asked {
    host: String,
    port: u16,
    tunnel: bool,
    /// The request as it came.
    head: Vec<u8>,
    /// What came after it.
    rest: Vec<u8>,
}

async fn read_request(client: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    let end = loop {
        let mut chunk = [0; 2048];
        let length = client.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(chunk.get(..length)?);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() > LONGEST_REQUEST_HEAD {
            return None;
        }
    };
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let tunnel = method == "CONNECT";
    let (host, port) = if tunnel {
        let (host, port) = target.rsplit_once(':')?;
        (host.to_owned(), port.parse().ok()?)
    } else {
        let url = url::Url::parse(target).ok()?;
        (url.host_str()?.to_owned(), url.port_or_known_default()?)
    };
    let rest = head.get(end..)?.to_vec();
    Some(Asked { host: host.trim_matches(['[', ']']).to_owned(), port, tunnel, head, rest })
}
