//! HTTP to an authority: over TLS alone, one connection that is kept while it can be, bounded in size and time.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use turnout_net::{
    dial::{self, TlsFiles},
    proxy, tunnel,
};
use turnout_report::with_sources;
use url::Url;

use crate::{AcmeError, wire::plain};

/// Time for a request and its answer, the connection included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a chain has some ten thousand.
const LARGEST: usize = 256 << 10;
/// What is said of a certificate that does not do.
const REFUSED: &str = "the authority's own certificate is not trusted";

/// See the module.
pub(crate) struct Transport {
    /// The file of an authority that the system does not know.
    authority: Option<PathBuf>,
    /// To which server, and the connection.
    open: Option<(String, SendRequest<Full<Bytes>>)>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// In how long it may be asked again.
    #[expect(clippy::disallowed_methods, reason = "compared with a server's date")]
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(self.header("retry-after")?, SystemTime::now())
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let date = || httpdate::parse_http_date(text).ok().map(|at| at.duration_since(now).unwrap_or_default());
    text.trim().parse().ok().map(Duration::from_secs).or_else(date)
}

impl Transport {
    pub(crate) fn new(authority: Option<PathBuf>) -> Transport {
        Transport { authority, open: None }
    }

    /// Asks. With a body it is a POST.
    pub(crate) async fn ask(&mut self, method: Method, url: &str, body: Option<String>) -> Result<Answer, AcmeError> {
        let unreachable = |message: String| AcmeError::Unreachable { at: plain(url), message };
        let parsed = Url::parse(url).ok().filter(|parsed| parsed.scheme() == "https" && parsed.host_str().is_some());
        let Some(parsed) = parsed else {
            return Err(unreachable("it is no https:// address".to_owned()));
        };
        match timeout(PATIENCE, self.once(method, &parsed, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(message)) => {
                self.open = None;
                Err(unreachable(message))
            }
            Err(_) => {
                self.open = None;
                Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs())))
            }
        }
    }

    async fn once(&mut self, method: Method, url: &Url, body: Option<String>) -> Result<Answer, String> {
        let host = proxy::bare_host(url);
        let port = url.port_or_known_default().unwrap_or(443);
        let shown = url.host_str().unwrap_or_default();
        let named = url.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let server = format!("{shown}:{port}");
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, named);
        request = request.header(header::USER_AGENT, concat!("turnout-proxy/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/jose+json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|error| error.to_string())?;
        let kept = match self.open.take().filter(|(to, _)| *to == server) {
            // That it was closed meanwhile is seen here, before anything is sent.
            Some((_, mut sender)) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect(&host, &server).await.map_err(|error| error.to_string())?,
        };
        let answer = sender.send_request(request).await.map_err(|error| with_sources(&error))?;
        let (parts, incoming) = answer.into_parts();
        let body =
            Limited::new(incoming, LARGEST).collect().await.map_err(|error| match error
                .is::<http_body_util::LengthLimitError>()
            {
                true => format!("its answer is longer than {LARGEST} bytes"),
                false => format!("the answer broke off: {}", with_sources(&*error)),
            })?;
        self.open = Some((server, sender));
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    async fn connect(&self, host: &str, server: &str) -> io::Result<SendRequest<Full<Bytes>>> {
        let env = |name: &str| std::env::var(name).ok();
        let via = proxy::applies_to(host, true, None, &env).map_err(io::Error::other)?;
        let tcp = match via {
            None => dial::tcp(server).await?,
            Some(via) => {
                let address = format!("{}:{}", via.host_str().unwrap_or_default(), via.port().unwrap_or(80));
                let mut tcp = dial::tcp(&address).await?;
                tunnel::open(&mut tcp, &via, server).await.map_err(io::Error::other)?;
                tcp
            }
        };
        let files = TlsFiles { authority: self.authority.clone(), identity: None, verify: true };
        let stream = dial::secured_with(tcp, host, &files, REFUSED).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // What went wrong is seen where the answer is read.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_ask_again_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(text, now).map(|time| time.as_secs()), expected, "{text}");
        }
    }
}
