//! One question over HTTP, on a connection of its own, bounded in size. Its time is the asker's.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1::handshake, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use turnout_net::dial;

/// What a server answered, read whole: its body is bounded by whoever asked.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks for a path, and reads the answer whole, up to `most` bytes.
pub(crate) async fn get((address, tls): (&str, bool), host: &str, path: &str, most: usize) -> Result<Answer, String> {
    let stream = dial::tcp(address).await.map_err(|error| format!("{address}: {error}"))?;
    match tls {
        false => over(stream, host, path, most).await,
        true => {
            let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let stream = dial::secured(stream, name, "its certificate is not trusted").await;
            over(stream.map_err(|error| format!("{address}: {error}"))?, host, path, most).await
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
    most: usize,
) -> Result<Answer, String> {
    let (mut sender, connection) =
        handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(path).header(header::HOST, host).header(header::USER_AGENT, "turnout");
    let request = request.header(header::CONNECTION, "close").body(Empty::new()).map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), most).collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(Answer { status, body: body.to_bytes() })
    };
    // The connection has to be driven while it is asked on; it ends with the answer.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
