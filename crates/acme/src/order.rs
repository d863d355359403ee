//! What is to be done next with an order, by what was seen of it. Pure, and without a memory: an order is gone on with
//! wherever it was left.
//!
//! ```text
//! pending ──► offer (shown, then said) ──► wait ──► ready ──► finalise ──► processing: wait ──► valid ──► fetch
//!    └────────────────┴─────────────────────┴─────────┴──────────────────────┴──► invalid, over: give up, in words
//! ```

use crate::{
    challenge::{Kind, is_token},
    wire::{Authorization, Challenge, Order, Status, plain},
};

/// Of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A proof is to be shown, and, where `say`, its address to be told that it is.
    Offer {
        /// By a page or in a TLS handshake.
        kind: Kind,
        /// The challenge's token (RFC 8555, section 8.1); it is checked before it becomes part of a path.
        token: String,
        /// The challenge's address.
        url: String,
        /// Not, where it was told before.
        say: bool,
    },
    /// The authority is at work.
    Wait,
    /// All is proven.
    Finalise,
    /// The certificate is there.
    Fetch(String),
    /// It comes to nothing; why.
    GiveUp(String),
}

/// See the module. `authorizations`: of a pending order, all that it names. `wanted`: the way that is gone where there is a choice.
pub fn next(order: &Order, authorizations: &[Authorization], wanted: Kind) -> Next {
    match order.status {
        Status::Pending => match authorizations.iter().find(|of| of.status != Status::Valid) {
            Some(open) => prove(open, wanted),
            // All is proven, and the order is about to be ready.
            None => Next::Wait,
        },
        Status::Ready => Next::Finalise,
        Status::Processing => Next::Wait,
        Status::Valid => match &order.certificate {
            Some(address) => Next::Fetch(address.clone()),
            None => Next::GiveUp("the order is done, and no certificate is named".to_owned()),
        },
        Status::Invalid => Next::GiveUp(match (&order.error, authorizations.iter().find_map(failure)) {
            (_, Some(words)) => words,
            (Some(problem), None) => problem.to_string(),
            (None, None) => "the order failed, and no reason is told".to_owned(),
        }),
        Status::Over => Next::GiveUp("the order has ended".to_owned()),
    }
}

fn prove(open: &Authorization, wanted: Kind) -> Next {
    let host = plain(&open.identifier.value);
    match open.status {
        Status::Pending | Status::Processing => {}
        Status::Invalid => return Next::GiveUp(failure(open).unwrap_or_else(|| format!("{host} was not proven"))),
        Status::Ready | Status::Valid | Status::Over => {
            return Next::GiveUp(format!("what was proven of {host} no longer counts"));
        }
    }
    let offers = |kind: Kind| open.challenges.iter().find(|of| of.kind == kind.word()).map(|of| (kind, of));
    let other = if wanted == Kind::Http { Kind::TlsAlpn } else { Kind::Http };
    // One that is under way is gone on with, whichever it is.
    let begun = [wanted, other].into_iter().filter_map(offers).find(|(_, of)| of.status == Status::Processing);
    match begun.or_else(|| offers(wanted)).or_else(|| offers(other)) {
        Some((_, Challenge { token, .. })) if !is_token(token) => {
            Next::GiveUp(format!("the authority's token for {host} is none"))
        }
        Some((kind, Challenge { token, url, status, error, .. })) => match status {
            Status::Pending | Status::Processing => {
                Next::Offer { kind, token: token.clone(), url: url.clone(), say: *status == Status::Pending }
            }
            Status::Valid | Status::Ready => Next::Wait,
            Status::Invalid | Status::Over => Next::GiveUp(match error {
                Some(problem) => format!("{}: {problem}", kind.word()),
                None => format!("{} of {host} failed, and no reason is told", kind.word()),
            }),
        },
        None => {
            let ways: Vec<String> = open.challenges.iter().take(8).map(|of| plain(&of.kind)).collect();
            Next::GiveUp(format!("{host} can be proven only by {}, which is not there", ways.join(", ")))
        }
    }
}

/// Why a host was not proven.
fn failure(of: &Authorization) -> Option<String> {
    let failed = of.challenges.iter().find_map(|challenge| challenge.error.as_ref().map(|why| (challenge, why)));
    failed.map(|(challenge, why)| format!("{}: {why}", plain(&challenge.kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Identifier, Problem};

    fn order(status: Status) -> Order {
        Order { status, authorizations: Vec::new(), finalize: "f".to_owned(), certificate: None, error: None }
    }

    fn challenge(kind: &str, status: Status) -> Challenge {
        let error = (status == Status::Invalid).then(|| Problem {
            kind: "urn:ietf:params:acme:error:connection".to_owned().into(),
            detail: "nobody listens".to_owned(),
            subproblems: Vec::new(),
            identifier: None,
        });
        Challenge { kind: kind.to_owned(), url: format!("u/{kind}"), token: "t-_1".to_owned(), status, error }
    }

    fn host(status: Status, challenges: Vec<Challenge>) -> Authorization {
        Authorization { status, identifier: Identifier { value: "a.example".to_owned() }, challenges }
    }

    fn offer(kind: Kind, say: bool) -> Next {
        Next::Offer { kind, token: "t-_1".to_owned(), url: format!("u/{}", kind.word()), say }
    }

    #[test]
    fn each_state_has_its_next() {
        use Status::{Invalid, Over, Pending, Processing, Ready, Valid};
        let both =
            |http, alpn| vec![challenge("http-01", http), challenge("dns-01", Pending), challenge("tls-alpn-01", alpn)];
        let give_up = |words: &str| Next::GiveUp(words.to_owned());
        let cases = [
            (order(Pending), vec![host(Pending, both(Pending, Pending))], offer(Kind::Http, true)),
            // It was said before a crash: shown again, and not said again.
            (order(Pending), vec![host(Pending, both(Processing, Pending))], offer(Kind::Http, false)),
            (order(Pending), vec![host(Pending, both(Pending, Processing))], offer(Kind::TlsAlpn, false)),
            (order(Pending), vec![host(Pending, vec![challenge("tls-alpn-01", Pending)])], offer(Kind::TlsAlpn, true)),
            (order(Pending), vec![host(Valid, vec![]), host(Pending, both(Pending, Pending))], offer(Kind::Http, true)),
            (order(Pending), vec![host(Pending, both(Valid, Pending))], Next::Wait),
            (order(Pending), vec![host(Valid, vec![])], Next::Wait),
            (
                order(Pending),
                vec![host(Pending, vec![challenge("dns-01", Pending)])],
                give_up("a.example can be proven only by dns-01, which is not there"),
            ),
            (
                order(Pending),
                vec![host(Invalid, both(Invalid, Pending))],
                give_up("http-01: nobody listens (connection)"),
            ),
            (
                order(Invalid),
                vec![host(Invalid, both(Pending, Invalid))],
                give_up("tls-alpn-01: nobody listens (connection)"),
            ),
            (order(Pending), vec![host(Over, vec![])], give_up("what was proven of a.example no longer counts")),
            (order(Ready), vec![], Next::Finalise),
            (order(Processing), vec![], Next::Wait),
            (order(Valid), vec![], give_up("the order is done, and no certificate is named")),
            (Order { certificate: Some("c".to_owned()), ..order(Valid) }, vec![], Next::Fetch("c".to_owned())),
            (order(Invalid), vec![], give_up("the order failed, and no reason is told")),
            (order(Over), vec![], give_up("the order has ended")),
        ];
        for (order, authorizations, expected) in cases {
            assert_eq!(next(&order, &authorizations, Kind::Http), expected, "{order:?} {authorizations:?}");
        }
        let of = host(Pending, both(Pending, Pending));
        assert_eq!(next(&order(Pending), &[of], Kind::TlsAlpn), offer(Kind::TlsAlpn, true));
    }

    #[test]
    fn a_token_that_is_none_is_not_shown() {
        for token in ["", "a/b", "a b", "\u{e9}", &"a".repeat(300)] {
            let of = Challenge { token: token.to_owned(), ..challenge("http-01", Status::Pending) };
            let next = next(&order(Status::Pending), &[host(Status::Pending, vec![of])], Kind::Http);
            assert_eq!(next, Next::GiveUp("the authority's token for a.example is none".to_owned()), "{token}");
        }
    }
}
