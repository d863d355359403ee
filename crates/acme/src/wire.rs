//! Objects of the protocol (RFC 8555, 7.1), as far as they are looked at.

use std::fmt;

use serde::Deserialize;

/// Longest text of an authority's that is told on, in characters.
const TOLD: usize = 600;
/// Problems of single names that are told.
const SUBPROBLEMS: usize = 3;
const URN: &str = "urn:ietf:params:acme:error:";

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default)]
    pub(crate) external_account_required: bool,
}

/// How an order, an authorization or a challenge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Something is to be proven.
    Pending,
    /// The authority is at work.
    Processing,
    /// All is proven; the order is to be finalised.
    Ready,
    /// Of an authorization: proven. Of an order: the certificate can be fetched.
    Valid,
    /// The authority has given up; `error` says why. Only a new order helps.
    Invalid,
    /// No longer counts: deactivated, expired, revoked, or a word that is not known.
    #[serde(other)]
    Over,
}

/// An order (RFC 8555, section 7.1.3). What is not read here is left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// What is to be done next, by [`Status`].
    pub status: Status,
    /// Addresses of what is to be proven.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// Where it is finalised.
    pub finalize: String,
    /// Where the certificate is.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Why the authority has given it up, where it says so.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// That a host is to be proven.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Authorization {
    /// `Pending` until it is proven.
    pub status: Status,
    /// The host that is to be proven.
    pub identifier: Identifier,
    /// Ways to prove it, one of which is to be gone.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// A host, to an authority.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identifier {
    /// The host's name as the authority writes it.
    pub value: String,
}

/// A way to prove that a host is ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Challenge {
    /// `http-01`, `tls-alpn-01`, or another one.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is said that it may be looked at.
    pub url: String,
    /// What is to be shown.
    #[serde(default)]
    pub token: String,
    /// `Pending` until it is tried.
    pub status: Status,
    /// Why it failed, where it did: often the answer that the authority was given.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// Why an authority says no (RFC 7807).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// Which problem it is.
    #[serde(rename = "type", default)]
    pub kind: ErrorKind,
    /// A sentence for people, as the authority wrote it; empty where it wrote none.
    #[serde(default)]
    pub detail: String,
    /// What is wrong with single names of an order; empty where the problem is about the whole.
    #[serde(default)]
    pub subproblems: Vec<Problem>,
    /// Of a subproblem: the name.
    #[serde(default)]
    pub identifier: Option<Identifier>,
}

/// Problems that are told apart here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ErrorKind {
    /// The nonce was used before, or is too old: the same again, with the one that comes with this answer.
    BadNonce,
    /// Asked for too often.
    RateLimited,
    /// A fault of the authority's own.
    ServerInternal,
    /// The account is not known.
    AccountDoesNotExist,
    /// Another one, by its name.
    Other(String),
    /// None was named.
    #[default]
    Unnamed,
}

impl From<String> for ErrorKind {
    fn from(text: String) -> ErrorKind {
        match text.strip_prefix(URN) {
            Some("badNonce") => ErrorKind::BadNonce,
            Some("rateLimited") => ErrorKind::RateLimited,
            Some("serverInternal") => ErrorKind::ServerInternal,
            Some("accountDoesNotExist") => ErrorKind::AccountDoesNotExist,
            other => ErrorKind::Other(other.unwrap_or(&text).to_owned()),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::BadNonce => "badNonce",
            ErrorKind::RateLimited => "rateLimited",
            ErrorKind::ServerInternal => "serverInternal",
            ErrorKind::AccountDoesNotExist => "accountDoesNotExist",
            ErrorKind::Other(name) => return f.write_str(&plain(name)),
            ErrorKind::Unnamed => "a problem without a name",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { kind, detail, subproblems, identifier } = self;
        if let Some(Identifier { value }) = identifier {
            write!(f, "{}: ", plain(value))?;
        }
        let detail = if detail.is_empty() { "no reason is told" } else { detail };
        write!(f, "{} ({kind})", plain(detail))?;
        for of in subproblems.iter().take(SUBPROBLEMS) {
            // One level: what is in there is an authority's, and may be anything.
            write!(f, "; {}", Problem { subproblems: Vec::new(), ..of.clone() })?;
        }
        Ok(())
    }
}

/// An authority's text on one line, bounded.
pub(crate) fn plain(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let mut told: String = text.chars().take(TOLD).map(one_line).collect();
    if text.chars().nth(TOLD).is_some() {
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_bounded_line() {
        let text = format!(
            r#"{{"type":"{URN}rateLimited","detail":"too many\n\u001b[31m{}","status":429,
            "subproblems":[{{"type":"x","detail":"no","identifier":{{"type":"dns","value":"a.example"}}}}]}}"#,
            "a".repeat(2_000)
        );
        let problem: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(problem.kind, ErrorKind::RateLimited);
        let told = problem.to_string();
        assert!(
            told.starts_with("too many  [31maaa") && told.ends_with("… (rateLimited); a.example: no (x)"),
            "{told}"
        );
        assert!(told.len() < 700, "{told}");
        let none: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!(none.to_string(), "no reason is told (a problem without a name)");
    }

    #[test]
    fn words_of_later_versions_are_no_mistake() {
        let status: Status = serde_json::from_str("\"deactivated\"").unwrap();
        assert_eq!(status, Status::Over);
    }
}
