//! Certificates of tests: signed by themselves, and an authority of ACME (Debian's `pebble`).

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use tempfile::TempDir;

use crate::common::{PATIENCE, daemon::free_address, wait_until};

/// A certificate of a host, signed by itself, and its key; both in PEM form.
pub fn of_host(host: &str) -> (X509, String, String) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", host).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    let mut names = SubjectAlternativeName::new();
    match host.parse::<Ipv4Addr>() {
        Ok(ip) => names.ip(&ip.to_string()),
        Err(_) => names.dns(host),
    };
    let names = names.build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    let texts = (text(certificate.to_pem().unwrap()), text(key.private_key_to_pem_pkcs8().unwrap()));
    (certificate, texts.0, texts.1)
}

/// A client that trusts this certificate alone; nobody's: it looks at none.
pub fn client(trusted: Option<&X509>) -> SslConnector {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    match trusted {
        Some(trusted) => connector.cert_store_mut().add_cert(trusted.clone()).unwrap(),
        None => connector.set_verify(SslVerifyMode::NONE),
    }
    connector.build()
}

/// A connection of such a client, that names a host.
pub fn connect(to: SocketAddr, host: &str, trusted: Option<&X509>) -> Result<SslStream<TcpStream>, String> {
    let stream = TcpStream::connect(to).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client(trusted).connect(host, stream).map_err(|error| error.to_string())
}

/// An authority that proves every host by a handshake on one port of this machine.
pub struct Authority {
    folder: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    running: Vec<Child>,
}

impl Authority {
    /// Starts it. None, and said so, where it is not installed.
    pub fn start(port: u16) -> Option<Authority> {
        let there = |program: &str| Command::new(program).arg("-h").output().is_ok();
        if !there("pebble") || !there("pebble-challtestsrv") {
            println!("not run: pebble is not installed (script/setup installs it)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (directory, management, names, of_names) = (free_address(), free_address(), free_address(), free_address());
        let (_, own, key) = of_host("127.0.0.1");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("own.pem"), own).unwrap();
        fs::write(path("own.key"), key).unwrap();
        let config = serde_json::json!({"pebble": {
            "listenAddress": directory, "managementListenAddress": management,
            "certificate": path("own.pem"), "privateKey": path("own.key"), "httpPort": 1, "tlsPort": port,
        }});
        fs::write(path("config.json"), config.to_string()).unwrap();
        let mut led = Command::new("pebble-challtestsrv");
        led.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]);
        led.arg("-dns01").arg(names.to_string()).arg("-management").arg(of_names.to_string());
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(path("config.json")).arg("-dnsserver").arg(names.to_string());
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let mut authority = Authority { folder, directory, management, running: Vec::new() };
        for mut command in [led, pebble] {
            authority.running.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        }
        for address in [of_names, names, management, directory] {
            wait_until("the authority to listen", PATIENCE, || TcpStream::connect(address));
        }
        Some(authority)
    }

    /// Its directory's address.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.directory)
    }

    /// The file of the certificate that signed its own.
    pub fn trust(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }

    /// Whom its certificates are signed by.
    pub fn root(&self) -> X509 {
        use std::io::{Read as _, Write as _};
        let mut stream = connect(self.management, "127.0.0.1", None).unwrap();
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        X509::from_pem(answer.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
