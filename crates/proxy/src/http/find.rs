//! A container for a request: claimed, and a connection to it.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::{Instant, sleep, timeout, timeout_at};
use turnout_traffic::{
    Protocol, Sticky,
    choose::Wish,
    spot::{Aim, NoRoute},
};

use super::{
    link::{Link, Wanted},
    own::Own,
};
use crate::{
    board::{Board, Claim, Listening, Serving, Waiting},
    pass::{ACCEPT, HOLD_TIME, PATIENCE, PAUSE},
    socket::is_lost,
};

const CROWDED: Own = Own::again(503, "as many requests wait here as may; try again");
const HELD_TOO_LONG: Own = Own::again(504, "a deployment takes longer than requests wait for it; try again");
/// No container takes a request.
pub(crate) const NO_TARGET: Own = Own::again(503, "no container takes the request at the moment; try again");

/// The host is none of those that are served here: another listener's, or nobody's.
const NO_HOST: Own = Own::new(421, "this host is not served here");
const NO_PATH: Own = Own::new(404, "nothing is served at this path");

/// Finds containers for the requests of one client.
#[derive(Debug)]
pub(crate) struct Finder {
    pub(crate) listen: SocketAddr,
    client: SocketAddr,
    /// The address that it came to.
    at: SocketAddr,
    /// Where the request at hand wants to go.
    wish: Wish,
    /// The routes that the last request found.
    way: Option<Arc<Listening>>,
    /// What the request at hand names: its host, and from there on its path.
    aim: Vec<u8>,
    host: usize,
}

/// What a claim comes to.
enum Claimed {
    At(Claim),
    /// No target that was not tried.
    Nobody,
    /// Requests to it are held: whoever asks waits until they are let through.
    Held(Arc<Serving>),
}

fn unrouted(no_route: NoRoute) -> Own {
    match no_route {
        NoRoute::Host => NO_HOST,
        NoRoute::Path => NO_PATH,
    }
}

/// What was found at once.
pub(crate) enum AtOnce {
    Found(Claim, Link),
    /// No connection waits for a request: one is to be made.
    Connect(Claim),
    Waits,
}

impl Finder {
    pub(crate) fn new(listen: SocketAddr, client: SocketAddr, at: SocketAddr) -> Finder {
        let wish = Wish::of_address(client.ip());
        Finder { listen, client, at, wish, way: None, aim: Vec::new(), host: 0 }
    }

    /// For another request of this client.
    pub(crate) fn another(&self) -> Finder {
        let Finder { listen, client, at, way, wish: _, aim: _, host: _ } = self;
        Finder { way: way.clone(), ..Finder::new(*listen, *client, *at) }
    }

    /// A request comes that names this: its route. None: the listener has no route any more.
    pub(crate) fn begins(&mut self, board: &Board, aim: Aim<'_>) -> Option<Result<Arc<Serving>, Own>> {
        self.aim.clear();
        self.aim.extend_from_slice(aim.host);
        self.host = self.aim.len();
        self.aim.extend_from_slice(aim.path);
        let listening = board.listening_by(&mut self.way, self.listen)?;
        Some(match listening.find(aim) {
            Ok(serving) => Ok(Arc::clone(serving)),
            Err(no_route) => Err(unrouted(no_route)),
        })
    }

    /// Where that request wants to go.
    pub(crate) fn wishes(&mut self, wish: Wish) {
        self.wish = wish;
    }

    /// The value of the cookie that keeps the client at the colour of this claim. None: it needs none.
    pub(crate) fn to_keep(&self, claim: &Claim) -> Option<String> {
        let route = &claim.serving().route;
        (route.beyond.sticky == Sticky::Cookie && route.is_split()).then(|| self.wish.to_keep(claim.colour()?))?
    }

    /// A target of this colour, beside the one that the request has. None: the table has it no longer, or requests wait.
    pub(crate) fn beside(&mut self, board: &Board, colour: &str) -> Option<Claim> {
        let (host, path) = self.aim.split_at_checked(self.host).unwrap_or_default();
        let aim = Aim { host, path };
        let serving = board.listening_by(&mut self.way, self.listen)?.find(aim).ok()?;
        let generation = serving.route.colours.iter().find(|known| known.name == colour)?.generation;
        let wish = Wish::Named { colour: colour.to_owned(), generation, part: 0 };
        let (serving, claim) = board.claim_by(&mut self.way, self.listen, aim, &wish, &[])?.ok()?;
        let serves = serving.route.protocol == Protocol::Http && !serving.standing.held();
        claim.filter(|claim| serves && claim.colour().is_some_and(|found| found.name == colour))
    }

    /// Counts a request that no container took.
    fn unavailable(&mut self, board: &Board) {
        let (host, path) = self.aim.split_at_checked(self.host).unwrap_or_default();
        let listening = board.listening_by(&mut self.way, self.listen);
        if let Some(serving) = listening.and_then(|listening| listening.find(Aim { host, path }).ok()) {
            serving.unavailable(&self.wish);
        }
    }

    /// Counts an answer of our own, to a request of this route or of none.
    pub(crate) fn answered_here(&mut self, board: &Board, serving: Option<&Serving>) {
        if let Some(listening) = board.listening_by(&mut self.way, self.listen) {
            listening.answered_here(serving);
        }
    }

    /// What connection a request has to its container.
    fn kind(&self, claim: &Claim) -> Wanted {
        let route = &claim.serving().route;
        match (route.protocol, route.proxy_protocol) {
            (Protocol::H2c, _) => Wanted::Shared,
            (_, Some(version)) => Wanted::Told(version, self.client, self.at),
            (_, None) => Wanted::Kept,
        }
    }

    fn claim(&mut self, board: &Board, tried: &[SocketAddr]) -> Result<Claimed, Own> {
        let (host, path) = self.aim.split_at_checked(self.host).unwrap_or_default();
        match board.claim_by(&mut self.way, self.listen, Aim { host, path }, &self.wish, tried) {
            // Looked at after it was counted in: whoever holds and then sees nothing in flight may rely on it.
            Some(Ok((serving, _))) if serving.standing.held() => Ok(Claimed::Held(serving)),
            Some(Ok((serving, claim))) if serving.route.protocol.is_http() => {
                Ok(claim.map_or(Claimed::Nobody, Claimed::At))
            }
            Some(Err(no_route)) => Err(unrouted(no_route)),
            // The route is gone, or is none of HTTP any more: a new connection finds what is there.
            _ => Err(Own { last: true, ..NO_TARGET }),
        }
    }

    /// What can be had without waiting for anything.
    pub(crate) fn at_once(&mut self, board: &Board) -> Result<AtOnce, Own> {
        Ok(match self.claim(board, &[])? {
            Claimed::At(claim) => match claim.to.pool.take(self.kind(&claim)) {
                Some(link) => AtOnce::Found(claim, link),
                None => AtOnce::Connect(claim),
            },
            Claimed::Nobody | Claimed::Held(_) => AtOnce::Waits,
        })
    }

    /// A claim, and a connection to its target. A container that refuses is followed by the next, and all of them are tried
    /// again for a while; the table is asked each time, for it may have changed. `lost`: the one that lost it before;
    /// `held`: bytes that the request holds while it waits.
    pub(crate) async fn find(
        &mut self,
        board: &Board,
        mut claimed: Option<Claim>,
        lost: Option<SocketAddr>,
        held: u64,
    ) -> Result<(Claim, Link), Own> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut tried: Vec<SocketAddr> = lost.into_iter().collect();
        let mut waits = None;
        // Nothing that was tried is on a network of this machine: nobody comes back there. The one that lost the request before
        // was reached, and may take it now.
        let mut nowhere = tried.is_empty();
        loop {
            let claim = match claimed.take() {
                Some(claim) => Some(claim),
                None => match self.claim(board, &tried)? {
                    Claimed::At(claim) => Some(claim),
                    Claimed::Nobody => None,
                    Claimed::Held(serving) => {
                        let _waits = Waiting::of(&serving.tally, held).ok_or(CROWDED)?;
                        timeout(HOLD_TIME, serving.standing.resumed()).await.map_err(|_| HELD_TOO_LONG)?;
                        // What is new is given the time that it would have had.
                        deadline = Instant::now() + PATIENCE;
                        continue;
                    }
                },
            };
            if let Some(claim) = claim {
                let kind = self.kind(&claim);
                if let Some(link) = claim.to.pool.take(kind) {
                    return Ok((claim, link));
                }
                let until = deadline.min(Instant::now() + ACCEPT);
                let outcome = timeout_at(until, claim.to.pool.connect(claim.target(), kind)).await;
                if let Ok(Ok(link)) = outcome {
                    return Ok((claim, link));
                }
                if waits.is_none() {
                    waits = Waiting::of(&claim.serving().tally, held);
                    if waits.is_none() {
                        self.unavailable(board);
                        return Err(CROWDED);
                    }
                }
                match outcome {
                    Ok(outcome) => {
                        let error = outcome.err();
                        nowhere &= error.as_ref().is_some_and(is_lost);
                        tracing::debug!(target = %claim.target(), ?error, "a container does not take connections");
                    }
                    Err(_) => {
                        nowhere = false;
                        tracing::debug!(target = %claim.target(), "a container takes no connection in time");
                    }
                }
                tried.push(claim.target());
            } else if tried.is_empty() || nowhere || Instant::now() + PAUSE >= deadline {
                self.unavailable(board);
                return Err(NO_TARGET);
            } else {
                sleep(PAUSE).await;
                tried.clear();
            }
        }
    }
}
