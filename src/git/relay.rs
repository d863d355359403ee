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

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::error::{GitError, clean};

/// Time to find and reach a server. Limits how long a wrong address holds up a deployment.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The first line and headers of a request or an answer. Limits memory.
const LONGEST_HEAD: usize = 16 * 1024;
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
    /// Speak as an HTTP proxy for TLS (`CONNECT`); the client says where, but only this host is allowed.
    Tunnel {
        /// The remote's host.
        only: String,
    },
    /// To an HTTP server that must see its own name in the request, not the relay's. libgit2 does not connect to
    /// proxies for plain HTTP, so a proxy of the surroundings is spoken to here.
    PlainHttp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// The proxy to go through.
        via: Option<url::Url>,
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
        while let Ok((mut client, _)) = listener.accept().await {
            let relay = self.clone();
            let route = route.clone();
            self.handle.spawn(async move {
                let stop = relay.stop.clone();
                let ended = tokio::select! {
                    () = stop.cancelled() => return,
                    ended = relay.serve(&mut client, route) => ended,
                };
                if let Err(fault) = ended {
                    // The first fault is the cause; later ones are its echoes.
                    relay.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                }
                // Only now: when libgit2 sees the end, the reason must be known.
                drop(client);
            });
        }
    }

    async fn serve(&self, client: &mut TcpStream, route: Route) -> Result<(), GitError> {
        let _ = client.set_nodelay(true);
        let (host, port, greeting, first, http) = match route {
            Route::Fixed { host, port } => (host, port, None, Vec::new(), false),
            Route::Tunnel { only } => {
                let Some((head, rest)) = head_of(client).await else { return Ok(()) };
                let Some((host, port)) = tunnel_target(&head) else { return Ok(()) };
                if !host.eq_ignore_ascii_case(&only) {
                    return Err(GitError::RedirectedAway { to: format!("{host}:{port}") });
                }
                (host, port, Some("HTTP/1.1 200 Connection established\r\n\r\n"), rest, false)
            }
            Route::PlainHttp { host, port, via } => {
                let Some((head, rest)) = head_of(client).await else { return Ok(()) };
                let Some(mut first) = renamed_request(&head, &host, port, via.as_ref()) else { return Ok(()) };
                first.extend(rest);
                let (host, port) = match &via {
                    Some(proxy) => (bare_host(proxy), proxy.port_or_known_default().unwrap_or(80)),
                    None => (host, port),
                };
                (host, port, None, first, true)
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
        self.pump(client, &mut server, format!("{host}:{port}"), http).await
    }

    async fn pump(
        &self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        peer: String,
        http: bool,
    ) -> Result<(), GitError> {
        let flow = Flow::default();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let down = async {
            if http && let Some((head, rest)) = read_head(&mut from_server).await {
                flow.moved.notify_one();
                if let Some(to) = redirect(&head) {
                    return Err(GitError::RedirectedAway { to });
                }
                if to_client.write_all(&[head, rest].concat()).await.is_err() {
                    return Ok(());
                }
            }
            flow.copy(&mut from_server, &mut to_client, true).await;
            // Only the end of writing: what the client has not read yet must still reach it.
            let _ = to_client.shutdown().await;
            tokio::time::sleep(LINGER).await;
            Ok(())
        };
        tokio::select! {
            // The client has closed: it is done, whatever the server would still like to say.
            () = flow.copy(&mut from_client, &mut to_server, false) => Ok(()),
            ended = down => ended,
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

/// The head of a client's request and what came after it. The client is ours, so it has little time.
async fn head_of(client: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    timeout(CONNECT_TIMEOUT, read_head(client)).await.ok().flatten()
}

async fn read_head(from: &mut (impl AsyncRead + Unpin)) -> Option<(Vec<u8>, Vec<u8>)> {
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

/// Where a `CONNECT` wants to go.
fn tunnel_target(head: &[u8]) -> Option<(String, u16)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut words = text.lines().next()?.split(' ');
    let target = words.next().filter(|method| *method == "CONNECT").and(words.next())?;
    let (host, port) = target.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
}

/// A request to the relay, made one to the true server. One request a connection, so that no later one goes unchanged.
fn renamed_request(head: &[u8], host: &str, port: u16, via: Option<&url::Url>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let authority = if port == 80 { host } else { format!("{host}:{port}") };
    let front = if via.is_some() { format!("http://{authority}") } else { String::new() };
    let mut out = format!("{method} {front}{target} {version}\r\nHost: {authority}\r\nConnection: close\r\n");
    if let Some(proxy) = via.filter(|proxy| !proxy.username().is_empty()) {
        let plain = format!("{}:{}", proxy.username(), proxy.password().unwrap_or_default());
        out.push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(plain)));
    }
    for line in lines {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name != "host" && name != "connection" && !name.starts_with("proxy-") {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out.push_str("\r\n");
    Some(out.into_bytes())
}

/// Where an answer sends us instead, if it does.
fn redirect(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?;
    if !matches!(status, "301" | "302" | "303" | "307" | "308") {
        return None;
    }
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    let location = location.unwrap_or_default();
    Some(clean(location.split("/info/refs").next().unwrap_or_default()))
}

/// The host of a URL without the brackets of IPv6.
pub(super) fn bare_host(url: &url::Url) -> String {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_get_the_servers_name() {
        let head = b"GET /x?y HTTP/1.1\r\nUser-Agent: g\r\nHost: 127.0.0.1:9\r\nConnection: keep-alive\r\n\r\n";
        let show = |via: Option<&str>| {
            let via = via.map(|via| url::Url::parse(via).unwrap());
            String::from_utf8(renamed_request(head, "h.example", 8080, via.as_ref()).unwrap()).unwrap()
        };
        assert_eq!(show(None), "GET /x?y HTTP/1.1\r\nHost: h.example:8080\r\nConnection: close\r\nUser-Agent: g\r\n\r\n");
        assert!(show(Some("http://u:p@proxy:3128")).starts_with("GET http://h.example:8080/x?y HTTP/1.1\r\n"));
        assert!(show(Some("http://u:p@proxy:3128")).contains("Proxy-Authorization: Basic dTpw\r\n"));
        assert_eq!(renamed_request(b"nonsense\r\n\r\n", "h", 80, None), None);
    }

    #[test]
    fn redirects_are_seen() {
        let head = b"HTTP/1.1 301 Moved\r\nlocation: https://u:pw@h/x.git/info/refs?service=y\r\n\r\n";
        assert_eq!(redirect(head).as_deref(), Some("https://u:[redacted]@h/x.git"));
        assert_eq!(redirect(b"HTTP/1.1 200 OK\r\nLocation: x\r\n\r\n"), None);
    }

    #[test]
    fn tunnels_lead_where_they_say() {
        assert_eq!(tunnel_target(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n"), Some(("::1".into(), 443)));
        assert_eq!(tunnel_target(b"GET http://h/ HTTP/1.1\r\n\r\n"), None);
        assert_eq!(tunnel_target(b"CONNECT h HTTP/1.1\r\n\r\n"), None);
    }
}
