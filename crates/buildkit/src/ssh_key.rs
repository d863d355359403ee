//! Private SSH keys from files: read, and used to sign. OpenSSL does the mathematics.

use std::{fmt, path::Path};

use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey, EcPoint, PointConversionForm},
    ecdsa::EcdsaSig,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Private},
    rsa::Rsa,
    sign::Signer,
};
use turnout_files::{Kind, Reach, hint};

use super::ssh_wire::{Wire, put_text};

/// First bytes of OpenSSH's own format.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// SSH's name of a curve, OpenSSL's, and the hash that is signed.
type Curve = (&'static str, Nid, fn() -> MessageDigest);
const CURVES: &[Curve] = &[
    ("nistp256", Nid::X9_62_PRIME256V1, MessageDigest::sha256),
    ("nistp384", Nid::SECP384R1, MessageDigest::sha384),
    ("nistp521", Nid::SECP521R1, MessageDigest::sha512),
];
/// Flags of a request for an RSA signature.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// One private key.
pub struct SshKey {
    key: PKey<Private>,
    /// The public half as SSH writes it.
    pub public: Vec<u8>,
    /// What the file says of itself.
    pub comment: String,
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshKey").field("comment", &self.comment).finish_non_exhaustive()
    }
}

impl SshKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// Why it cannot be used, in words without any of its content.
    pub fn read(reach: &Reach, path: &Path) -> Result<Self, String> {
        let bytes = reach.read(path, Kind::KEY).map_err(|error| match hint(&error) {
            Some(hint) => format!("{error}: {hint}"),
            None => error.to_string(),
        })?;
        Self::parse(std::str::from_utf8(&bytes).map_err(|_| NO_KEY.to_owned())?)
    }

    /// Reads the text of a key file: OpenSSH's own format, or PEM.
    pub fn parse(text: &str) -> Result<Self, String> {
        const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
        if let Some((_, rest)) = text.split_once(BEGIN) {
            let body = rest.split("-----END").next().unwrap_or_default();
            let body: String = body.split_whitespace().collect();
            let bytes = openssl::base64::decode_block(&body).map_err(|_| NO_KEY.to_owned())?;
            return openssh(&bytes);
        }
        if text.contains("ENCRYPTED") {
            return Err(PROTECTED.to_owned());
        }
        // The callback keeps OpenSSL from asking at a terminal.
        let key = PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0)).map_err(|_| NO_KEY.to_owned())?;
        let public = public_of(&key).map_err(|_| UNKNOWN.to_owned())?.ok_or(UNKNOWN)?;
        Ok(Self { key, public, comment: String::new() })
    }

    /// Signs, as an agent answers: the name of the method and the signature.
    pub fn sign(&self, data: &[u8], flags: u32) -> Result<Vec<u8>, ErrorStack> {
        let mut answer = Vec::new();
        match self.key.id() {
            Id::ED25519 => {
                let signature = Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(data)?;
                put_text(&mut answer, b"ssh-ed25519");
                put_text(&mut answer, &signature);
            }
            Id::RSA => {
                let (name, digest): (&[u8], _) = match flags {
                    _ if flags & RSA_SHA2_512 != 0 => (b"rsa-sha2-512", MessageDigest::sha512()),
                    _ if flags & RSA_SHA2_256 != 0 => (b"rsa-sha2-256", MessageDigest::sha256()),
                    _ => (b"ssh-rsa", MessageDigest::sha1()),
                };
                let signature = Signer::new(digest, &self.key)?.sign_oneshot_to_vec(data)?;
                put_text(&mut answer, name);
                put_text(&mut answer, &signature);
            }
            _ => {
                let nid = self.key.ec_key()?.group().curve_name();
                let Some((name, _, digest)) = CURVES.iter().find(|(_, curve, _)| Some(*curve) == nid) else {
                    return Err(ErrorStack::get());
                };
                let der = Signer::new(digest(), &self.key)?.sign_oneshot_to_vec(data)?;
                let signature = EcdsaSig::from_der(&der)?;
                let mut numbers = Vec::new();
                put_number(&mut numbers, &signature.r().to_vec());
                put_number(&mut numbers, &signature.s().to_vec());
                put_text(&mut answer, format!("ecdsa-sha2-{name}").as_bytes());
                put_text(&mut answer, &numbers);
            }
        }
        Ok(answer)
    }
}

const NO_KEY: &str = "is neither an agent's socket nor a private key";
const PROTECTED: &str =
    "is protected by a passphrase, which nobody is asked for here: load it into an SSH agent and name the agent";
const UNKNOWN: &str = "is a key of a kind that is not supported: use Ed25519, RSA or ECDSA, or an SSH agent";

fn openssh(bytes: &[u8]) -> Result<SshKey, String> {
    let mut reader = Wire(bytes.strip_prefix(MAGIC).ok_or(NO_KEY)?);
    let (cipher, _kdf, _options) = (reader.text()?, reader.text()?, reader.text()?);
    if cipher != b"none" {
        return Err(PROTECTED.to_owned());
    }
    let count = reader.number()?;
    if count != 1 {
        return Err("holds several keys: give each a file of its own".to_owned());
    }
    let public = reader.text()?.to_vec();
    let mut private = Wire(reader.text()?);
    if private.number()? != private.number()? {
        return Err("is damaged".to_owned());
    }
    let damaged = |_: ErrorStack| "is damaged".to_owned();
    let kind = private.text()?;
    let key = match kind {
        b"ssh-ed25519" => {
            private.text()?;
            let seed = private.text()?.split_at_checked(32).ok_or("is damaged")?.0;
            PKey::private_key_from_raw_bytes(seed, Id::ED25519).map_err(damaged)?
        }
        b"ssh-rsa" => rsa(&mut private)?.map_err(damaged)?,
        _ => {
            let name = std::str::from_utf8(kind).ok().and_then(|kind| kind.strip_prefix("ecdsa-sha2-"));
            let (_, nid, _) = CURVES.iter().find(|(curve, _, _)| Some(*curve) == name).ok_or(UNKNOWN)?;
            private.text()?;
            ecdsa(*nid, private.text()?, private.text()?).map_err(damaged)?
        }
    };
    let comment = String::from_utf8_lossy(private.text()?).into_owned();
    Ok(SshKey { key, public, comment })
}

fn rsa(private: &mut Wire<'_>) -> Result<Result<PKey<Private>, ErrorStack>, String> {
    let (n, e, d) = (private.text()?, private.text()?, private.text()?);
    let (inverse, p, q) = (private.text()?, private.text()?, private.text()?);
    let build = || {
        let number = BigNum::from_slice;
        let one = BigNum::from_u32(1)?;
        let mut context = BigNumContext::new()?;
        let (d, p, q) = (number(d)?, number(p)?, number(q)?);
        let mut exponent = |prime: &BigNum| {
            let (mut less, mut rest) = (BigNum::new()?, BigNum::new()?);
            less.checked_sub(prime, &one)?;
            rest.nnmod(&d, &less, &mut context)?;
            Ok::<_, ErrorStack>(rest)
        };
        let (dp, dq) = (exponent(&p)?, exponent(&q)?);
        PKey::from_rsa(Rsa::from_private_components(number(n)?, number(e)?, d, p, q, dp, dq, number(inverse)?)?)
    };
    Ok(build())
}

fn ecdsa(nid: Nid, point: &[u8], secret: &[u8]) -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(nid)?;
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    let secret = BigNum::from_slice(secret)?;
    PKey::from_ec_key(EcKey::from_private_components(&group, &secret, &point)?)
}

/// The public half as SSH writes it; `None` for kinds SSH does not know.
fn public_of(key: &PKey<Private>) -> Result<Option<Vec<u8>>, ErrorStack> {
    let mut public = Vec::new();
    match key.id() {
        Id::ED25519 => {
            put_text(&mut public, b"ssh-ed25519");
            put_text(&mut public, &key.raw_public_key()?);
        }
        Id::RSA => {
            let rsa = key.rsa()?;
            put_text(&mut public, b"ssh-rsa");
            put_number(&mut public, &rsa.e().to_vec());
            put_number(&mut public, &rsa.n().to_vec());
        }
        Id::EC => {
            let ec = key.ec_key()?;
            let nid = ec.group().curve_name();
            let Some((name, _, _)) = CURVES.iter().find(|(_, curve, _)| Some(*curve) == nid) else { return Ok(None) };
            let mut context = BigNumContext::new()?;
            let point = ec.public_key().to_bytes(ec.group(), PointConversionForm::UNCOMPRESSED, &mut context)?;
            put_text(&mut public, format!("ecdsa-sha2-{name}").as_bytes());
            put_text(&mut public, name.as_bytes());
            put_text(&mut public, &point);
        }
        _ => return Ok(None),
    }
    Ok(Some(public))
}

/// A positive number: one with its highest bit set gets a zero before it.
fn put_number(out: &mut Vec<u8>, digits: &[u8]) {
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        let mut padded = vec![0];
        padded.extend_from_slice(digits);
        put_text(out, &padded);
    } else {
        put_text(out, digits);
    }
}
