//! What a route does beyond passing each client on by the weights of its colours. All of it is off unless it is said, and needs
//! an `http` route.
//!
//! A preview by host name or by a listener of its own needs nothing of this: it is a route of its own, whose only colour is
//! the next one.

use serde::{Serialize, Serializer};

use crate::spot::Prefix;

/// How cookies begin that are turnout-proxy's own. Containers do not see them.
pub const OWN_COOKIES: &str = "turnout-";
/// The cookie whose value is a preview's secret.
pub const PREVIEW_COOKIE: &str = "turnout-preview";

/// See the module. A colour is named by its name; it is one of the route's, and the only one of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// How a client stays on its colour while several have a weight.
    #[serde(skip_serializing_if = "Sticky::is_usual")]
    pub sticky: Sticky,
    /// Requests that go to a named colour, whatever its weight; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// Who knows a secret reaches a colour, whatever its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Requests that are copied to a further colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// What one colour does not have is asked of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Exact paths that are passed on also while the repository is maintained: what watches over the site from outside asks
    /// there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Prefix>,
}

impl Beyond {
    /// Whether a path, with its query, is one of [`Beyond::health`].
    pub fn is_health(&self, path: &[u8]) -> bool {
        self.health.iter().any(|health| matches!(health.rest(path), Some([] | [b'?', ..])))
    }

    /// All colours that are named, each with its key.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &str)> {
        let pins = self.pins.iter().enumerate().map(|(at, pin)| (format!("pins[{at}].colour"), pin.colour.as_str()));
        let single = |key: &str| format!("{key}.colour");
        let preview = self.preview.iter().map(move |of| (single("preview"), of.colour.as_str()));
        let mirror = self.mirror.iter().map(move |of| (single("mirror"), of.colour.as_str()));
        let fallback = self.fallback.iter().map(move |of| (single("fallback"), of.colour.as_str()));
        pins.chain(preview).chain(mirror).chain(fallback)
    }
}

/// How a client stays on its colour while several have a weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// By its address: of a client that is believed what it says of who asked, by the address that it names last.
    #[default]
    Address,
    /// By a cookie that turnout-proxy gives to clients while several colours have a weight, and only then. A client that keeps
    /// none is drawn anew with each request.
    Cookie,
}

impl Sticky {
    fn is_usual(&self) -> bool {
        *self == Sticky::default()
    }
}

/// Requests that go to a named colour. No secret: whoever knows it can say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// What they have.
    #[serde(flatten)]
    pub by: By,
    /// Its value, letter by letter.
    pub value: String,
    /// The colour's name.
    pub colour: String,
}

/// What a pinned request has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A header of this name, in letters of either case.
    Header(String),
    /// A cookie of this name.
    Cookie(String),
}

/// Who knows a secret reaches a colour: it is the value of the cookie [`PREVIEW_COOKIE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The colour's name.
    pub colour: String,
    /// Of the secret, which itself never stands in a route file.
    pub sha256: Digest,
}

/// A SHA-256, written as 64 hexadecimal digits. Compared in a time that says nothing of how much of it fits.
#[derive(Clone, Copy)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// Of a secret.
    pub fn of(secret: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(secret).into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Digest, &'static str> {
        const WRONG: &str = "is no SHA-256: 64 hexadecimal digits, in small letters";
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(WRONG);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| WRONG)?;
        Ok(Digest(bytes))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        self.0.iter().zip(other.0).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl Eq for Digest {}

/// Whoever reads a log is told that there is one.
impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// Requests that are copied: GET, HEAD and OPTIONS without a body. The copy has a header that says so (`X-Turnout-Mirror: 1`); its
/// answer is thrown away, and it neither delays nor fails the request itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// The name of the colour that gets the copies. Its own requests are not copied.
    pub colour: String,
    /// How many of a hundred requests.
    pub percent: u64,
}

/// Files that only one colour has: a page of the one asks for them while clients get the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// The name of the colour that is asked after the other one's 404, once.
    pub colour: String,
    /// How the paths of such files begin. Only GET and HEAD are asked again.
    pub paths: Vec<Prefix>,
}

impl Fallback {
    /// Whether a path is of such a file.
    pub fn has(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|prefix| prefix.rest(path).is_some())
    }
}
