//! What one colour does not have is asked of another one: files that a page of the other colour names.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::{Instant, timeout};
use turnout_traffic::Route;

use super::{
    answer_head::{AnswerHead, Framing},
    buffer::Outgoing,
    find::Finder,
    link::{Link, Wanted},
    note::Note,
    talk::{Failed, Gone, Talk},
};
use crate::{board::Claim, house::House, pass::ACCEPT};

/// How long the other colour may take; the answer of the first one waits.
const TIME: Duration = Duration::from_secs(5);

/// Whether a path may be asked of another colour.
pub(crate) fn may(route: &Route, path: &[u8]) -> bool {
    route.beyond.fallback.as_ref().is_some_and(|fallback| fallback.has(path))
}

/// A target of the other colour, for a request that this one answered. None: it is the same, or is not there.
pub(crate) fn other(finder: &mut Finder, house: &House, claim: &Claim) -> Option<Claim> {
    let colour = &claim.serving().route.beyond.fallback.as_ref()?.colour;
    let own = claim.colour().is_some_and(|known| known.name == *colour);
    let found = if own { None } else { finder.beside(&house.board, colour) };
    if found.is_some() {
        claim.tally().fallback_asked.fetch_add(1, Relaxed);
    }
    found
}

/// A request's head, once more.
pub(crate) fn head(bytes: &[u8]) -> Outgoing {
    let mut up = Outgoing::new();
    up.end().extend_from_slice(bytes);
    up
}

/// Asks it. None: it has none either, or did not answer.
pub(crate) async fn ask(
    talk: &mut Talk<'_>,
    claim: Claim,
    note: &mut Note,
) -> Result<Option<(AnswerHead, Link, Claim)>, Gone> {
    let mut waiting = claim.to.pool.take(Wanted::Kept);
    loop {
        let mut link = match waiting.take() {
            Some(link) => link,
            None => match timeout(ACCEPT, Link::to(claim.target())).await {
                Ok(Ok(link)) => link,
                _ => return Ok(None),
            },
        };
        let since = Instant::now();
        match timeout(TIME, talk.ask(&mut link)).await {
            Ok(Ok(answer)) => {
                let after = since.elapsed();
                claim.answers().asked();
                claim.answers().answered(answer.status, after);
                if !(200..400).contains(&answer.status) {
                    return Ok(None);
                }
                note.by(&claim, after);
                claim.tally().fallback_served.fetch_add(1, Relaxed);
                return Ok(Some((answer, link, claim)));
            }
            Ok(Err(Failed::Gone)) => return Err(Gone),
            // An old connection that was closed says nothing of its container.
            Ok(Err(Failed::Unsent | Failed::Silent)) if link.used => {}
            Ok(Err(_)) | Err(_) => return Ok(None),
        }
    }
}

/// The answer that is passed on to nobody: its connection may have the next request if it is at hand as a whole.
pub(crate) fn leave(answer: &AnswerHead, mut link: Link, claim: &Claim, bodiless: bool) {
    let body = match answer.framing {
        _ if bodiless => Some(0),
        Framing::Sized(length) => usize::try_from(length).ok(),
        Framing::Chunked | Framing::Close => None,
    };
    let whole = body.and_then(|body| body.checked_add(answer.length));
    if answer.keeps && whole == Some(link.inbox.rest().len()) {
        link.inbox.consume(link.inbox.rest().len());
        claim.to.pool.put(link);
    }
}
