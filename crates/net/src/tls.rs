//! TLS to servers: what every client of ours begins with.
//!
//! OpenSSL is built in (see Cargo.toml), and so does not know where this system keeps the authorities it trusts: they are
//! looked for where the distributions have them. `SSL_CERT_FILE` and `SSL_CERT_DIR` come first, as for any program.

use std::path::PathBuf;

use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVersion},
};

/// The TLS library and its version, which is compiled in.
pub fn library_version() -> &'static str {
    openssl::version::version()
}

/// A client that trusts the system's authorities and speaks TLS 1.2 at least.
///
/// # Errors
/// OpenSSL's, for instance when `SSL_CERT_FILE` names a file without a certificate.
pub fn client() -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let trusted = openssl_probe::probe();
    // A path that is not UTF-8 would be a panic in there.
    let usable = |path: &Option<PathBuf>| path.clone().filter(|path| path.to_str().is_some());
    let (file, folder) = (usable(&trusted.cert_file), usable(&trusted.cert_dir));
    if file.is_some() || folder.is_some() {
        builder.load_verify_locations(file.as_deref(), folder.as_deref())?;
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_authorities_are_trusted() {
        if !std::path::Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
            eprintln!("not run: the_systems_authorities_are_trusted: no ca-certificates on this machine");
            return;
        }
        let client = client().unwrap().build();
        assert!(client.context().cert_store().all_certificates().len() > 10);
    }
}
