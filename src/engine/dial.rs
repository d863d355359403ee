//! Opens one connection to an engine: over a socket, TCP, TLS or SSH.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use openssl::{
    pkey::PKey,
    ssl::{SslConnector, SslVerifyMode},
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_openssl::SslStream;

use super::{
    endpoint::{Endpoint, TlsFiles},
    ssh,
};

/// Longest wait for a TCP connection, and again for the beginning of TLS in it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection.
pub struct Stream(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Stream {
    /// A connection that was made elsewhere.
    pub(super) fn of(connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Stream {
        Stream(Box::new(connection))
    }
}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// What failed, as text for [`super::EngineError::Unreachable`]; errors of SSH come with the first read or write,
    /// because the connection is there only when the far end answers.
    pub async fn dial(&self) -> io::Result<Stream> {
        Ok(match self {
            Endpoint::Unix(path) => Stream(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp(address) => Stream(Box::new(tcp(address).await?)),
            Endpoint::Tls { address, files } => {
                Stream(Box::new(Explained { stream: tls(address, files).await?, failed: None }))
            }
            Endpoint::Ssh(target) => Stream(Box::new(ssh::dial(target).await?)),
        })
    }
}

pub(super) async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| timed_out("connecting"))??;
    // Requests are small and answers are waited for.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn tls(address: &str, files: &TlsFiles) -> io::Result<SslStream<TcpStream>> {
    // Before the connection: broken files are not the far end's business.
    let connector = connector(files).await?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let refused = "the daemon's certificate is refused";
    handshake(&connector, tcp(address).await?, host, files.verify, refused).await
}

/// Begins TLS in a connection; `refused` is what is said of a certificate that does not do.
pub(super) async fn secured(
    stream: TcpStream,
    host: &str,
    files: &TlsFiles,
    refused: &str,
) -> io::Result<SslStream<TcpStream>> {
    handshake(&connector(files).await?, stream, host, files.verify, refused).await
}

async fn handshake(
    connector: &SslConnector,
    stream: TcpStream,
    host: &str,
    verify: bool,
    refused: &str,
) -> io::Result<SslStream<TcpStream>> {
    let mut settings = connector.configure()?;
    settings.set_verify_hostname(verify);
    let mut stream = SslStream::new(settings.into_ssl(host)?, stream)?;
    let done = timeout(CONNECT_TIMEOUT, Pin::new(&mut stream).connect()).await.map_err(|_| timed_out("TLS"))?;
    if let Err(error) = done {
        // OpenSSL itself says only that the check failed.
        let reason = match stream.ssl().verify_result() {
            X509VerifyResult::OK => error.to_string(),
            why => format!("{refused}: {why}"),
        };
        return Err(io::Error::other(reason));
    }
    Ok(stream)
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out after {} s", CONNECT_TIMEOUT.as_secs()))
}

async fn connector(files: &TlsFiles) -> io::Result<SslConnector> {
    let TlsFiles { authority, identity, verify } = files;
    let mut builder = crate::net::tls::client()?;
    if let Some(file) = authority {
        let text = read(file).await?;
        let certificates = X509::stack_from_pem(&text).map_err(|error| broken(file, "certificate", &error))?;
        if certificates.is_empty() {
            return Err(io::Error::other(format!("{}: there is no certificate in it", file.display())));
        }
        // Only this authority: a public one must not vouch for a private daemon.
        let mut store = X509StoreBuilder::new()?;
        for certificate in certificates {
            store.add_cert(certificate)?;
        }
        builder.set_cert_store(store.build());
    }
    if let Some((certificate, key)) = identity {
        let chain = X509::stack_from_pem(&read(certificate).await?);
        let mut chain = chain.map_err(|error| broken(certificate, "certificate", &error))?.into_iter();
        let own = chain.next();
        let own =
            own.ok_or_else(|| io::Error::other(format!("{}: there is no certificate in it", certificate.display())))?;
        builder.set_certificate(&own)?;
        for above in chain {
            builder.add_extra_chain_cert(above)?;
        }
        // A passphrase cannot be asked for: an empty one makes a locked key an error instead of a question.
        let text = read(key).await?;
        let private = PKey::private_key_from_pem_passphrase(&text, b"").map_err(|error| {
            if text.windows(9).any(|word| word == b"ENCRYPTED") {
                let advice = "the key is locked with a passphrase, which nobody can be asked for";
                return io::Error::other(format!("{}: {advice}; store it without one", key.display()));
            }
            broken(key, "private key", &error)
        })?;
        // The only thing that is checked here is that it fits the certificate.
        builder
            .set_private_key(&private)
            .map_err(|_| io::Error::other(format!("{} does not belong to {}", key.display(), certificate.display())))?;
    }
    if !verify {
        builder.set_verify(SslVerifyMode::NONE);
    }
    Ok(builder.build())
}

async fn read(file: &std::path::Path) -> io::Result<Vec<u8>> {
    let text = tokio::fs::read(file).await;
    text.map_err(|error| io::Error::new(error.kind(), format!("certificate file {}: {error}", file.display())))
}

/// Only what it should be: OpenSSL's own words name its source files.
fn broken(file: &std::path::Path, what: &str, _: &openssl::error::ErrorStack) -> io::Error {
    io::Error::other(format!("{}: this is no {what} in PEM form", file.display()))
}

/// TLS whose far end may refuse us late: it has read our certificate only when we are done. It then says why and hangs
/// up, and what we were writing meanwhile fails; its words are still there to be read.
struct Explained {
    stream: SslStream<TcpStream>,
    /// What a write failed with, while its reason is looked for.
    failed: Option<io::Error>,
}

impl AsyncRead for Explained {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Explained {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.failed.is_none() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, buf)) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(error) => self.failed = Some(error),
            }
        }
        // A connection that cannot be written to has ended: this does not wait for long.
        let mut word = [0; 1];
        let said = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut word)));
        let failed = self.failed.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        Poll::Ready(Err(said.err().filter(|said| said.kind() == io::ErrorKind::Other).unwrap_or(failed)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Lets the client library connect to an endpoint it cannot reach by itself.
#[derive(Debug, Clone)]
pub struct Connector(pub Endpoint);

impl tower_service::Service<hyper::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        let endpoint = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(endpoint.dial().await?)) })
    }
}
