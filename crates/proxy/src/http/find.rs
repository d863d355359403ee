//! A container for a request: claimed, and a connection to it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout, timeout_at};
use turnout_traffic::Protocol;

use super::{link::Link, own::Own};
use crate::{
    board::{Board, Claim, Serving, Waiting},
    pass::{ACCEPT, PATIENCE, PAUSE},
};

/// How long a request waits while its repository is held.
const HOLD_TIME: Duration = Duration::from_secs(30);

const CROWDED: Own = Own::again(503, "as many requests wait here as may; try again");
const HELD_TOO_LONG: Own = Own::again(504, "a deployment takes longer than requests wait for it; try again");
/// No container takes a request.
pub(crate) const NO_TARGET: Own = Own::again(503, "no container takes the request at the moment; try again");

/// Finds containers for the requests of one client.
#[derive(Debug)]
pub(crate) struct Finder {
    pub(crate) listen: SocketAddr,
    pub(crate) client: IpAddr,
    /// The route that the last request went by.
    pub(crate) way: Option<Arc<Serving>>,
}

/// What a claim comes to.
enum Claimed {
    At(Claim),
    /// No target that was not tried.
    Nobody,
    /// Requests wait.
    Held(Arc<Serving>),
}

/// What was found at once.
pub(crate) enum AtOnce {
    Found(Claim, Link),
    /// No connection waits for a request: one is to be made.
    Connect(Claim),
    Waits,
}

impl Finder {
    /// The route as it is served now. None: there is none any more.
    pub(crate) fn serving(&mut self, board: &Board) -> Option<Arc<Serving>> {
        board.serving_by(&mut self.way, self.listen)
    }

    fn claim(&mut self, board: &Board, tried: &[SocketAddr]) -> Result<Claimed, Own> {
        let claim = board.claim_by(&mut self.way, self.listen, self.client, tried);
        match &self.way {
            // Looked at after it was counted in: whoever holds and then sees nothing in flight may rely on it.
            Some(serving) if serving.standing.held() => Ok(Claimed::Held(Arc::clone(serving))),
            Some(serving) if serving.route.protocol == Protocol::Http => Ok(claim.map_or(Claimed::Nobody, Claimed::At)),
            // The route is gone, or is none of HTTP any more: a new connection finds what is there.
            _ => Err(Own { last: true, ..NO_TARGET }),
        }
    }

    /// What can be had without waiting for anything.
    pub(crate) fn at_once(&mut self, board: &Board) -> Result<AtOnce, Own> {
        Ok(match self.claim(board, &[])? {
            Claimed::At(claim) => match claim.to.pool.take() {
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
                if let Some(link) = claim.to.pool.take() {
                    return Ok((claim, link));
                }
                let until = deadline.min(Instant::now() + ACCEPT);
                let outcome = timeout_at(until, Link::to(claim.target())).await;
                if let Ok(Ok(link)) = outcome {
                    return Ok((claim, link));
                }
                if waits.is_none() {
                    waits = Some(Waiting::of(&claim.serving().tally, held).ok_or(CROWDED)?);
                }
                match outcome {
                    Ok(outcome) => {
                        let error = outcome.err();
                        tracing::debug!(target = %claim.target(), ?error, "a container does not take connections");
                    }
                    Err(_) => tracing::debug!(target = %claim.target(), "a container takes no connection in time"),
                }
                tried.push(claim.target());
            } else if tried.is_empty() || Instant::now() + PAUSE >= deadline {
                return Err(NO_TARGET);
            } else {
                sleep(PAUSE).await;
                tried.clear();
            }
        }
    }
}
