//! `X-Hub-Signature-256: sha256=<hex>`: HMAC-SHA256 (RFC 2104) over the raw body, as GitHub signs deliveries.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Refusal;
use crate::config::Secret;

/// A secret made ready for checking signatures: the key's two blocks are hashed once, not for every delivery.
#[derive(Clone)]
pub struct SigningKey {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([secret])")
    }
}

impl SigningKey {
    /// Takes a secret. `None` if it is empty: an empty key still makes valid signatures that anybody can compute.
    pub fn new(secret: &Secret) -> Option<SigningKey> {
        if secret.reveal().is_empty() {
            return None;
        }
        let keyed = Hmac::new_from_slice(secret.reveal().as_bytes()).ok()?;
        Some(SigningKey { keyed })
    }

    /// Begins to check a body that arrives in pieces.
    pub fn begin(&self) -> Check {
        Check { mac: self.keyed.clone() }
    }

    /// The header's value for a body; for tools and tests that send deliveries.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// A signature that is computed while the body arrives.
#[derive(Clone)]
pub struct Check {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check([secret])")
    }
}

impl Check {
    /// The next piece of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
    }

    /// Whether the whole body has the claimed signature, compared in constant time.
    pub fn is(self, claimed: &Claimed) -> bool {
        self.mac.verify_slice(claimed).is_ok()
    }
}

/// What a sender claims that the signature is.
pub type Claimed = [u8; 32];

/// Reads the header's value. Only `sha256=` counts: the sender must not choose a weaker algorithm.
///
/// # Errors
/// 401 where it is missing or not of this form.
pub fn claimed(header: Option<&[u8]>) -> Result<Claimed, Refusal> {
    let header = header.ok_or_else(|| Refusal::unproven("X-Hub-Signature-256 is missing"))?;
    let malformed = || Refusal::unproven("X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits");
    let digits = header.strip_prefix(b"sha256=").ok_or_else(malformed)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| malformed())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(key: &SigningKey, header: Option<&[u8]>, body: &[u8]) -> Result<(), u16> {
        let claimed = claimed(header).map_err(|refusal| refusal.status)?;
        let mut check = key.begin();
        body.chunks(3).for_each(|piece| check.feed(piece));
        if check.is(&claimed) { Ok(()) } else { Err(401) }
    }

    fn key() -> SigningKey {
        SigningKey::new(&Secret::new("It's a Secret to Everybody")).unwrap()
    }

    #[test]
    fn published_vectors() {
        for (body, hex) in [
            ("Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
            ("Hello World!", "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
        ] {
            let header = format!("sha256={hex}");
            assert_eq!(verify(&key(), Some(header.as_bytes()), body.as_bytes()), Ok(()));
            assert_eq!(key().sign(body.as_bytes()), header);
            let upper = format!("sha256={}", hex.to_uppercase());
            assert_eq!(verify(&key(), Some(upper.as_bytes()), body.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn anything_else_is_401() {
        let good = key().sign(b"body");
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
        for case in cases {
            assert_eq!(verify(&key(), *case, b"body").unwrap_err(), 401, "{case:?}");
        }
        let longer = format!("{good}00");
        assert_eq!(verify(&key(), Some(longer.as_bytes()), b"body").unwrap_err(), 401);
        assert_eq!(verify(&key(), Some(good.as_bytes()), b"Body").unwrap_err(), 401);
        let other = SigningKey::new(&Secret::new("another")).unwrap();
        assert_eq!(verify(&other, Some(good.as_bytes()), b"body").unwrap_err(), 401);
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(SigningKey::new(&Secret::new("")).is_none());
    }
}
