//! One request: a container is found for it, it is sent, and the answer goes back.
//!
//! It is sent a second time only where nothing can have been done by the first one: it was never sent, or it only asks, has
//! no body, and no byte of an answer came. A request that changes something and was sent is never sent again.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout, timeout_at},
};
use turnout_traffic::Protocol;

use super::{
    answer::{Answer, Content, Passed, Silence},
    head::{Body, Head},
    headers,
    refusal::Refusal,
    sent::{Gate, Sent},
    target::{Link, Rest},
    wire::{BUFFER, Said},
};
use crate::{
    board::{Claim, Serving, Tally, Waiting},
    house::House,
    pass::{ACCEPT, PATIENCE, PAUSE},
    standing::Page,
};

/// How long a request waits while its repository is held.
const HOLD_TIME: Duration = Duration::from_secs(30);
/// How long a container is waited for that is to ask for a body (`Expect: 100-continue`). Many never do.
const ASK_TIME: Duration = Duration::from_secs(1);

/// A client's connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) listen: SocketAddr,
    /// What it says of who asked is believed.
    pub(crate) trusted: bool,
    pub(crate) said: Arc<Said>,
    /// The route that the last request went by.
    pub(crate) way: Mutex<Option<Arc<Serving>>>,
    /// What the connection becomes once the answer has gone out.
    pub(crate) tunnel: Mutex<Option<Tunnel>>,
    pub(crate) house: Arc<House>,
}

/// The other end of what is HTTP no longer.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) rest: oneshot::Receiver<Rest>,
    pub(crate) claim: Claim,
}

/// An answer of our own.
#[derive(Debug)]
struct Own {
    status: StatusCode,
    message: &'static str,
    /// In place of the message.
    page: Option<String>,
    /// Worth asking again after so many seconds.
    again: Option<u32>,
    /// The connection ends with it.
    last: bool,
}

impl Own {
    const fn new(status: StatusCode, message: &'static str) -> Own {
        Own { status, message, page: None, again: None, last: false }
    }

    /// Worth asking again at once.
    const fn again(status: StatusCode, message: &'static str) -> Own {
        Own { status, message, page: None, again: Some(1), last: false }
    }

    fn refused(refusal: Refusal) -> Own {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        Own { last: true, ..Own::new(status, refusal.reason) }
    }
}

const CROWDED: Own = Own::again(StatusCode::SERVICE_UNAVAILABLE, "as many requests wait here as may; try again");
const HELD_TOO_LONG: Own =
    Own::again(StatusCode::GATEWAY_TIMEOUT, "a deployment takes longer than requests wait for it; try again");
const NO_TARGET: Own =
    Own::again(StatusCode::SERVICE_UNAVAILABLE, "no container takes the request at the moment; try again");

/// Answers a request.
pub(crate) async fn exchange(client: Arc<Client>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let mut upgrades = false;
    let head = Mark(request.method() == Method::HEAD);
    let answered = match client.said.verdict() {
        Some(Ok(head)) => {
            upgrades = head.upgrade;
            client.asked(request, &head).await
        }
        Some(Err(refusal)) => Err(Own::refused(refusal)),
        None => Err(Own { last: true, ..Own::new(StatusCode::BAD_REQUEST, "the request is not understood") }),
    };
    let mut response = match answered {
        Ok(response) => response.map(Content::Passed),
        Err(own) => own.response(&client, head),
    };
    if upgrades && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        client.said.go_on();
    }
    if *client.house.ending.borrow() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let said = Arc::clone(&client.said);
    Ok(response.map(|content| Answer { content, said }))
}

/// Whether a request was HEAD.
struct Mark(bool);

impl Own {
    fn response(self, client: &Client, head: Mark) -> Response<Content> {
        let Own { status, message, page, again, last } = self;
        if let Some(tally) = client.tally() {
            tally.answered_here.fetch_add(1, Relaxed);
        }
        tracing::debug!(listen = %client.listen, peer = %client.peer, %status, "{message}");
        let kind = if page.is_some() { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let line = || format!("{} {}: {message}\n", status.as_str(), status.canonical_reason().unwrap_or(""));
        let text = Bytes::from(page.unwrap_or_else(line));
        let mut response = Response::new(Content::Own(None));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        if let Some(seconds) = again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if last {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !head.0 {
            *response.body_mut() = Content::Own(Some(text));
        }
        response
    }
}

/// A request as it may be sent again, and how its body goes.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// None where there is none, or where it was sent.
    body: Option<Incoming>,
    bodied: bool,
    expects: bool,
    upgrade: bool,
    whole: Arc<AtomicBool>,
}

impl Asked {
    /// May be sent again though it was sent: it only asks.
    fn only_asks(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS) && !self.bodied
    }

    /// The request; its headers are kept only where it may be sent again after it was sent.
    fn request(&mut self, sent: Sent) -> Request<Sent> {
        let headers = if self.only_asks() { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        let mut request = Request::new(sent);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Takes back what was never sent.
    fn take_back(&mut self, request: Request<Sent>) {
        let (parts, sent) = request.into_parts();
        self.headers = parts.headers;
        if let Sent::Body { body, .. } = sent {
            self.body = Some(body);
        }
    }
}

/// How sending a request failed.
enum Failed {
    /// It was never sent, and was taken back.
    Unsent,
    /// It was, and nothing was said.
    Silent,
    /// It was, and what was said is no answer.
    Broken,
    /// Nothing was said for too long.
    Late,
}

/// What a claim comes to.
enum Claimed {
    At(Claim),
    /// No target that was not tried.
    Nobody,
    /// Requests wait.
    Held(Arc<Serving>),
}

impl Client {
    /// What is counted at the listener.
    fn tally(&self) -> Option<Arc<Tally>> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        self.house.board.serving_by(&mut way, self.listen).map(|serving| Arc::clone(&serving.tally))
    }

    /// The answer that a maintained repository gives.
    fn page(&self) -> Option<Own> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.house.board.serving_by(&mut way, self.listen)?;
        serving.tally.requests.fetch_add(1, Relaxed);
        let Page(page) = serving.standing.page()?;
        let message = "this is under maintenance; try again later";
        Some(Own { page, again: Some(60), ..Own::new(StatusCode::SERVICE_UNAVAILABLE, message) })
    }

    async fn asked(&self, request: Request<Incoming>, head: &Head) -> Result<Response<Passed>, Own> {
        if let Some(page) = self.page() {
            return Err(page);
        }
        let mut asked = self.rewritten(request, head)?;
        // What a request holds while it waits: its head, and of its body what was read ahead.
        let held = u64::try_from(head.length + if head.body == Body::None { 0 } else { BUFFER }).unwrap_or(u64::MAX);
        let (mut found, mut again) = (self.find(None, held).await?, false);
        loop {
            let (claim, mut link) = found;
            let used = link.used;
            claim.colour.answers.asked();
            let since = Instant::now();
            match send(&mut link, &mut asked, self.house.times.answer_timeout).await {
                Ok(response) => {
                    claim.colour.answers.answered(response.status().as_u16(), since.elapsed());
                    return self.answered(response, link, claim, &asked);
                }
                Err(Failed::Unsent) => {
                    claim.colour.answers.unsent();
                    // A new connection that ends before it was used is a container that ends: it is given a moment.
                    if !used && std::mem::replace(&mut again, true) {
                        return Err(NO_TARGET);
                    }
                }
                Err(Failed::Silent) if asked.only_asks() && !again => again = true,
                Err(Failed::Late) => {
                    let message = "the container did not begin its answer in time";
                    return Err(Own::new(StatusCode::GATEWAY_TIMEOUT, message));
                }
                Err(Failed::Silent | Failed::Broken) => {
                    claim.tally.failed.fetch_add(1, Relaxed);
                    if let Some(refusal) = self.said.broken() {
                        return Err(Own::refused(refusal));
                    }
                    let message = "the container broke off before its answer, or gave one that is none";
                    return Err(Own::new(StatusCode::BAD_GATEWAY, message));
                }
            }
            let lost = claim.target;
            drop((claim, link));
            found = self.find(Some(lost), held).await?;
        }
    }

    /// The request as a container gets it.
    fn rewritten(&self, request: Request<Incoming>, head: &Head) -> Result<Asked, Own> {
        let (mut parts, body) = request.into_parts();
        let upgrade = parts.headers.get(header::UPGRADE).filter(|_| head.upgrade).cloned();
        let trailers = headers::takes_trailers(&parts.headers);
        headers::strip(&mut parts.headers);
        if let Some(authority) = parts.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str());
            let host = host.map_err(|_| Own::refused(Refusal::new(400, "the target has no host")))?;
            parts.headers.insert(header::HOST, host);
        }
        if !parts.headers.contains_key(header::HOST) {
            // HTTP/1.0 knows none; what is sent on is HTTP/1.1.
            let host = HeaderValue::from_str(&self.listen.to_string());
            parts.headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
        }
        let uri = match parts.uri.path_and_query() {
            Some(path) => Uri::from(path.clone()),
            None => Uri::from_static("/"),
        };
        headers::forwarded(&mut parts.headers, self.peer, self.trusted);
        if trailers {
            parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        let is_upgrade = upgrade.is_some();
        if let Some(upgrade) = upgrade {
            parts.headers.insert(header::UPGRADE, upgrade);
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        if head.body == Body::Chunked {
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(Asked {
            method: parts.method,
            uri,
            headers: parts.headers,
            body: (head.body != Body::None).then_some(body),
            bodied: head.body != Body::None,
            expects: head.expects,
            upgrade: is_upgrade,
            whole: Arc::new(AtomicBool::new(head.body == Body::None)),
        })
    }

    /// A claim, and a connection to its target. A container that refuses is followed by the next, and all of them are tried
    /// again for a while; the table is asked each time, for it may have changed. `lost`: the one that lost it before;
    /// `held`: bytes that the request holds while it waits.
    async fn find(&self, lost: Option<SocketAddr>, held: u64) -> Result<(Claim, Link), Own> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut tried: Vec<SocketAddr> = lost.into_iter().collect();
        let mut waits = None;
        loop {
            let claimed = match self.claim(&tried)? {
                Claimed::At(claim) => Some(claim),
                Claimed::Nobody => None,
                Claimed::Held(serving) => {
                    let _waits = Waiting::of(&serving.tally, held).ok_or(CROWDED)?;
                    timeout(HOLD_TIME, serving.standing.resumed()).await.map_err(|_| HELD_TOO_LONG)?;
                    // What is new is given the time that it would have had.
                    deadline = Instant::now() + PATIENCE;
                    continue;
                }
            };
            if let Some(claim) = claimed {
                if let Some(link) = claim.to.pool.take().await {
                    return Ok((claim, link));
                }
                let until = deadline.min(Instant::now() + ACCEPT);
                let outcome = timeout_at(until, Link::to(claim.target)).await;
                if let Ok(Ok(link)) = outcome {
                    return Ok((claim, link));
                }
                if waits.is_none() {
                    waits = Some(Waiting::of(&claim.tally, held).ok_or(CROWDED)?);
                }
                match outcome {
                    Ok(outcome) => {
                        let error = outcome.err();
                        tracing::debug!(target = %claim.target, ?error, "a container does not take connections");
                    }
                    Err(_) => tracing::debug!(target = %claim.target, "a container takes no connection in time"),
                }
                tried.push(claim.target);
            } else if tried.is_empty() || Instant::now() + PAUSE >= deadline {
                return Err(NO_TARGET);
            } else {
                sleep(PAUSE).await;
                tried.clear();
            }
        }
    }

    fn claim(&self, tried: &[SocketAddr]) -> Result<Claimed, Own> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = self.house.board.claim_by(&mut way, self.listen, self.peer.ip(), tried);
        match &*way {
            // Looked at after it was counted in: whoever holds and then sees nothing in flight may rely on it.
            Some(serving) if serving.standing.held() => Ok(Claimed::Held(Arc::clone(serving))),
            Some(serving) if serving.route.protocol == Protocol::Http => Ok(claim.map_or(Claimed::Nobody, Claimed::At)),
            // The route is gone, or is none of HTTP any more: a new connection finds what is there.
            _ => Err(Own { last: true, ..NO_TARGET }),
        }
    }

    fn answered(
        &self,
        mut response: Response<Incoming>,
        mut link: Link,
        mut claim: Claim,
        asked: &Asked,
    ) -> Result<Response<Passed>, Own> {
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded && !asked.upgrade {
            claim.tally.failed.fetch_add(1, Relaxed);
            let message = "the container changed the protocol without being asked";
            return Err(Own::new(StatusCode::BAD_GATEWAY, message));
        }
        let upgrade = response.headers().get(header::UPGRADE).filter(|_| upgraded).cloned();
        headers::strip(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        if !upgraded {
            let silence = claim.idle.map(Silence::of);
            let whole = Arc::clone(&asked.whole);
            return Ok(response.map(|body| Passed::new(body, (link, claim), whole, silence)));
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(upgrade) = upgrade {
            response.headers_mut().insert(header::UPGRADE, upgrade);
        }
        claim.becomes_tunnel();
        if let Some(rest) = link.rest.take() {
            *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tunnel { rest, claim });
        }
        Ok(response.map(Passed::nothing))
    }
}

/// Sends a request, and waits for the head of its answer.
async fn send(link: &mut Link, asked: &mut Asked, time: Duration) -> Result<Response<Incoming>, Failed> {
    let mut asks = None;
    let sent = match asked.body.take() {
        None => Sent::Nothing,
        Some(body) => {
            let gate = asked.expects.then(|| {
                let (send, asked) = oneshot::channel();
                asks = Some(Mutex::new(Some(send)));
                let gate: Gate = Box::pin(async move {
                    // It answered without asking: nobody wants the body any more.
                    if let Ok(Err(_)) = timeout(ASK_TIME, asked).await {
                        std::future::pending::<()>().await;
                    }
                });
                gate
            });
            Sent::Body { body, whole: Arc::clone(&asked.whole), gate }
        }
    };
    let mut request = asked.request(sent);
    if let Some(asks) = asks {
        hyper::ext::on_informational(&mut request, move |answer| {
            if answer.status() == StatusCode::CONTINUE
                && let Some(send) = asks.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                let _: Result<(), ()> = send.send(());
            }
        });
    }
    let before = link.heard();
    match timeout(time, link.sender.try_send_request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(mut error)) => match error.take_message() {
            Some(request) => {
                asked.take_back(request);
                Err(Failed::Unsent)
            }
            None if link.heard() == before => Err(Failed::Silent),
            None => Err(Failed::Broken),
        },
        Err(_) => Err(Failed::Late),
    }
}
