//! HTTP for Git LFS, through the relay of the update: its proxies, its trust, its limits on silence, its end.

use std::{cell::RefCell, collections::HashMap};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::{
    error::{GitError, clean},
    relay::Route,
    session::Session,
};

/// Redirects in a row, at most.
const MOST_REDIRECTS: usize = 5;
/// An answer that is kept in memory, in bytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Of an error's text, this many characters are shown.
const SHOWN: usize = 200;

pub(super) struct Ask<'a> {
    pub(super) url: Url,
    /// Headers with what they say; an `Authorization` goes to this host only.
    pub(super) headers: Vec<(String, String)>,
    /// What is sent; without it, something is asked for.
    pub(super) body: Option<&'a str>,
}

/// Speaks HTTP for one update.
pub(super) struct Client<'s> {
    session: &'s Session,
    /// `http.proxy` of the repository.
    proxy: Option<String>,
    /// Local ports that lead to a server.
    ports: RefCell<HashMap<(String, u16, bool), u16>>,
}

impl<'s> Client<'s> {
    pub(super) fn new(session: &'s Session, proxy: Option<String>) -> Self {
        Self { session, proxy, ports: RefCell::default() }
    }

    /// Asks and follows where it is sent, if nothing is sent along.
    pub(super) async fn ask(&self, mut ask: Ask<'_>) -> Result<Response<Incoming>, GitError> {
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.once(&ask).await?;
            let elsewhere = answer.status().is_redirection().then(|| answer.headers().get(LOCATION)).flatten();
            let Some(to) = elsewhere.and_then(|to| ask.url.join(to.to_str().ok()?).ok()) else { return Ok(answer) };
            let downgraded = ask.url.scheme() == "https" && to.scheme() != "https";
            if ask.body.is_some() || downgraded {
                return Err(GitError::RedirectedAway { to: clean(without_query(to).as_str()) });
            }
            if (to.host(), to.port_or_known_default()) != (ask.url.host(), ask.url.port_or_known_default()) {
                ask.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
            }
            ask.url = to;
        }
        Err(GitError::other(format!("fetch {}", without_query(ask.url)), "too many redirects"))
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, GitError> {
        let Ask { url, headers, body } = ask;
        let shown = without_query(url.clone());
        let bad = |message: String| GitError::BadAddress { address: shown.to_string(), message };
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(bad(format!("{other}:// is not http:// or https://"))),
        };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let local = self.port(host, port, tls)?;
        let broken = |error: &dyn std::fmt::Display| {
            // The relay knows the cause; what is seen here is that the connection ended.
            let fault = self.session.relay.take_fault();
            fault.unwrap_or_else(|| GitError::broken_off(&shown, &error.to_string()))
        };
        let stream = TcpStream::connect(("127.0.0.1", local)).await.map_err(|error| broken(&error))?;
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(async move {
            // What went wrong is seen where the answer is read.
            let _ = connection.await;
        });
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(method).uri(target);
        if let Some(all) = request.headers_mut() {
            // The relay puts the true one here.
            all.insert(HOST, HeaderValue::from_static("relay"));
            all.insert(USER_AGENT, HeaderValue::from_static(concat!("turnout/", env!("CARGO_PKG_VERSION"))));
            for (name, value) in headers {
                let pair = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
                let (Ok(name), Ok(mut value)) = pair else {
                    return Err(bad("it comes with a header that is none".to_owned()));
                };
                value.set_sensitive(name == AUTHORIZATION);
                all.insert(name, value);
            }
        }
        let body = Full::new(Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()));
        let request = request.body(body).map_err(|error| bad(error.to_string()))?;
        send.send_request(request).await.map_err(|error| broken(&error))
    }

    fn port(&self, host: String, port: u16, tls: bool) -> Result<u16, GitError> {
        let key = (host.clone(), port, tls);
        if let Some(local) = self.ports.borrow().get(&key) {
            return Ok(*local);
        }
        let env = |name: &str| std::env::var(name).ok();
        let via = turnout_net::proxy::applies_to(&host, tls, self.proxy.clone(), &env)?;
        let route = Route::Http { host, port, tls, via, redirects: true };
        let local = self.session.relay.open(route);
        let local = local.map_err(|error| GitError::other("open a local port for the transfer", error))?;
        self.ports.borrow_mut().insert(key, local);
        Ok(local)
    }

    /// The whole of an answer.
    pub(super) async fn whole(&self, answer: Response<Incoming>) -> Result<Vec<u8>, GitError> {
        let limited = http_body_util::Limited::new(answer.into_body(), LARGEST_ANSWER);
        let whole = limited.collect().await.map_err(|error| {
            self.session
                .relay
                .take_fault()
                .unwrap_or_else(|| GitError::other("read the answer of the LFS server", error))
        })?;
        Ok(whole.to_bytes().to_vec())
    }
}

/// Text of a server, fit to be shown.
pub(super) fn excerpt(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect::<String>())
}

/// An address as it may be shown: what gives access to stored objects is in the query.
pub(super) fn without_query(mut url: Url) -> Url {
    url.set_query(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

/// The headers of the API.
pub(super) fn json_headers() -> Vec<(String, String)> {
    const JSON: &str = "application/vnd.git-lfs+json";
    vec![("accept".to_owned(), JSON.to_owned()), (CONTENT_TYPE.to_string(), JSON.to_owned())]
}
