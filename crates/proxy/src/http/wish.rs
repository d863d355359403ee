//! Of which colour a request wants its container, and the cookie by which the next one finds it again. Pure.

use std::hash::{BuildHasher as _, RandomState};

use turnout_traffic::{
    Sticky,
    choose::{Asks, Wish},
};

use super::{answer_head::AnswerHead, find::Finder, forward::Asker, head, head::Head};
use crate::board::{Claim, Serving};

/// A number that no client can foresee well enough to choose its colour by it. No secret depends on it.
pub(crate) fn draw() -> u64 {
    // Its keys are others each time.
    RandomState::new().hash_one(0)
}

/// Where a request wants to go, by its head.
pub(crate) fn of(serving: &Serving, bytes: &[u8], head: &Head, asker: &Asker) -> Wish {
    let route = &serving.route;
    let headers = head.lines.iter().map(|line| (line.name.of(bytes), line.value.of(bytes)));
    let (client, trusted) = (asker.address(), asker.is_trusted(route));
    let stay_cookie = if route.beyond.sticky == Sticky::Cookie { serving.stay_cookie() } else { "" };
    route.wish(&Asks { client, trusted, headers, stay_cookie }, draw)
}

/// What `Set-Cookie` is to say beside an answer whose head these bytes are. None: the client needs no cookie, or a cache might
/// give this answer to other clients.
pub(crate) fn cookie(finder: &Finder, claim: &Claim, answer: &AnswerHead, bytes: &[u8]) -> Option<Vec<u8>> {
    let value = finder.to_keep(claim)?;
    if answer.status == 304 || is_shared(answer, bytes) {
        return None;
    }
    // Not `Secure`: it is no secret, and one host may be reached with TLS and without.
    Some(format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", claim.serving().stay_cookie()).into_bytes())
}

/// Whether a cache between may keep an answer for everybody (RFC 9111, 3).
fn is_shared(answer: &AnswerHead, bytes: &[u8]) -> bool {
    let values = answer.lines.iter().filter(|line| line.name.of(bytes).eq_ignore_ascii_case(b"cache-control"));
    let (mut shared, mut private) = (false, false);
    for word in values.flat_map(|line| head::words(line.value.of(bytes))) {
        let name = word.split(|byte| *byte == b'=').next().unwrap_or(word).trim_ascii();
        let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        shared |= is(&["public", "s-maxage", "max-age"]);
        private |= is(&["private", "no-store"]);
    }
    shared && !private
}
