//! A relay on the loopback interface between libgit2 and the network, so that a transfer can be stopped.
//!
//! libgit2 reads from blocking sockets without a limit. It connects to this relay instead; the relay connects to the
//! server with a limit, watches that bytes flow, and closes both sides on a stall or when `stop` is cancelled. The
//! blocked read then ends at once. SSH runs through it end to end; TLS begins in it.
//!
//! It lives as long as one update, and leads nowhere but to the host of the remote.

use std::{
    net::Ipv4Addr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openssl::x509::X509VerifyResult;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Notify,
    time::timeout,
};
use tokio_openssl::SslStream;
use tokio_util::sync::CancellationToken;

use turnout_net::{proxy, tls, tunnel};

use super::{
    budget::Budget,
    error::{GitError, clean},
};

/// Time to find and reach a server. Limits how long a wrong address holds up a deployment.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
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
        port: u16,
    },
    /// To an HTTP or HTTPS server, which must see its own name in the request, not the relay's. TLS begins here: libgit2
    /// 1.9 does not connect to proxies for plain HTTP, and with TLS it uses freed memory when such a connection ends.
    Http {
        /// Host name or address.
        host: String,
        port: u16,
        /// Whether to speak TLS.
        tls: bool,
        /// The proxy to go through.
        via: Option<url::Url>,
        /// Whether an answer that leads elsewhere is passed on. libgit2 would follow it past the relay.
        redirects: bool,
    },
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Git,
    GitOverHttp,
    Lfs,
}

/// Opens ways to the network.
#[derive(Clone)]
pub(super) struct Relay {
    handle: Handle,
    stop: CancellationToken,
    stall: Duration,
    budget: Arc<Budget>,
    fault: Arc<Mutex<Option<GitError>>>,
}

impl Relay {
    /// A relay whose connections all end when `stop` is cancelled.
    pub(super) fn new(handle: Handle, stop: CancellationToken, stall: Duration) -> Self {
        Self { handle, stop, stall, budget: Arc::default(), fault: Arc::default() }
    }

    /// Where the connections live.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Counts what servers of git send. Answers of Git LFS, whose sizes are known before, are not counted.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Notes why the transfer is about to fail. The first cause counts.
    pub(super) fn blame(&self, fault: GitError) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
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
                    // Later ones are its echoes.
                    relay.blame(fault);
                }
                // Only now: when libgit2 sees the end, the reason must be known.
                drop(client);
            });
        }
    }

    async fn serve(&self, client: &mut TcpStream, route: Route) -> Result<(), GitError> {
        let _ = client.set_nodelay(true);
        let (host, port, tls, via, carries) = match route {
            Route::Fixed { host, port } => {
                let server = connect(&host, port).await?;
                return self.pump(client, server, format!("{host}:{port}"), Carries::Git).await;
            }
            Route::Http { host, port, tls, via, redirects: true } => (host, port, tls, via, Carries::Lfs),
            Route::Http { host, port, tls, via, redirects: false } => (host, port, tls, via, Carries::GitOverHttp),
        };
        let Some((head, rest)) = tunnel::head_of(client).await else { return Ok(()) };
        let authority = authority(&host, port, tls);
        let in_clear = via.as_ref().filter(|_| !tls);
        let Some(mut first) = renamed_request(&head, &authority, in_clear) else { return Ok(()) };
        first.extend(rest);
        let peer = format!("{host}:{port}");
        let mut server = match &via {
            Some(proxy) => connect(&proxy::bare_host(proxy), proxy.port_or_known_default().unwrap_or(80)).await?,
            None => connect(&host, port).await?,
        };
        if !tls {
            let sent = server.write_all(&first).await;
            return if sent.is_ok() { self.pump(client, server, peer, carries).await } else { Ok(()) };
        }
        if let Some(proxy) = &via {
            tunnel::open(&mut server, proxy, &peer).await?;
        }
        let shaken = timeout(self.stall, handshake(server, &host, &authority)).await;
        let mut server = shaken.map_err(|_| GitError::Stalled { peer: peer.clone(), after: self.stall })??;
        let sent = server.write_all(&first).await;
        if sent.is_ok() { self.pump(client, server, peer, carries).await } else { Ok(()) }
    }

    async fn pump(
        &self,
        client: &mut TcpStream,
        server: impl AsyncRead + AsyncWrite + Unpin,
        peer: String,
        carries: Carries,
    ) -> Result<(), GitError> {
        let flow = Flow::default();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let down = async {
            if carries == Carries::GitOverHttp
                && let Some((head, rest)) = tunnel::read_head(&mut from_server).await
            {
                flow.moved.notify_one();
                self.budget.take(rest.len(), &peer)?;
                if let Some(to) = redirect(&head) {
                    return Err(GitError::RedirectedAway { to });
                }
                if to_client.write_all(&[head, rest].concat()).await.is_err() {
                    return Ok(());
                }
            }
            let budget = (carries != Carries::Lfs).then_some((&*self.budget, peer.as_str()));
            flow.copy(&mut from_server, &mut to_client, true, budget).await?;
            // Only the end of writing: what the client has not read yet must still reach it.
            let _ = to_client.shutdown().await;
            tokio::time::sleep(LINGER).await;
            Ok(())
        };
        tokio::select! {
            // The client has closed: it is done, whatever the server would still like to say.
            sent = flow.copy(&mut from_client, &mut to_server, false, None) => sent,
            ended = down => ended,
            () = flow.stalled(self.stall) => Err(GitError::Stalled { peer: peer.clone(), after: self.stall }),
        }
    }
}

/// Begins TLS. The certificate must be valid for the host and signed by an authority the system trusts.
async fn handshake(server: TcpStream, host: &str, authority: &str) -> Result<SslStream<TcpStream>, GitError> {
    let broken = |message: String| GitError::Unreachable { peer: authority.to_owned(), message };
    let ssl = tls::client()
        .and_then(|builder| builder.build().configure())
        .and_then(|settings| settings.into_ssl(host))
        .map_err(|error| broken(error.to_string()))?;
    let mut stream = SslStream::new(ssl, server).map_err(|error| broken(error.to_string()))?;
    let shaken = Pin::new(&mut stream).connect().await;
    let verified = stream.ssl().verify_result();
    match shaken {
        Ok(()) => Ok(stream),
        Err(_) if verified != X509VerifyResult::OK => Err(GitError::Certificate {
            address: format!("https://{authority}/"),
            message: verified.error_string().to_owned(),
        }),
        Err(error) => Err(broken(format!("TLS: {}", clean(&error.to_string())))),
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
    async fn copy(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        to_client: bool,
        budget: Option<(&Budget, &str)>,
    ) -> Result<(), GitError> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let Ok(length @ 1..) = from.read(&mut buffer).await else { return Ok(()) };
            self.moved.notify_one();
            if let Some((budget, peer)) = budget {
                budget.take(length, peer)?;
            }
            self.client_busy.store(to_client, Ordering::Relaxed);
            let Some(chunk) = buffer.get(..length) else { return Ok(()) };
            if to.write_all(chunk).await.is_err() {
                return Ok(());
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

/// The host as a request names it.
fn authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == if tls { 443 } else { 80 } { host } else { format!("{host}:{port}") }
}

/// A request to the relay, made one to the true server. One request a connection, so that no later one goes unchanged.
fn renamed_request(head: &[u8], authority: &str, via: Option<&url::Url>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let front = if via.is_some() { format!("http://{authority}") } else { String::new() };
    let mut out = format!("{method} {front}{target} {version}\r\nHost: {authority}\r\nConnection: close\r\n");
    out.push_str(&via.map(proxy::login).unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_get_the_servers_name() {
        let head = b"GET /x?y HTTP/1.1\r\nUser-Agent: g\r\nHost: 127.0.0.1:9\r\nConnection: keep-alive\r\n\r\n";
        let show = |via: Option<&str>| {
            let via = via.map(|via| url::Url::parse(via).unwrap());
            String::from_utf8(renamed_request(head, "h.example:8080", via.as_ref()).unwrap()).unwrap()
        };
        assert_eq!(
            show(None),
            "GET /x?y HTTP/1.1\r\nHost: h.example:8080\r\nConnection: close\r\nUser-Agent: g\r\n\r\n"
        );
        assert!(show(Some("http://u:p@proxy:3128")).starts_with("GET http://h.example:8080/x?y HTTP/1.1\r\n"));
        assert!(show(Some("http://u:p@proxy:3128")).contains("Proxy-Authorization: Basic dTpw\r\n"));
        assert_eq!(renamed_request(b"nonsense\r\n\r\n", "h", None), None);
    }

    #[test]
    fn redirects_are_seen() {
        let head = b"HTTP/1.1 301 Moved\r\nlocation: https://u:pw@h/x.git/info/refs?service=y\r\n\r\n";
        assert_eq!(redirect(head).as_deref(), Some("https://u:[redacted]@h/x.git"));
        assert_eq!(redirect(b"HTTP/1.1 200 OK\r\nLocation: x\r\n\r\n"), None);
    }
}
