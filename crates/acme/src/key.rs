//! Keys on the curve P-256: of accounts, which sign by ES256, and of certificates.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
};
use sha2::{Digest as _, Sha256};

/// Bytes of a coordinate, and of half a signature.
const HALF: i32 = 32;

/// A private key.
#[derive(Clone)]
pub(crate) struct Key {
    ec: EcKey<Private>,
    /// The same, for certificates.
    pub(crate) any: PKey<Private>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Bytes as the protocol writes them.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    pub(crate) fn new() -> Result<Key, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        Key::of(EcKey::generate(&group)?)
    }

    fn of(ec: EcKey<Private>) -> Result<Key, ErrorStack> {
        Ok(Key { any: PKey::from_ec_key(ec.clone())?, ec })
    }

    pub(crate) fn from_pem(text: &str) -> Result<Key, ErrorStack> {
        Key::of(PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0))?.ec_key()?)
    }

    pub(crate) fn to_pem(&self) -> Result<String, ErrorStack> {
        Ok(String::from_utf8_lossy(&self.any.private_key_to_pem_pkcs8()?).into_owned())
    }

    /// Its public half, as a JSON Web Key. With its members in this order and without spaces it is what its thumbprint is made
    /// of (RFC 7638).
    pub(crate) fn jwk(&self) -> Result<String, ErrorStack> {
        let (mut x, mut y, mut scratch) = (BigNum::new()?, BigNum::new()?, BigNumContext::new()?);
        self.ec.public_key().affine_coordinates(self.ec.group(), &mut x, &mut y, &mut scratch)?;
        let [x, y] = [base64url(&x.to_vec_padded(HALF)?), base64url(&y.to_vec_padded(HALF)?)];
        Ok(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    pub(crate) fn thumbprint(&self) -> Result<String, ErrorStack> {
        Ok(base64url(&Sha256::digest(self.jwk()?)))
    }

    /// ES256 (RFC 7518, 3.4): both halves, one after the other.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let signature = EcdsaSig::sign(&Sha256::digest(text), &self.ec)?;
        Ok([signature.r().to_vec_padded(HALF)?, signature.s().to_vec_padded(HALF)?].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_signs_and_is_not_told() {
        let key = Key::new().unwrap();
        let again = Key::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(key.jwk().unwrap(), again.jwk().unwrap());
        assert_eq!(format!("{key:?}"), "Key(..)");
        for text in ["", "a", "b"] {
            let bytes = again.sign(text.as_bytes()).unwrap();
            let (r, s) = bytes.split_at(32);
            let [r, s] = [r, s].map(|half| BigNum::from_slice(half).unwrap());
            let signature = EcdsaSig::from_private_components(r, s).unwrap();
            assert!(signature.verify(&Sha256::digest(text), &key.ec).unwrap());
        }
        assert!(Key::from_pem("none").is_err());
    }
}
