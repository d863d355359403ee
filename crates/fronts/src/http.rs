//! One question over HTTP to a program on this machine, bounded in time and size.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1::handshake, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::FrontError;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most of an answer that is read.
const MOST: usize = 4 << 20;

/// Where a program answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// On a port.
    Tcp(SocketAddr),
    /// On a socket.
    Unix(PathBuf),
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

/// What is asked.
pub(crate) struct Question<'q> {
    /// Who is asked, for messages.
    pub(crate) front: &'q str,
    pub(crate) at: &'q At,
    /// As in `Host`.
    pub(crate) host: &'q str,
    pub(crate) method: Method,
    pub(crate) path: &'q str,
    /// JSON; nothing: no body.
    pub(crate) body: Option<String>,
}

impl Question<'_> {
    /// Connects, asks once, and reads the answer whole.
    pub(crate) async fn ask(self) -> Result<Answer, FrontError> {
        let (front, asked) = (self.front.to_owned(), format!("{} {}", self.method, self.path));
        let connected = async {
            match self.at {
                At::Tcp(address) => TcpStream::connect(address).await.map(Stream::Tcp),
                At::Unix(path) => connect(path).await.map(Stream::Unix),
            }
        };
        let answered = async {
            match connected.await.map_err(|source| FrontError::Absent { front: front.clone(), source })? {
                Stream::Tcp(stream) => self.over(stream).await,
                Stream::Unix(stream) => self.over(stream).await,
            }
        };
        let silent = |why: String| FrontError::Silent { front: front.clone(), asked: asked.clone(), why };
        timeout(PATIENCE, answered)
            .await
            .unwrap_or_else(|_| Err(silent(format!("nothing came within {} s", PATIENCE.as_secs()))))
    }

    async fn over(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Answer, FrontError> {
        let why = |why: String| FrontError::Silent {
            front: self.front.to_owned(),
            asked: format!("{} {}", self.method, self.path),
            why,
        };
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| why(error.to_string()))?;
        let mut request = Request::builder().method(self.method.clone()).uri(self.path).header(header::HOST, self.host);
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(self.body.clone().unwrap_or_default()));
        let request = request.header(header::CONNECTION, "close").body(body).map_err(|error| why(error.to_string()))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
        };
        // The connection has to be driven while it is asked on; it ends with the answer.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer.map_err(why),
            ended = &mut connection => match ended {
                Ok(()) => exchange.await.map_err(why),
                Err(error) => Err(why(error.to_string())),
            },
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn connect(path: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(path).await
}
