//! One request: a container is found for it, it is sent, and the answer goes back.
//!
//! It is sent a second time only where nothing can have been done by the first one: it was never sent, or it only asks, has
//! no body, and no byte of an answer came. A request that changes something and was sent is never sent again.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::time::Instant;
use turnout_traffic::{Maintained, spot::Aim};

use super::{
    answer_head::{AnswerHead, Framing},
    buffer::{Outgoing, Size},
    clock::Clock,
    fallback,
    find::{AtOnce, Finder, NO_TARGET},
    forward::{self, Asker, Framed, Goes},
    guard::Step,
    head::{Body, Head},
    link::Link,
    mirror,
    note::Note,
    own::Own,
    talk::{Answering, Cut, Failed, Gone, Io, Talk},
    wish,
};
use crate::{
    board::{Claim, Serving},
    counts::{Bytes, Failure},
    house::House,
};

/// Bytes that a request with a body may hold beside its head while it waits.
const BODY_HELD: usize = 64 << 10;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) asker: Arc<Asker>,
    pub(crate) finder: Finder,
    pub(crate) io: Io,
    pub(crate) clock: Clock,
    pub(crate) house: Arc<House>,
}

/// What comes after a request.
#[derive(Debug)]
pub(crate) enum After {
    /// The next one may.
    Next,
    /// The end of the connection.
    Last,
    /// Its end, of which the client must see that it is none.
    Cut(&'static str),
    Tunnel(Box<Tunnel>),
    /// The client speaks HTTP/2, and has said nothing else.
    Http2,
}

/// The other end of what is HTTP no longer.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) link: Link,
    pub(crate) claim: Claim,
}

/// What of a request's head matters once it was written anew.
#[derive(Debug, Clone, Copy)]
struct Asked {
    modern: bool,
    /// To HEAD: its answer has no body, whatever its head says (RFC 9110, section 9.3.2).
    bodiless: bool,
    /// GET, HEAD or OPTIONS without a body: may be sent again though it was sent.
    only_asks: bool,
    upgrade: bool,
    keeps: bool,
    /// Bytes that it holds while it waits.
    held: u64,
}

/// A request's head as it is written, once more for each who gets it beside its container.
#[derive(Debug, Default)]
struct Beside {
    /// For the colour that gets a copy ([`mirror`]).
    copied: Option<Vec<u8>>,
    /// For the colour that is asked when this one does not have it ([`fallback`]).
    again: Option<Vec<u8>>,
}

/// How a request ended without an answer of a container's.
enum Unanswered {
    Own(Own),
    Cut(&'static str),
}

impl From<Own> for Unanswered {
    fn from(own: Own) -> Unanswered {
        Unanswered::Own(own)
    }
}

impl Client {
    /// Answers the request whose head the inbox begins with.
    pub(crate) async fn exchange(&mut self, head: Head) -> After {
        self.io.wrote = 0;
        let bytes = self.io.inbox.rest();
        let log = self.house.access.as_ref();
        let method = head.method.of(bytes);
        let asked = Asked {
            modern: head.modern,
            bodiless: method == b"HEAD",
            only_asks: matches!(method, b"GET" | b"HEAD" | b"OPTIONS") && head.body == Body::None,
            upgrade: head.upgrade,
            keeps: head.keeps,
            held: u64::try_from(head.length + if head.body == Body::None { 0 } else { BODY_HELD }).unwrap_or(u64::MAX),
        };
        let aim = Aim { host: head.host.of(bytes), path: head.path.of(bytes) };
        if let Some(proof) = self.house.certificates.challenges().answer(aim.path) {
            let mut note = Note::of(log, bytes, &head, b"");
            self.io.inbox.consume(head.length);
            let own = Own { text: Some(proof), ..Own::new(200, "the proof of a challenge") };
            let after = self.own_answer(own, asked, None, &mut note).await;
            self.write(note, None, 0, &after);
            return after;
        }
        let route = self.finder.begins(&self.house.board, aim);
        let serving = match route {
            Some(Ok(serving)) => serving,
            other => {
                let mut note = Note::of(log, bytes, &head, b"");
                self.io.inbox.consume(head.length);
                // The listener is gone: a new connection finds what is there.
                let own = other.and_then(Result::err).unwrap_or(Own { last: true, ..NO_TARGET });
                let after = self.own_answer(own, asked, None, &mut note).await;
                self.write(note, None, 0, &after);
                return after;
            }
        };
        serving.tally.requests.fetch_add(1, Relaxed);
        let mut up = Outgoing::new();
        let id = forward::request(up.end(), bytes, &head, &self.asker, &serving.route);
        let mut note = Note::of(log, bytes, &head, up.end().get(id).unwrap_or_default());
        self.finder.wishes(wish::of(&serving, bytes, &head, &self.asker));
        let bare = asked.only_asks && !asked.upgrade;
        let beside = Beside {
            copied: (bare && mirror::draws(&serving.route)).then(|| up.end().clone()),
            again: (bare && method != b"OPTIONS" && fallback::may(&serving.route, aim.path)).then(|| up.end().clone()),
        };
        let health = serving.route.beyond.is_health(aim.path);
        let mut said = 0;
        let elsewhere = serving.route.redirect_port.map(|port| redirect(aim, port));
        self.io.inbox.consume(head.length);
        if head.body != Body::None {
            self.io.inbox.becomes(Size::Large);
        }
        let outcome = match elsewhere.or_else(|| maintained(&serving).filter(|_| !health)) {
            Some(own) => Err(Unanswered::Own(own)),
            None => self.answered(&head, asked, (up, beside), &mut note, &mut said).await,
        };
        let after = match outcome {
            Ok(after) => after,
            Err(Unanswered::Cut(reason)) => After::Cut(reason),
            Err(Unanswered::Own(own)) => self.own_answer(own, asked, Some(&serving), &mut note).await,
        };
        self.write(note, Some(&serving), said, &after);
        after
    }

    /// The access log is told.
    fn write(&self, note: Note, serving: Option<&Serving>, said: u64, after: &After) {
        let cut = if let After::Cut(reason) = after { Some(*reason) } else { None };
        note.write(self.house.access.as_ref(), &self.asker, serving, (self.io.wrote, said), cut);
    }

    /// Answers a request ourselves.
    async fn own_answer(&mut self, own: Own, asked: Asked, serving: Option<&Serving>, note: &mut Note) -> After {
        if asked.upgrade {
            self.io.guard.go_on();
        }
        let last = own.last || !asked.keeps || !self.has_ended();
        self.own(Own { last, ..own }, asked.modern, asked.bodiless, serving, note).await
    }

    /// Answers what is no request, and ends the connection.
    pub(crate) async fn refuse(&mut self, own: Own) -> After {
        self.io.wrote = 0;
        let mut note = Note::of_none(self.house.access.as_ref());
        let after = self.own(Own { last: true, ..own }, true, false, None, &mut note).await;
        self.write(note, None, 0, &after);
        after
    }

    async fn own(
        &mut self,
        own: Own,
        modern: bool,
        bodiless: bool,
        serving: Option<&Serving>,
        note: &mut Note,
    ) -> After {
        self.finder.answered_here(&self.house.board, serving);
        let Own { status, message, .. } = &own;
        tracing::debug!(listen = %self.finder.listen, peer = %self.peer, %status, "{message}");
        let keeps = !own.last && !*self.house.ending.borrow();
        let head = own.write(self.io.out.end(), Goes { modern, keeps, body: Framed::None, hsts: None }, bodiless);
        note.answered(*status, head);
        match self.io.flush(&mut self.clock, self.house.times.take_timeout).await {
            Ok(()) if keeps => After::Next,
            Ok(()) => After::Last,
            Err(Gone) => After::Cut("the client takes no answer"),
        }
    }

    /// Whether the request's body has ended, as far as it is at hand.
    fn has_ended(&mut self) -> bool {
        let Io { guard, inbox, .. } = &mut self.io;
        while !guard.is_between() {
            match guard.step(inbox.rest()) {
                Step::Skip(length) | Step::Body(length) if length > 0 => inbox.consume(length),
                _ => return false,
            }
        }
        true
    }

    /// `said`: bytes that containers got.
    async fn answered(
        &mut self,
        head: &Head,
        asked: Asked,
        (up, mut beside): (Outgoing, Beside),
        note: &mut Note,
        said: &mut u64,
    ) -> Result<After, Unanswered> {
        let Client { finder, io, clock, house, .. } = self;
        let mut found = match finder.at_once(&house.board)? {
            AtOnce::Found(claim, link) => (claim, link),
            other => {
                let claim = if let AtOnce::Connect(claim) = other { Some(claim) } else { None };
                waiting(finder, house, io, claim, None, asked.held).await?
            }
        };
        let mut talk = Talk::new(io, clock, &house.times, up, head);
        let mut again = false;
        loop {
            let (claim, mut link) = found;
            let used = link.used;
            let failed = if used && !asked.only_asks && !link.is_surely_alive() {
                Failed::Unsent
            } else {
                claim.answers().asked();
                if let Some(copy) = beside.copied.take() {
                    mirror::send(finder, house, &claim, copy);
                }
                let since = Instant::now();
                match talk.ask(&mut link).await {
                    Ok(answer) => {
                        let after = since.elapsed();
                        claim.answers().answered(answer.status, after);
                        note.by(&claim, after);
                        let ending = *house.ending.borrow();
                        if answer.status == 404
                            && let Some(again) = beside.again.take()
                            && let Some(other) = fallback::other(finder, house, &claim)
                        {
                            let mut second = talk.once_more(fallback::head(&again), head);
                            match fallback::ask(&mut second, other, note).await {
                                Err(Gone) => return Err(Unanswered::Cut("the client has left")),
                                Ok(None) => {}
                                Ok(Some(had)) => {
                                    fallback::leave(&answer, link, &claim, asked.bodiless);
                                    let (answer, link, other) = had;
                                    let passed =
                                        pass_on(&mut second, answer, link, (other, None), asked, ending, note).await;
                                    *said = second.said;
                                    return passed;
                                }
                            }
                        }
                        let cookie = wish::cookie(finder, &claim, &answer, link.inbox.rest());
                        let passed = pass_on(&mut talk, answer, link, (claim, cookie), asked, ending, note).await;
                        *said = talk.said;
                        return passed;
                    }
                    Err(Failed::Unsent) => {
                        claim.answers().unsent();
                        Failed::Unsent
                    }
                    Err(failed) => failed,
                }
            };
            match failed {
                // A new connection that ends before it was used is a container that ends: it is given a moment.
                Failed::Unsent if !used && std::mem::replace(&mut again, true) => {
                    claim.answers().failed(Failure::Unavailable);
                    return Err(NO_TARGET.into());
                }
                Failed::Unsent => {}
                Failed::Silent if asked.only_asks && !again => again = true,
                Failed::Late => {
                    claim.answers().failed(Failure::Timeout);
                    return Err(Own::new(504, "the container did not begin its answer in time").into());
                }
                Failed::Refused(refusal) => return Err(Own::refused(refusal).into()),
                Failed::Gone => return Err(Unanswered::Cut("the client has left")),
                Failed::Silent | Failed::Broken(_) => {
                    claim.tally().failed.fetch_add(1, Relaxed);
                    claim.answers().failed(Failure::BadGateway);
                    if let Failed::Broken(reason) = failed {
                        tracing::debug!(target = %claim.target(), "an answer is none: {reason}");
                    }
                    let message = "the container broke off before its answer, or gave one that is none";
                    return Err(Own::new(502, message).into());
                }
            }
            // An old connection that was closed says nothing of its container: another one to it may be had at once.
            let lost = (!used).then(|| claim.target());
            drop((claim, link));
            found = waiting(finder, house, talk.io, None, lost, asked.held).await?;
        }
    }
}

/// The answer of a route that is `https` elsewhere.
fn redirect(aim: Aim<'_>, port: u16) -> Own {
    let Aim { host, path } = aim;
    let (host, path) = (String::from_utf8_lossy(host), String::from_utf8_lossy(path));
    let end = if host.ends_with(']') { host.len() } else { host.rfind(':').unwrap_or(host.len()) };
    let name = host.get(..end).unwrap_or_default();
    if name.is_empty() {
        return Own::new(400, "the request names no host, and https is spoken to hosts only");
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = if path == "*" { "" } else { &path };
    let location = Some(format!("https://{name}{port}{slash}{path}"));
    Own { location, ..Own::new(308, "this is served over https only") }
}

/// The answer that a maintained repository gives.
fn maintained(serving: &Serving) -> Option<Own> {
    let Maintained { page } = serving.standing.page()?;
    Some(Own { page, again: Some(60), ..Own::new(503, "this is under maintenance; try again later") })
}

/// Finds a container, unless the client leaves before.
async fn waiting(
    finder: &mut Finder,
    house: &House,
    io: &mut Io,
    claim: Option<Claim>,
    lost: Option<SocketAddr>,
    held: u64,
) -> Result<(Claim, Link), Unanswered> {
    tokio::select! {
        biased;
        found = finder.find(&house.board, claim, lost, held) => Ok(found?),
        Gone = std::future::poll_fn(|cx| io.poll_gone(cx)) => Err(Unanswered::Cut("the client has left")),
    }
}

/// Passes an answer on, whose head the link's inbox begins with.
async fn pass_on(
    talk: &mut Talk<'_>,
    answer: AnswerHead,
    mut link: Link,
    (mut claim, cookie): (Claim, Option<Vec<u8>>),
    asked: Asked,
    ending: bool,
    note: &mut Note,
) -> Result<After, Unanswered> {
    let upgraded = answer.status == 101;
    if upgraded && !asked.upgrade {
        claim.tally().failed.fetch_add(1, Relaxed);
        claim.answers().failed(Failure::BadGateway);
        return Err(Own::new(502, "the container changed the protocol without being asked").into());
    }
    let before = talk.io.out.end().len();
    if upgraded {
        forward::interim(talk.io.out.end(), link.inbox.rest(), &answer);
        note.answered(answer.status, talk.io.out.end().len() - before);
        link.inbox.consume(answer.length);
        claim.becomes_tunnel();
        return Ok(match talk.flush().await {
            Ok(()) => After::Tunnel(Box::new(Tunnel { link, claim })),
            Err(Gone) => After::Cut("the client takes no answer"),
        });
    }
    if asked.upgrade {
        talk.io.guard.go_on();
    }
    let none = asked.bodiless || matches!(answer.status, 204 | 304);
    let framing = (!none).then_some(answer.framing);
    let body = match (framing, answer.framing) {
        (_, Framing::Sized(length)) if answer.status != 204 => Framed::Sized(length),
        (None, _) => Framed::None,
        (Some(_), _) if asked.modern => Framed::Chunked,
        (Some(_), _) => Framed::Close,
    };
    // Whoever answers before it has all of the request may not want the rest. And where the listener is left to another program,
    // clients come to that one the sooner.
    let leaves = ending || claim.serving().route.yields;
    let keeps = asked.keeps && !leaves && talk.taken() && body != Framed::Close;
    forward::answer(
        talk.io.out.end(),
        link.inbox.rest(),
        &answer,
        Goes { modern: asked.modern, keeps, body, hsts: claim.serving().route.hsts_seconds },
    );
    if let Some(cookie) = cookie {
        forward::one_more(talk.io.out.end(), b"Set-Cookie", &cookie);
    }
    note.answered(answer.status, talk.io.out.end().len() - before);
    link.inbox.consume(answer.length);
    let mut answering = Answering::of(framing, body == Framed::Chunked);
    let goes_on = answer.keeps && framing != Some(Framing::Close);
    let outcome = if goes_on && talk.whole() && talk.has_all(&mut link, &mut answering) {
        // The container has done its part: it may have the next request while the client takes this answer.
        claim.to.pool.put(link);
        talk.flush().await.map_err(|Gone| "the client takes no answer")
    } else {
        let outcome = talk.pass(&mut link, answering, claim.idle()).await;
        if outcome.is_ok() && goes_on && talk.whole() && link.inbox.is_empty() {
            claim.to.pool.put(link);
        }
        outcome.map_err(|cut| match cut {
            Cut::Client(reason) => reason,
            Cut::Container(reason) => {
                claim.answers().failed(Failure::BrokenOff);
                reason
            }
        })
    };
    let Bytes { received, sent } = claim.bytes();
    received.fetch_add(talk.said, Relaxed);
    sent.fetch_add(talk.io.wrote, Relaxed);
    Ok(match outcome {
        Err(reason) => After::Cut(reason),
        Ok(()) if keeps => After::Next,
        Ok(()) => After::Last,
    })
}
