//! The certificate that a `tls-alpn-01` challenge is answered with (RFC 8737).

use openssl::{
    asn1::{Asn1Object, Asn1OctetString, Asn1Time},
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    x509::{X509, X509Extension, X509NameBuilder, extension::SubjectAlternativeName},
};
use sha2::{Digest as _, Sha256};

use crate::{AcmeError, key::Key};

/// What such a handshake speaks, by its name.
pub const NAME: &[u8] = b"acme-tls/1";
/// The same, as ALPN writes it.
pub const PROTOCOL: &[u8] = b"\x0aacme-tls/1";
/// The certificate extension id-pe-acmeIdentifier (RFC 8737, section 6.1).
const EXTENSION: &str = "1.3.6.1.5.5.7.1.31";

/// A certificate that shows `proof` (the key authorization) for a host, and its key; both in PEM form.
///
/// # Errors
/// OpenSSL's.
pub fn certificate(host: &str, proof: &str) -> Result<(Vec<u8>, Vec<u8>), AcmeError> {
    let key = Key::new()?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "turnout-proxy, challenge")?;
    let name = name.build();
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(1)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    builder.set_pubkey(&key.any)?;
    let names = SubjectAlternativeName::new().dns(host).build(&builder.x509v3_context(None, None))?;
    builder.append_extension(names)?;
    // An OCTET STRING of 32 bytes.
    let digest = [&[0x04, 0x20][..], &Sha256::digest(proof)].concat();
    let value = Asn1OctetString::new_from_bytes(&digest)?;
    builder.append_extension(X509Extension::new_from_der(&*Asn1Object::from_str(EXTENSION)?, true, &value)?)?;
    builder.sign(&key.any, MessageDigest::sha256())?;
    Ok((builder.build().to_pem()?, key.any.private_key_to_pem_pkcs8()?))
}
