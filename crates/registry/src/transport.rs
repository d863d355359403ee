//! HTTP to registries: connections, redirects, bounds. Who asks is [`super::repository`]'s business.
//!
//! TLS always, with the system's authorities. Only a registry on this very machine may speak plain HTTP: nobody listens
//! in between.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use turnout_net::{
    dial::{self, Stream},
    proxy, tunnel,
};
use turnout_report::with_sources;
use url::Url;

use super::error::RegistryError;

/// Redirects that are followed: registries keep blobs elsewhere.
const MAX_REDIRECTS: usize = 5;
/// How long a connection is kept for the next request.
const KEEP: Duration = Duration::from_secs(10);

/// Opens connections as they are needed, and keeps them for a while.
pub(super) struct Transport(Client<Dialer, Full<Bytes>>);

/// A request. Its `Authorization` is sent to the server it is for, and to no other.
pub(super) struct Question<'a> {
    pub method: Method,
    pub url: Url,
    /// The value of `Authorization`.
    pub pass: Option<&'a header::HeaderValue>,
    /// Headers beside `Authorization` and `Host`.
    pub headers: &'a [(header::HeaderName, &'a str)],
    pub body: Bytes,
    /// Longest answer that is read, in bytes.
    pub most: usize,
}

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Transport {
    pub(super) fn new() -> Transport {
        let mut builder = Client::builder(TokioExecutor::new());
        Transport(builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEEP).build(Dialer))
    }

    /// Asks, and follows redirects.
    ///
    /// # Errors
    /// No connection, an answer that is too long, or a redirect to where it is not safe.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        let Question { method, mut url, pass, headers, body, most } = question;
        let home = authority(&url);
        for _ in 0..=MAX_REDIRECTS {
            let host = authority(&url);
            let unreachable = |message: String| RegistryError::Unreachable { host: host.clone(), message };
            let mut request = Request::builder().method(method.clone()).uri(url.as_str());
            request = request.header(header::USER_AGENT, concat!("turnout/", env!("CARGO_PKG_VERSION")));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            if let Some(pass) = pass.filter(|_| host == home) {
                request = request.header(header::AUTHORIZATION, pass);
            }
            let request = request.body(Full::new(body.clone())).map_err(|error| unreachable(error.to_string()))?;
            let answer = self.0.request(request).await.map_err(|error| unreachable(with_sources(&error)))?;
            let (parts, incoming) = answer.into_parts();
            if method == Method::GET && parts.status.is_redirection() {
                url = redirected(&url, &parts.headers)?;
                continue;
            }
            let told =
                Limited::new(incoming, most).collect().await.map_err(|error| match error
                    .downcast_ref::<http_body_util::LengthLimitError>(
                ) {
                    Some(_) => untrusted(&host, format!("its answer is longer than {most} bytes")),
                    None => unreachable(format!("the answer broke off: {}", with_sources(&*error))),
                })?;
            return Ok(Answer { status: parts.status, headers: parts.headers, body: told.to_bytes() });
        }
        Err(untrusted(&home, format!("more than {MAX_REDIRECTS} redirects")))
    }
}

/// The address of a registry's interface: `https://HOST/v2/`, or `http` where only that is spoken, on this machine.
///
/// # Errors
/// The host is none.
pub(super) async fn interface_of(host: &str) -> Result<Url, RegistryError> {
    let address = |scheme: &str| Url::parse(&format!("{scheme}://{host}/v2/"));
    let bad = |error: url::ParseError| RegistryError::Unreachable { host: host.to_owned(), message: error.to_string() };
    let secure = address("https").map_err(bad)?;
    if !secure.host_str().is_some_and(is_this_machine) {
        return Ok(secure);
    }
    let uri: Uri = secure.as_str().parse().map_err(|error: hyper::http::uri::InvalidUri| {
        RegistryError::Unreachable { host: host.to_owned(), message: error.to_string() }
    })?;
    match dial(&uri).await {
        Ok(_) => Ok(secure),
        // It speaks TLS, and its certificate is bad: that is told by the request itself.
        Err(error) if dial::is_certificate_refused(&error) => Ok(secure),
        Err(_) => address("http").map_err(bad),
    }
}

/// Whether plain HTTP to this host stays on this machine.
pub(super) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port for messages and comparisons.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn untrusted(host: &str, message: String) -> RegistryError {
    RegistryError::Untrusted { host: host.to_owned(), message }
}

/// Where an answer sends us.
fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let host = authority(from);
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(to) = from.join(location) else { return Err(untrusted(&host, "it redirects to no address".to_owned())) };
    let safe = match to.scheme() {
        "https" => true,
        // As safe as the registry itself.
        "http" => from.scheme() == "http" && to.host_str().is_some_and(is_this_machine),
        _ => false,
    };
    if safe { Ok(to) } else { Err(untrusted(&host, format!("it redirects to {}, without TLS", authority(&to)))) }
}

/// What is wrong with a certificate begins so.
const REFUSED: &str = "the registry's certificate is refused";

#[derive(Clone, Copy)]
struct Dialer;

async fn dial(uri: &Uri) -> io::Result<Stream> {
    let tls = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let variable = |name: &str| std::env::var(name).ok();
    let proxy = match is_this_machine(host) {
        true => None,
        false => proxy::applies_to(bare, tls, None, &variable).map_err(io::Error::other)?,
    };
    let stream = match proxy {
        None => dial::tcp(&format!("{host}:{port}")).await?,
        Some(proxy) => {
            let at =
                format!("{}:{}", proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or(80));
            let mut stream = dial::tcp(&at).await?;
            tunnel::open(&mut stream, &proxy, &format!("{host}:{port}")).await.map_err(io::Error::other)?;
            stream
        }
    };
    if !tls {
        return Ok(Stream::of(stream));
    }
    dial::secured(stream, bare, REFUSED).await
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move { Ok(TokioIo::new(dial(&uri).await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_never_leave_tls() {
        let to = |from: &str, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, location.parse().unwrap());
            redirected(&Url::parse(from).unwrap(), &headers).map(|url| url.to_string()).map_err(|e| e.to_string())
        };
        assert_eq!(to("https://r/v2/a", "https://cdn/x?sig=1").unwrap(), "https://cdn/x?sig=1");
        assert_eq!(to("https://r/v2/a", "/other").unwrap(), "https://r/other");
        assert_eq!(to("http://localhost:5/v2/a", "http://127.0.0.1:6/b").unwrap(), "http://127.0.0.1:6/b");
        assert!(
            to("https://r/v2/a", "http://cdn/x?sig=secret").unwrap_err().ends_with("it redirects to cdn, without TLS")
        );
        assert!(to("http://localhost/v2/a", "http://cdn/x").is_err());
        assert!(to("https://r/v2/a", "file:///etc/passwd").is_err());
    }

    #[test]
    fn only_this_machine_may_do_without_tls() {
        for (host, here) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_this_machine(host), here, "{host}");
        }
    }
}
