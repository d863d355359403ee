//! What proves that a delivery is the forge's: an HMAC of the body (RFC 2104), a text that only both know, or nothing.
//!
//! A [`Proof`] is a description. With a secret it gives a [`Key`], with a request's head a [`Claim`]; both together begin a
//! [`Check`], which is fed the body while that arrives. Every comparison takes the same time whatever it compares.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::Sha256;

use super::{head::Head, refusal::Refusal};
use crate::config::Secret;

/// How a forge proves its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The HMAC of the body, in a header.
    Signed(Signature),
    /// The secret itself, in a header. The body is not covered by it.
    Token {
        /// The header that bears it.
        header: &'static str,
    },
    /// Nothing: taken only where the operator takes unproven deliveries.
    Nothing,
}

/// The form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The header that bears it.
    pub header: &'static str,
    /// The digest. Fixed by the forge: a sender must not be able to choose a weaker one.
    pub hash: Hash,
    /// What stands before the digits: `sha256=`, `v1,`, nothing.
    pub prefix: &'static str,
    /// How the bytes are written.
    pub digits: Digits,
    /// What is signed.
    pub over: Over,
}

/// A digest of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1: as HMAC still sound, and all that some forges have.
    Sha1,
    /// SHA-256, the usual one.
    Sha256,
}

/// How bytes are written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// Two hexadecimal digits a byte, in any case.
    Hex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
}

/// What a signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The raw body.
    Body,
    /// `id.time.body`, as Standard Webhooks has it. The header may have several signatures, separated by blanks, and a
    /// secret that begins with `whsec_` goes on as the key in base64.
    Stamped {
        /// The header with the id.
        id: &'static str,
        /// The header with the time.
        time: &'static str,
    },
}

/// Signatures that are compared where a header may have several; more than two are a key that changes and a mistake.
const MOST_SIGNATURES: usize = 4;
/// Longest text of a header that takes part in a proof, in bytes.
const LONGEST: usize = 1_024;
/// What the texts of tokens are digested with, so that what is compared has the same length.
const TOKEN_KEY: &[u8] = b"turnout compares tokens by their digests";

/// A secret made ready for checking: the key's two blocks are hashed once, not for every delivery.
#[derive(Clone)]
pub struct Key(Keyed);

#[derive(Clone)]
enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    /// The digest of the token, begun and ended: nothing of the body is fed to it.
    Token(Hmac<Sha256>),
}

/// What a sender claims as proof.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// Any of these.
    proofs: Vec<Vec<u8>>,
    /// What is signed before the body.
    before: Vec<u8>,
}

/// A proof that is computed while the body arrives.
#[derive(Clone)]
pub struct Check {
    keyed: Keyed,
    proofs: Vec<Vec<u8>>,
}

macro_rules! hidden {
    ($($type:ident),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "([secret])"))
            }
        }
    )*};
}
hidden!(Key, Claim, Check);

impl Proof {
    /// Takes a secret. `None` if it is empty: an empty key still makes valid signatures that anybody can compute. And where
    /// nothing would be compared with it.
    pub fn key(&self, secret: &Secret) -> Option<Key> {
        if secret.is_empty() {
            return None;
        }
        let text = secret.reveal();
        Some(Key(match self {
            Proof::Signed(Signature { hash, over, .. }) => {
                let standard = text.strip_prefix("whsec_").filter(|_| matches!(over, Over::Stamped { .. }));
                let bytes = match standard {
                    Some(text) => STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())?,
                    None => text.as_bytes().to_vec(),
                };
                match hash {
                    Hash::Sha1 => Keyed::Sha1(Hmac::new_from_slice(&bytes).ok()?),
                    Hash::Sha256 => Keyed::Sha256(Hmac::new_from_slice(&bytes).ok()?),
                }
            }
            Proof::Token { .. } => Keyed::Token(token(text.as_bytes())?),
            Proof::Nothing => return None,
        }))
    }

    /// Reads what the head of a request claims.
    ///
    /// # Errors
    /// 401 where the header is missing or not of the form that this forge gives it.
    pub fn claim(&self, head: Head<'_>) -> Result<Claim, Refusal> {
        match self {
            Proof::Signed(signature) => signature.claim(head),
            Proof::Token { header } => {
                let text = given(head, header)?;
                // Compared by digest: see `token`.
                let digest = token(text).map(|mac| mac.finalize().into_bytes().to_vec());
                Ok(Claim { proofs: digest.into_iter().collect(), before: Vec::new() })
            }
            Proof::Nothing => {
                Err(Refusal::unproven("deliveries of this forge carry no proof, and unproven ones are not taken here"))
            }
        }
    }

    /// The headers that prove a body, for tools and tests that send deliveries. `head` answers those headers that are signed
    /// along with it.
    pub fn prove(&self, secret: &Secret, head: Head<'_>, body: &[u8]) -> Option<(&'static str, String)> {
        let Key(mut keyed) = self.key(secret)?;
        match self {
            Proof::Token { header } => Some((header, secret.reveal().to_owned())),
            Proof::Nothing => None,
            Proof::Signed(signature) => {
                keyed.feed(&signature.over.before(head).ok()?);
                keyed.feed(body);
                let bytes = keyed.bytes();
                let digits = match signature.digits {
                    Digits::Hex => hex::encode(bytes),
                    Digits::Base64 => STANDARD.encode(bytes),
                };
                Some((signature.header, format!("{}{digits}", signature.prefix)))
            }
        }
    }
}

impl Signature {
    fn claim(&self, head: Head<'_>) -> Result<Claim, Refusal> {
        let text = given(head, self.header)?;
        let before = self.over.before(head)?;
        let several = matches!(self.over, Over::Stamped { .. });
        let parts = text.split(|byte| several && *byte == b' ').filter(|part| !several || !part.is_empty());
        let read: Vec<Option<Vec<u8>>> = parts.take(MOST_SIGNATURES).map(|part| self.bytes(part)).collect();
        // Of several, some may be of a later version.
        let proofs: Vec<Vec<u8>> = read.into_iter().flatten().collect();
        if proofs.is_empty() { Err(self.malformed()) } else { Ok(Claim { proofs, before }) }
    }

    fn bytes(&self, text: &[u8]) -> Option<Vec<u8>> {
        let digits = text.strip_prefix(self.prefix.as_bytes())?;
        let bytes = match self.digits {
            Digits::Hex => hex::decode(digits).ok()?,
            Digits::Base64 => STANDARD.decode(digits).ok()?,
        };
        (bytes.len() == self.hash.size()).then_some(bytes)
    }

    fn malformed(&self) -> Refusal {
        let Signature { header, prefix, hash, .. } = self;
        let (size, after) = (hash.size(), if prefix.is_empty() { String::new() } else { format!("{prefix} and ") });
        Refusal::unproven(match self.digits {
            Digits::Hex => format!("{header} is not {after}{} hexadecimal digits", size * 2),
            Digits::Base64 => format!("{header} is not {after}{size} bytes in base64"),
        })
    }
}

impl Hash {
    /// Bytes of a digest.
    fn size(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }
}

impl Over {
    /// What is signed before the body.
    fn before(&self, head: Head<'_>) -> Result<Vec<u8>, Refusal> {
        match self {
            Over::Body => Ok(Vec::new()),
            Over::Stamped { id, time } => Ok([given(head, id)?, b".", given(head, time)?, b"."].concat()),
        }
    }
}

/// A header that a proof needs.
fn given<'h>(head: Head<'h>, name: &str) -> Result<&'h [u8], Refusal> {
    match head.get(name) {
        None | Some(b"") => Err(Refusal::unproven(format!("{name} is missing"))),
        Some(text) if text.len() > LONGEST => Err(Refusal::unproven(format!("{name} is too long"))),
        Some(text) => Ok(text),
    }
}

/// A token's digest: two of them are compared without telling by time how much of the texts is equal, or how long they are.
fn token(text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN_KEY).ok()?;
    mac.update(text);
    Some(mac)
}

impl Key {
    /// Begins to check a body that arrives in pieces.
    pub fn begin(&self, claim: &Claim) -> Check {
        let Claim { proofs, before } = claim;
        let mut keyed = self.0.clone();
        keyed.feed(before);
        Check { keyed, proofs: proofs.clone() }
    }
}

impl Check {
    /// The next piece of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.keyed.feed(bytes);
    }

    /// Whether the whole body has the claimed proof.
    pub fn is_proven(&self) -> bool {
        // All are compared, whichever is right.
        self.proofs.iter().fold(false, |proven, claimed| self.keyed.clone().is(claimed) | proven)
    }
}

impl Keyed {
    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Keyed::Sha1(mac) => mac.update(bytes),
            Keyed::Sha256(mac) => mac.update(bytes),
            Keyed::Token(_) => {}
        }
    }

    fn is(self, claimed: &[u8]) -> bool {
        match self {
            Keyed::Sha1(mac) => mac.verify_slice(claimed).is_ok(),
            Keyed::Sha256(mac) | Keyed::Token(mac) => mac.verify_slice(claimed).is_ok(),
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Keyed::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Keyed::Sha256(mac) | Keyed::Token(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: Proof = Proof::Signed(Signature {
        header: "X-Hub-Signature-256",
        hash: Hash::Sha256,
        prefix: "sha256=",
        digits: Digits::Hex,
        over: Over::Body,
    });
    const OLD: Proof = Proof::Signed(Signature {
        header: "X-Coding-Signature",
        hash: Hash::Sha1,
        prefix: "sha1=",
        digits: Digits::Hex,
        over: Over::Body,
    });
    const STANDARD_WEBHOOKS: Proof = Proof::Signed(Signature {
        header: "webhook-signature",
        hash: Hash::Sha256,
        prefix: "v1,",
        digits: Digits::Base64,
        over: Over::Stamped { id: "webhook-id", time: "webhook-timestamp" },
    });
    const TOKEN: Proof = Proof::Token { header: "X-Gitlab-Token" };
    const SECRET: &str = "It's a Secret to Everybody";

    fn verify(proof: Proof, secret: &str, head: &[(&str, &[u8])], body: &[u8]) -> Result<(), u16> {
        let get = |name: &str| head.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let claim = proof.claim(Head::new(&get)).map_err(|refusal| refusal.status)?;
        let mut check = proof.key(&Secret::new(secret)).ok_or(0_u16)?.begin(&claim);
        body.chunks(3).for_each(|piece| check.feed(piece));
        if check.is_proven() { Ok(()) } else { Err(401) }
    }

    fn sign(proof: Proof, secret: &str, body: &[u8]) -> String {
        proof.prove(&Secret::new(secret), Head::new(&|_| None), body).unwrap().1
    }

    #[test]
    fn published_vectors() {
        for (body, hex) in [
            ("Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
            ("Hello World!", "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
        ] {
            let header = format!("sha256={hex}");
            let check =
                |header: &str| verify(GITHUB, SECRET, &[("X-Hub-Signature-256", header.as_bytes())], body.as_bytes());
            assert_eq!(check(&header), Ok(()));
            assert_eq!(sign(GITHUB, SECRET, body.as_bytes()), header);
            assert_eq!(check(&format!("sha256={}", hex.to_uppercase())), Ok(()));
        }
        let sha1 = b"sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
        assert_eq!(verify(OLD, SECRET, &[("X-Coding-Signature", sha1)], b"Hello, World!"), Ok(()));
        assert_eq!(verify(OLD, SECRET, &[("X-Coding-Signature", sha1)], b"Hello World!"), Err(401));
    }

    #[test]
    fn anything_else_is_401() {
        let good = sign(GITHUB, SECRET, b"body");
        let cases: &[Option<&[u8]>] = &[
            None,
            Some(b""),
            Some(b"sha256="),
            Some(b"sha256"),
            Some(b"sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"),
            Some(b"SHA256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
            Some(b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
            Some(b"sha256=zz7107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
            Some("sha256=é".as_bytes()),
            Some(b"sha256=\xff\xfe"),
            Some(&good.as_bytes()[..good.len() - 1]),
            Some(&good.as_bytes()[..good.len() - 2]),
        ];
        let with = |secret: &str, header: Option<&[u8]>, body: &[u8]| {
            let head: Vec<(&str, &[u8])> = header.map(|value| ("X-Hub-Signature-256", value)).into_iter().collect();
            verify(GITHUB, secret, &head, body)
        };
        assert_eq!(with(SECRET, Some(good.as_bytes()), b"body"), Ok(()));
        for case in cases {
            assert_eq!(with(SECRET, *case, b"body"), Err(401), "{case:?}");
        }
        // One that may have several is asked for otherwise.
        for longer in [format!("{good}00"), format!("{good} {good}"), format!("{good} ")] {
            assert_eq!(with(SECRET, Some(longer.as_bytes()), b"body"), Err(401), "{longer}");
        }
        assert_eq!(with(SECRET, Some(good.as_bytes()), b"Body"), Err(401));
        assert_eq!(with("another", Some(good.as_bytes()), b"body"), Err(401));
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        for proof in [GITHUB, OLD, STANDARD_WEBHOOKS, TOKEN, Proof::Nothing] {
            assert!(proof.key(&Secret::new("")).is_none(), "{proof:?}");
        }
        assert!(STANDARD_WEBHOOKS.key(&Secret::new("whsec_")).is_none());
        assert!(STANDARD_WEBHOOKS.key(&Secret::new("whsec_no base64")).is_none());
        assert!(Proof::Nothing.key(&Secret::new("x")).is_none());
        assert_eq!(Proof::Nothing.claim(Head::new(&|_| Some(b"x"))).unwrap_err().status, 401);
    }

    #[test]
    fn a_token_is_the_secret_and_nothing_near_it() {
        let with = |token: &[u8]| verify(TOKEN, "hunter22", &[("X-Gitlab-Token", token)], b"any body");
        assert_eq!(with(b"hunter22"), Ok(()));
        for other in [&b"hunter2"[..], b"hunter222", b"Hunter22", b" hunter22", b"\xff", &[b'x'; 2_000]] {
            assert_eq!(with(other), Err(401), "{}", String::from_utf8_lossy(other));
        }
        assert_eq!(verify(TOKEN, "hunter22", &[], b""), Err(401));
        assert_eq!(verify(TOKEN, "hunter22", &[("X-Gitlab-Token", b"")], b""), Err(401));
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_stamp_is_signed_with_the_body() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let with = |id: &str, time: &str, signature: &str, body: &[u8]| {
            let head = [
                ("webhook-id", id.as_bytes()),
                ("webhook-timestamp", time.as_bytes()),
                ("webhook-signature", signature.as_bytes()),
            ];
            verify(STANDARD_WEBHOOKS, secret, &head, body)
        };
        let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
        assert_eq!(with(id, time, good, body), Ok(()));
        assert_eq!(with(id, time, &format!("v1a,xxxx v1,{} {good}", STANDARD.encode([7; 32])), body), Ok(()));
        assert_eq!(with(id, time, &format!("{0} {0} {0} {0} {good}", "v1,eA=="), body), Err(401), "the fifth");
        assert_eq!(with(id, time, &format!("{good} {good}"), body), Ok(()), "right twice");
        assert_eq!(with(id, time, &format!("    v1,eA==    {good} "), body), Ok(()), "blanks are none");
        assert_eq!(with("msg_other", time, good, body), Err(401));
        assert_eq!(with(id, "1614265331", good, body), Err(401));
        assert_eq!(with(id, time, good, b"{}"), Err(401));
        assert_eq!(with(id, time, "v2,AAAA", body), Err(401));
        assert_eq!(with("", time, good, body), Err(401));
    }

    /// Of a header no more is looked at than a proof can be.
    #[test]
    fn a_header_has_its_longest_text() {
        for (length, expected) in [(LONGEST, Ok(())), (LONGEST + 1, Err(401)), (2 * LONGEST, Err(401))] {
            let token = "x".repeat(length);
            assert_eq!(verify(TOKEN, &token, &[("X-Gitlab-Token", token.as_bytes())], b"body"), expected, "{length}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let claim = TOKEN.claim(Head::new(&|_| Some(b"hunter22"))).unwrap();
        let key = TOKEN.key(&Secret::new("hunter22")).unwrap();
        assert_eq!(
            format!("{claim:?} {key:?} {:?}", key.begin(&claim)),
            "Claim([secret]) Key([secret]) Check([secret])"
        );
    }
}
