//! `sha256=<hex>`: HMAC-SHA256 over the raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

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

    /// Checks the header's value against the body, in constant time.
    ///
    /// # Errors
    /// 401 for a missing, malformed or wrong signature.
    pub fn verify(&self, header: Option<&[u8]>, body: &[u8]) -> Result<(), Refusal> {
        let claimed = claimed(header)?;
        let mut mac = self.keyed.clone();
        mac.update(body);
        mac.verify_slice(&claimed).map_err(|_| Refusal::unproven("the signature does not match"))
    }

    /// The header's value for a body; for tools and tests that send deliveries.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// SHA-256 of a body; by it a delivery sent twice is recognised although its unsigned id differs.
pub fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// The 32 bytes that the header claims. Only `sha256=` counts: the sender must not choose a weaker algorithm.
fn claimed(header: Option<&[u8]>) -> Result<[u8; 32], Refusal> {
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
            assert_eq!(key().verify(Some(header.as_bytes()), body.as_bytes()), Ok(()));
            assert_eq!(key().sign(body.as_bytes()), header);
            let upper = format!("sha256={}", hex.to_uppercase());
            assert_eq!(key().verify(Some(upper.as_bytes()), body.as_bytes()), Ok(()));
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
            assert_eq!(key().verify(*case, b"body").unwrap_err().status, 401, "{case:?}");
        }
        let longer = format!("{good}00");
        assert_eq!(key().verify(Some(longer.as_bytes()), b"body").unwrap_err().status, 401);
        assert_eq!(key().verify(Some(good.as_bytes()), b"Body").unwrap_err().status, 401);
        let other = SigningKey::new(&Secret::new("another")).unwrap();
        assert_eq!(other.verify(Some(good.as_bytes()), b"body").unwrap_err().status, 401);
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(SigningKey::new(&Secret::new("")).is_none());
    }
}
