//! What proves to an authority that a host is ours.

use serde::{Deserialize, Serialize};

/// Where the proof of `http-01` is asked for; the token follows.
pub const PATH: &str = "/.well-known/acme-challenge/";
/// Longest token, in characters; authorities' have 43.
const TOKEN: usize = 256;

/// A way to prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// By an answer to a request on port 80 (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http,
    /// By a certificate in a handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
}

impl Kind {
    /// As the protocol writes it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Http => "http-01",
            Kind::TlsAlpn => "tls-alpn-01",
        }
    }

    /// From the protocol's word.
    pub fn parse(text: &str) -> Option<Kind> {
        [Kind::Http, Kind::TlsAlpn].into_iter().find(|kind| kind.word() == text)
    }
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The host whose name is to be proven, as the certificate will bear it.
    pub host: String,
    /// By a page (`http-01`) or in a TLS handshake (`tls-alpn-01`).
    pub kind: Kind,
    /// Of `http-01`: the end of the path.
    pub token: String,
    /// The token and the account's thumbprint (key authorization).
    pub proof: String,
}

/// Where proofs are shown.
pub trait Stage {
    /// Shows one from now on. It is there when this returns.
    ///
    /// # Errors
    /// Why it cannot be shown.
    fn show(&self, offer: &Offer) -> Result<(), String>;
    /// Shows none of this host's any more.
    fn withdraw(&self, host: &str);
}

/// Whether a token is what tokens are made of (RFC 8555, 8.1): it becomes part of a path.
pub(crate) fn is_token(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=TOKEN).contains(&text.len()) && text.bytes().all(inner)
}
