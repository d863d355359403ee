//! One connection to a daemon, whatever lies between.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use turnout_net::dial::{self, Stream};

use super::{endpoint::Endpoint, ssh};

/// What is said of a daemon's certificate that does not do.
const REFUSED: &str = "the daemon's certificate is refused";

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// What failed, as text for [`super::EngineError::Unreachable`]; errors of SSH come with the first read or write,
    /// because the connection is there only when the far end answers.
    pub async fn dial(&self) -> io::Result<Stream> {
        Ok(match self {
            Endpoint::Unix(path) => Stream::of(UnixStream::connect(path).await?),
            Endpoint::Tcp(address) => Stream::of(dial::tcp(address).await?),
            Endpoint::Tls { address, files } => dial::tls_to(address, files, REFUSED).await?,
            Endpoint::Ssh(target) => Stream::of(ssh::dial(target).await?),
        })
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
