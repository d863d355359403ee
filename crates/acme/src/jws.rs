//! Signed requests (RFC 8555, 6.2): flattened JWS.

use serde_json::{Value, json};

use crate::{
    AcmeError,
    key::{Key, base64url},
};

/// By whom a request is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signer<'a> {
    /// By a key that is not known there yet: it is said.
    Key,
    /// By an account, which is named by its address.
    Account(&'a str),
}

/// The body of a request. Without a payload it only asks (POST-as-GET).
pub(crate) fn signed(
    key: &Key,
    signer: Signer<'_>,
    nonce: &str,
    url: &str,
    payload: Option<&Value>,
) -> Result<String, AcmeError> {
    let mut head = json!({ "alg": "ES256", "nonce": nonce, "url": url });
    match signer {
        Signer::Key => head["jwk"] = serde_json::from_str(&key.jwk()?).map_err(|error| here(&error))?,
        Signer::Account(address) => head["kid"] = json!(address),
    }
    let head = base64url(head.to_string().as_bytes());
    let payload = payload.map(|payload| base64url(payload.to_string().as_bytes())).unwrap_or_default();
    let signature = base64url(&key.sign(format!("{head}.{payload}").as_bytes())?);
    Ok(json!({ "protected": head, "payload": payload, "signature": signature }).to_string())
}

fn here(error: &serde_json::Error) -> AcmeError {
    AcmeError::Here(format!("a key cannot be written as JSON: {error}"))
}
