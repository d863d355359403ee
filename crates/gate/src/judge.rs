//! From what was seen to what it means.

use std::time::Duration;

use crate::{Ask, Protocol, Spoken};

/// What one try saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The address is there, and nobody listens on the port.
    Refused,
    /// There is no way there: what the system says.
    NoWay(String),
    /// No connection came about in this time.
    NotConnected(Duration),
    /// No answer came in this time.
    Silent(Duration),
    /// It closed the connection, or reset it, before it said anything. Through the engine's port helper either is seen, by
    /// chance, of the same instance.
    Closed,
    /// The answer ended before its head did.
    BrokeOff,
    /// The head of the answer is too large.
    TooLarge,
    /// What came is no HTTP.
    Other,
    /// A whole head with this status.
    Answer(u16),
    /// A server of HTTP/2 said its settings.
    Settings,
    /// Of bytes: the connection stayed, or something was said.
    Stays,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It is as a ready one answers. In words, too.
    Good(Protocol, Option<u16>, String),
    /// Not yet: why, in words. They hold nothing that the instance said.
    Not(String),
}

/// Whether the words of a TLS client would tell more. A server of TLS hangs up on a request, answers with an alert, or, if it is
/// polite, with 400.
pub(crate) fn may_be_tls(spoken: &Spoken, seen: &Seen) -> bool {
    !matches!(spoken, Spoken::Tcp | Spoken::H2c)
        && matches!(seen, Seen::Closed | Seen::BrokeOff | Seen::Other | Seen::Answer(400))
}

/// Judges one try; `tls`: the words of a TLS client were answered.
pub(crate) fn judge(ask: &Ask, seen: &Seen, tls: bool) -> Judged {
    let request = ask.shown();
    match (&ask.spoken, seen) {
        (Spoken::Unknown { .. }, _) if tls => Judged::Good(Protocol::Tls, None, "an answer of TLS".to_owned()),
        (Spoken::Http { .. }, _) if tls => {
            Judged::Not("TLS, where HTTP was asked for (`protocol: https` passes it through)".to_owned())
        }
        (Spoken::H2c, Seen::Settings) => Judged::Good(Protocol::H2c, None, "the settings of HTTP/2".to_owned()),
        (Spoken::H2c, Seen::Other) => Judged::Not(format!("an answer to {request} that is none of HTTP/2 without TLS")),
        (Spoken::Tcp, Seen::Stays) => Judged::Good(Protocol::Tcp, None, "a connection that stays".to_owned()),
        // The engine's port helper takes connections before anybody in the container does.
        (Spoken::Tcp, Seen::Closed) => Judged::Not("a connection that is taken and closed at once".to_owned()),
        (_, Seen::Answer(status)) => {
            let words = format!("HTTP {status} for {request}");
            if *status < 500 { Judged::Good(Protocol::Http, Some(*status), words) } else { Judged::Not(words) }
        }
        (_, Seen::Refused) => Judged::Not("connection refused".to_owned()),
        (_, Seen::NoWay(why)) => Judged::Not(format!("cannot connect: {why}")),
        (_, Seen::NotConnected(after)) => Judged::Not(format!("no connection within {after:?}")),
        (_, Seen::Silent(after)) => Judged::Not(format!("no answer to {request} within {after:?}")),
        (_, Seen::Closed) => Judged::Not(format!("connection closed without an answer to {request}")),
        (_, Seen::BrokeOff) => Judged::Not(format!("an answer to {request} that broke off")),
        (_, Seen::TooLarge) => Judged::Not(format!("an answer to {request} whose head is too large")),
        // `Stays` is never seen where a request was sent, nor `Settings` where none of HTTP/2 was.
        (_, Seen::Other | Seen::Stays | Seen::Settings) => {
            Judged::Not(format!("an answer to {request} that is no HTTP"))
        }
    }
}

/// Good answers in a row. Those of another protocol begin anew: the instance is still making up its mind.
#[derive(Debug)]
pub(crate) struct Row {
    wanted: u32,
    had: u32,
    of: Option<Protocol>,
}

impl Row {
    pub(crate) fn new(wanted: u32) -> Row {
        Row { wanted: wanted.max(1), had: 0, of: None }
    }

    /// Counts a good one in. Whether it was the last that was wanted.
    pub(crate) fn good(&mut self, protocol: Protocol) -> bool {
        self.had = if self.of == Some(protocol) { self.had + 1 } else { 1 };
        self.of = Some(protocol);
        self.had >= self.wanted
    }

    /// How many good ones it has.
    pub(crate) fn had(&self) -> u32 {
        self.had
    }

    /// An answer that does not count ends the row: good answers are counted anew.
    pub(crate) fn broken(&mut self) {
        (self.had, self.of) = (0, None);
    }

    /// How far it is, in words.
    pub(crate) fn shown(&self) -> String {
        format!("{} of {} in a row", self.had, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(spoken: Spoken) -> Ask {
        Ask::new("127.0.0.1:80".parse().unwrap(), spoken)
    }

    fn page() -> String {
        "/up?key=1".to_owned()
    }

    /// What was seen, whether TLS is asked for then, and what it means for HTTP, for the unknown, and for bytes.
    #[test]
    fn what_is_seen_is_judged_by_what_is_known() {
        use Protocol::{Http, Tcp, Tls};
        type Meant = Result<Protocol, &'static str>;
        let time = Duration::from_secs(5);
        let tls = "TLS, where HTTP was asked for (`protocol: https` passes it through)";
        let cases: Vec<(Seen, bool, bool, Meant, Meant)> = vec![
            (Seen::Answer(200), false, false, Ok(Http), Ok(Http)),
            (Seen::Answer(302), false, false, Ok(Http), Ok(Http)),
            (Seen::Answer(404), false, false, Ok(Http), Ok(Http)),
            (Seen::Answer(499), false, false, Ok(Http), Ok(Http)),
            (Seen::Answer(500), false, false, Err("HTTP 500 for GET /up?…"), Err("HTTP 500 for GET /up?…")),
            (Seen::Answer(503), false, false, Err("HTTP 503 for GET /up?…"), Err("HTTP 503 for GET /up?…")),
            (Seen::Answer(400), true, false, Ok(Http), Ok(Http)),
            (Seen::Answer(400), true, true, Err(tls), Ok(Tls)),
            (Seen::Refused, false, false, Err("connection refused"), Err("connection refused")),
            (
                Seen::NoWay("no route to host".to_owned()),
                false,
                false,
                Err("cannot connect: no route to host"),
                Err("cannot connect: no route to host"),
            ),
            (Seen::NotConnected(time), false, false, Err("no connection within 5s"), Err("no connection within 5s")),
            (
                Seen::Silent(time),
                false,
                false,
                Err("no answer to GET /up?… within 5s"),
                Err("no answer to GET /up?… within 5s"),
            ),
            (Seen::Closed, true, true, Err(tls), Ok(Tls)),
            (
                Seen::Closed,
                true,
                false,
                Err("connection closed without an answer to GET /up?…"),
                Err("connection closed without an answer to GET /up?…"),
            ),
            (Seen::Other, true, true, Err(tls), Ok(Tls)),
            (
                Seen::Other,
                true,
                false,
                Err("an answer to GET /up?… that is no HTTP"),
                Err("an answer to GET /up?… that is no HTTP"),
            ),
            (
                Seen::BrokeOff,
                true,
                false,
                Err("an answer to GET /up?… that broke off"),
                Err("an answer to GET /up?… that broke off"),
            ),
            (
                Seen::TooLarge,
                false,
                false,
                Err("an answer to GET /up?… whose head is too large"),
                Err("an answer to GET /up?… whose head is too large"),
            ),
        ];
        let meant = |verdict: Judged| match verdict {
            Judged::Good(protocol, ..) => Ok(protocol),
            Judged::Not(words) => Err(words),
        };
        for (seen, asked, tls, http, unknown) in cases {
            for (spoken, expected) in
                [(Spoken::Http { page: page() }, http), (Spoken::Unknown { page: page() }, unknown)]
            {
                assert_eq!(may_be_tls(&spoken, &seen), asked, "{seen:?}");
                let verdict = judge(&ask(spoken), &seen, tls);
                assert_eq!(meant(verdict), expected.map_err(str::to_owned), "{seen:?}, TLS answered: {tls}");
            }
        }
        for (seen, expected) in [
            (Seen::Stays, Ok(Tcp)),
            (Seen::Closed, Err("a connection that is taken and closed at once")),
            (Seen::Refused, Err("connection refused")),
            (Seen::NotConnected(time), Err("no connection within 5s")),
        ] {
            assert!(!may_be_tls(&Spoken::Tcp, &seen));
            let verdict = judge(&ask(Spoken::Tcp), &seen, false);
            assert_eq!(meant(verdict), expected.map_err(str::to_owned), "{seen:?}");
        }
    }

    #[test]
    fn http2_is_its_first_words_and_nothing_else() {
        for (seen, expected) in [
            (Seen::Settings, Ok(Protocol::H2c)),
            (Seen::Other, Err("an answer to the first words of HTTP/2 that is none of HTTP/2 without TLS")),
            (Seen::Closed, Err("connection closed without an answer to the first words of HTTP/2")),
            (Seen::Refused, Err("connection refused")),
        ] {
            assert!(!may_be_tls(&Spoken::H2c, &seen));
            let judged = match judge(&ask(Spoken::H2c), &seen, false) {
                Judged::Good(protocol, ..) => Ok(protocol),
                Judged::Not(words) => Err(words),
            };
            assert_eq!(judged, expected.map_err(str::to_owned), "{seen:?}");
        }
    }

    #[test]
    fn one_failure_begins_the_row_anew_and_so_does_another_protocol() {
        let mut row = Row::new(3);
        assert!(!row.good(Protocol::Http) && !row.good(Protocol::Http));
        assert_eq!(row.shown(), "2 of 3 in a row");
        row.broken();
        assert!(!row.good(Protocol::Http) && !row.good(Protocol::Http));
        assert!(!row.good(Protocol::Tls) && !row.good(Protocol::Tls) && row.good(Protocol::Tls));
        assert!(Row::new(0).good(Protocol::Tcp), "at least one is wanted");
    }
}
