//! One connection to a server: TCP, and TLS in it, with certificates of our own where the server wants them.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use openssl::{
    pkey::PKey,
    ssl::{SslConnector, SslVerifyMode},
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_openssl::SslStream;

use crate::tls;

/// Longest wait for a TCP connection, and again for the beginning of TLS in it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Certificates of a connection. They are read for each connection, so that renewed ones count at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// The authority whose signature the server's certificate must have; the system's when `None`.
    pub authority: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is checked at all.
    pub verify: bool,
}

/// A connection, whatever it is made of; hyper's client takes it.
pub struct Stream(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Stream {
    /// A connection that was made elsewhere.
    pub fn of(connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Stream {
        Stream(Box::new(connection))
    }
}

/// Connects to `host:port`.
///
/// # Errors
/// Nobody listens there, or nobody answers within [`CONNECT_TIMEOUT`].
pub async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| timed_out("connecting"))??;
    // Requests are small and answers are waited for.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to `host:port` and begins TLS; `refused` is what is said of a certificate that does not do. Why the server
/// refuses ours is told by the first read or write.
///
/// # Errors
/// A file that is not what it should be, in words; or as [`tcp`]; or TLS failed.
pub async fn tls_to(address: &str, files: &TlsFiles, refused: &str) -> io::Result<Stream> {
    // Before the connection: broken files are not the far end's business.
    let connector = connector(files).await?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = handshake(&connector, tcp(address).await?, host, files.verify, refused).await?;
    Ok(Stream::of(Explained { stream, failed: None }))
}

/// Begins TLS in a connection that is there, with the system's authorities; `refused` as for [`tls_to`].
///
/// # Errors
/// TLS failed.
pub async fn secured(stream: TcpStream, host: &str, refused: &str) -> io::Result<Stream> {
    let connector = tls::client()?.build();
    Ok(Stream::of(handshake(&connector, stream, host, true, refused).await?))
}

/// The same with certificates of our own. `host`: without a port.
///
/// # Errors
/// As [`tls_to`].
pub async fn secured_with(stream: TcpStream, host: &str, files: &TlsFiles, refused: &str) -> io::Result<Stream> {
    let connector = connector(files).await?;
    Ok(Stream::of(handshake(&connector, stream, host, files.verify, refused).await?))
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
        return Err(match stream.ssl().verify_result() {
            X509VerifyResult::OK => io::Error::other(error),
            why => io::Error::other(CertificateRefused { told: refused.to_owned(), why }),
        });
    }
    Ok(stream)
}

/// The server's certificate is none that counts here.
#[derive(Debug, thiserror::Error)]
#[error("{told}: {why}")]
struct CertificateRefused {
    /// Whose it is, in the words of whoever connects.
    told: String,
    why: X509VerifyResult,
}

/// Whether a connection came to nothing because the server's certificate is refused: it speaks TLS.
pub fn is_certificate_refused(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<CertificateRefused>())
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out after {} s", CONNECT_TIMEOUT.as_secs()))
}

async fn connector(files: &TlsFiles) -> io::Result<SslConnector> {
    let TlsFiles { authority, identity, verify } = files;
    let mut builder = tls::client()?;
    if let Some(file) = authority {
        let text = read(file).await?;
        let certificates = X509::stack_from_pem(&text).map_err(|error| broken(file, "certificate", &error))?;
        if certificates.is_empty() {
            return Err(io::Error::other(format!("{}: there is no certificate in it", file.display())));
        }
        // Only this authority: a public one must not vouch for a private server.
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

async fn read(file: &Path) -> io::Result<Vec<u8>> {
    let text = tokio::fs::read(file).await;
    text.map_err(|error| io::Error::new(error.kind(), format!("certificate file {}: {error}", file.display())))
}

/// Only what it should be: OpenSSL's own words name its source files.
fn broken(file: &Path, what: &str, _: &openssl::error::ErrorStack) -> io::Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_none_is_told_before_anybody_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let (gone, empty) = (folder.path().join("gone.pem"), folder.path().join("empty.pem"));
        std::fs::write(&empty, "no certificate\n").unwrap();
        let said = async |files: TlsFiles| {
            // Nobody listens there: whoever called first would say so.
            tls_to("127.0.0.1:1", &files, "refused").await.err().unwrap().to_string()
        };
        let authority =
            |file: &Path| TlsFiles { authority: Some(file.to_owned()), verify: true, ..TlsFiles::default() };
        let error = said(authority(&gone)).await;
        assert!(error.starts_with(&format!("certificate file {}: ", gone.display())), "{error}");
        assert_eq!(said(authority(&empty)).await, format!("{}: there is no certificate in it", empty.display()));
        let identity = TlsFiles { identity: Some((empty.clone(), gone)), ..TlsFiles::default() };
        assert_eq!(said(identity).await, format!("{}: there is no certificate in it", empty.display()));
    }
}
