//! What a certificate is asked for with (PKCS #10), and whether what came is it.

use openssl::{
    hash::MessageDigest,
    stack::Stack,
    x509::{X509, X509NameBuilder, X509Req, extension::SubjectAlternativeName},
};

use crate::{AcmeError, key::Key};

/// Of one host. Its name stands in the alternative names alone: the subject's has 64 characters at most.
pub(crate) fn request(host: &str, key: &Key) -> Result<Vec<u8>, AcmeError> {
    let mut builder = X509Req::builder()?;
    builder.set_version(0)?;
    builder.set_subject_name(&X509NameBuilder::new()?.build())?;
    builder.set_pubkey(&key.any)?;
    let names = SubjectAlternativeName::new().dns(host).build(&builder.x509v3_context(None))?;
    let mut extensions = Stack::new()?;
    extensions.push(names)?;
    builder.add_extensions(&extensions)?;
    builder.sign(&key.any, MessageDigest::sha256())?;
    Ok(builder.build().to_der()?)
}

/// What an authority gave is a chain that begins with a certificate of this key, for this host. What is wrong with it.
pub(crate) fn looked_at(chain: &[u8], host: &str, key: &Key) -> Result<(), String> {
    let wrong = |_| "what came is no certificate in PEM form".to_owned();
    let chain = X509::stack_from_pem(chain).map_err(wrong)?;
    let own = chain.first().ok_or_else(|| "there is no certificate in what came".to_owned())?;
    if !own.public_key().is_ok_and(|public| public.public_eq(&key.any)) {
        return Err("the certificate that came has another key".to_owned());
    }
    let names = own.subject_alt_names();
    let named = names.iter().flatten().filter_map(|name| name.dnsname()).any(|name| name.eq_ignore_ascii_case(host));
    if named { Ok(()) } else { Err(format!("the certificate that came does not name {host}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_host_and_is_signed() {
        let (host, key) = (format!("{}.example.org", "a".repeat(63)), Key::new().unwrap());
        let request = X509Req::from_der(&request(&host, &key).unwrap()).unwrap();
        assert!(request.verify(&key.any).unwrap());
        let text = String::from_utf8(request.to_text().unwrap()).unwrap();
        assert!(text.contains(&format!("DNS:{host}")), "{text}");
    }

    #[test]
    fn what_came_is_looked_at() {
        let [key, other] = [Key::new().unwrap(), Key::new().unwrap()];
        let (own, _) = crate::alpn::certificate("a.example", "x").unwrap();
        assert!(looked_at(b"", "a.example", &key).unwrap_err().contains("no certificate in"));
        assert!(looked_at(&own, "a.example", &other).unwrap_err().contains("another key"));
    }
}
