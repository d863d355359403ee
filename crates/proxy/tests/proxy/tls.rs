//! TLS of listeners: which certificate is shown, files that change, what is refused, and what goes over it.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslConnector, SslMethod, SslStream, SslVersion},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    support::{PATIENCE, Place, Proxy, free_address, until},
    web::{Browser, Message, Web, head, http, message, scripted},
};

/// An authority, and files of certificates that it signed.
pub(crate) struct Authority {
    directory: TempDir,
    key: PKey<Private>,
    pub(crate) own: X509,
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn certificate(names: &[&str], key: &PKey<Private>, by: Option<(&X509, &PKey<Private>)>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", names.first().unwrap_or(&"authority")).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(by.map_or(&*subject, |(own, _)| own.subject_name())).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    if names.is_empty() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            alternative.dns(name);
        }
        let extension = alternative.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(extension).unwrap();
    }
    builder.sign(by.map_or(key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    builder.build()
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = new_key();
        let own = certificate(&[], &key, None);
        Authority { directory: tempfile::tempdir().unwrap(), key, own }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Two files, each put in its place whole; as a route names them.
    pub(crate) fn signs(&self, file: &str, names: &[&str]) -> Value {
        let key = new_key();
        let own = certificate(names, &key, Some((&self.own, &self.key)));
        let put = |path: &Path, bytes: Vec<u8>| {
            fs::write(path.with_extension("new"), bytes).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        let (certificate, private) = (self.path(&format!("{file}.crt")), self.path(&format!("{file}.key")));
        put(&private, key.private_key_to_pem_pkcs8().unwrap());
        put(&certificate, [own.to_pem().unwrap(), self.own.to_pem().unwrap()].concat());
        json!({"certificate": certificate, "key": private})
    }

    /// A client that trusts it, asks for a name, and speaks HTTP/1.1.
    pub(crate) fn client(&self, listen: SocketAddr, name: &str, most: Option<SslVersion>) -> Result<Talks, String> {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.cert_store_mut().add_cert(self.own.clone()).unwrap();
        connector.set_max_proto_version(most).unwrap();
        connector.set_alpn_protos(b"\x08http/1.1").unwrap();
        let stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = connector.build().connect(name, stream).map_err(|error| error.to_string())?;
        Ok(Talks(BufReader::new(stream)))
    }
}

pub(crate) struct Talks(pub(crate) BufReader<SslStream<TcpStream>>);

impl Talks {
    pub(crate) fn says(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, host: &str, path: &str) -> Message {
        self.says(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        message(&mut self.0, false).unwrap()
    }

    fn serial(&self) -> String {
        let shown = self.0.get_ref().ssl().peer_certificate().unwrap();
        shown.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string()
    }
}

pub(crate) fn route(listen: SocketAddr, target: SocketAddr, hosts: &[&str], tls: &Value) -> Value {
    let mut route = http(listen, "red", 1, target);
    route["tls"] = tls.clone();
    if !hosts.is_empty() {
        route["hosts"] = json!(hosts);
    }
    route
}

pub(crate) fn started() -> (Place, Proxy, SocketAddr) {
    let place = Place::new();
    let proxy = place.start(&[]);
    (place, proxy, free_address())
}

#[test]
fn the_certificate_is_that_of_the_host_and_requests_are_told_of_it() {
    let (shop, blog) = (Web::named("shop"), Web::named("blog"));
    let authority = Authority::new();
    let (_place, proxy, listen) = started();
    let mut first = route(listen, shop.address(), &["shop.example"], &authority.signs("shop", &["shop.example"]));
    first["hsts_seconds"] = json!(600);
    let second = route(listen, blog.address(), &["*.blog.example"], &authority.signs("blog", &["*.blog.example"]));
    proxy.apply("shop", 1, &json!([first, second]));
    for most in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut client = authority.client(listen, "shop.example", Some(most)).unwrap();
        let ssl = client.0.get_ref().ssl();
        assert_eq!((ssl.version2(), ssl.selected_alpn_protocol()), (Some(most), Some(&b"http/1.1"[..])));
        let answer = client.get("shop.example", "/a");
        assert_eq!(
            (answer.text(), answer.get("strict-transport-security")),
            ("shop /a 0".into(), "max-age=600".into())
        );
        let seen = shop.last();
        assert_eq!(seen.get("x-forwarded-proto"), "https");
        assert!(seen.get("forwarded").ends_with(";proto=https"), "{}", seen.get("forwarded"));
        assert_eq!(client.get("shop.example", "/b").text(), "shop /b 0");
    }
    let mut client = authority.client(listen, "a.blog.example", None).unwrap();
    let answer = client.get("a.blog.example", "/");
    assert_eq!((answer.text(), answer.get("strict-transport-security")), ("blog / 0".into(), String::new()));
    // Nobody's name, an older TLS, no TLS.
    let refused = authority.client(listen, "other.example", None).map(drop).unwrap_err();
    assert!(refused.contains("unrecognized name"), "{refused}");
    assert!(authority.client(listen, "shop.example", Some(SslVersion::TLS1_1)).is_err());
    let mut plain = Browser::to(listen);
    plain.says("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let mut rest = Vec::new();
    let _ = plain.from.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
}

#[test]
fn large_bodies_and_tunnels_go_over_it() {
    let authority = Authority::new();
    let echo = scripted(|from, to| {
        if from.get_ref().peek(&mut [0]).is_ok() {
            let asked = head(from)?;
            if asked.first.contains("/tunnel") {
                to.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")?;
                return std::io::copy(from, to).map(drop);
            }
            let length: usize = asked.get("content-length").parse().unwrap();
            let mut body = vec![0; length];
            from.read_exact(&mut body)?;
            write!(to, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n")?;
            to.write_all(&body)?;
            to.write_all(b"\r\n0\r\n\r\n")?;
        }
        Ok(())
    });
    let (_place, proxy, listen) = started();
    proxy.apply("shop", 1, &json!([route(listen, echo.address, &[], &authority.signs("a", &["a.example"]))]));
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let mut client = authority.client(listen, "a.example", None).unwrap();
    client.says(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", data.len()));
    client.0.get_mut().write_all(&data).unwrap();
    assert!(message(&mut client.0, false).unwrap().body == data);
    let mut client = authority.client(listen, "a.example", None).unwrap();
    client.says("GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly");
    assert_eq!(head(&mut client.0).unwrap().status(), 101);
    client.says("later");
    let mut said = [0; 10];
    client.0.read_exact(&mut said).unwrap();
    assert_eq!(said, *b"earlylater");
    let colour = &proxy.status()["routes"][0]["colours"][0];
    assert_eq!(colour["tunnels"], 1);
    drop(client);
    until("it has ended", || proxy.status()["routes"][0]["colours"][0]["tunnels"] == 0);
}

#[test]
fn files_that_change_are_read_again_and_bad_ones_are_not_used() {
    let red = Web::named("red");
    let authority = Authority::new();
    let (_place, mut proxy, listen) = started();
    let files = authority.signs("a", &["a.example"]);
    proxy.apply("shop", 1, &json!([route(listen, red.address(), &["a.example"], &files)]));
    let mut old = authority.client(listen, "a.example", None).unwrap();
    let before = old.serial();
    authority.signs("a", &["a.example"]);
    until("the new one is shown", || authority.client(listen, "a.example", None).unwrap().serial() != before);
    // Open connections go on.
    assert_eq!(old.get("a.example", "/").status(), 200);
    let now = authority.client(listen, "a.example", None).unwrap().serial();
    for (what, expected) in
        [("another key", "is not the key of"), ("another host", "does not name `a.example`; it names `b.example`")]
    {
        match what {
            "another key" => fs::write(authority.path("a.key"), new_key().private_key_to_pem_pkcs8().unwrap()).unwrap(),
            _ => drop(authority.signs("a", &["b.example"])),
        }
        proxy.says(expected);
        assert_eq!(authority.client(listen, "a.example", None).unwrap().serial(), now, "{what}");
    }
    // At SIGHUP at once.
    authority.signs("a", &["*.example", "a.example"]);
    proxy.signal(Signal::HUP);
    proxy.says("was read again");
    assert_ne!(authority.client(listen, "a.example", None).unwrap().serial(), now);
}

#[test]
fn what_cannot_be_used_is_refused_and_changes_nothing() {
    let red = Web::named("red");
    let authority = Authority::new();
    let (_place, proxy, listen) = started();
    let (good, other) = (authority.signs("a", &["a.example"]), authority.signs("b", &["b.example"]));
    proxy.apply("shop", 1, &json!([route(listen, red.address(), &["a.example"], &good)]));
    fs::write(authority.path("none"), "none").unwrap();
    let with = |certificate: &Value, key: &Value| json!({"certificate": certificate, "key": key});
    let none = json!(authority.path("none"));
    for (tls, hosts, expected) in [
        (good.clone(), vec!["b.example"], "does not name `b.example`; it names `a.example`"),
        (with(&good["certificate"], &other["key"]), vec!["a.example"], "is not the key of"),
        (with(&none, &good["key"]), vec!["a.example"], "has no certificate in PEM form"),
        (with(&good["certificate"], &none), vec!["a.example"], "is no private key in PEM form without a password"),
        (
            with(&json!("/nowhere"), &good["key"]),
            vec![],
            "/nowhere cannot be read by turnout-proxy's user: No such file",
        ),
    ] {
        let answer = proxy.ask(&crate::support::apply("shop", 2, &json!([route(listen, red.address(), &hosts, &tls)])));
        assert_eq!(answer["code"], "mistaken", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(expected), "{expected}: {answer}");
        assert_eq!(answer["mistakes"][0]["path"], "repositories.shop.routes[0].tls", "{answer}");
    }
    assert_eq!(authority.client(listen, "a.example", None).unwrap().get("a.example", "/").status(), 200);
}

#[test]
fn a_start_without_its_certificate_serves_the_rest_and_sees_it_come() {
    let red = Web::named("red");
    let authority = Authority::new();
    let (place, proxy, listen) = started();
    let plain = free_address();
    let files = authority.signs("a", &["a.example"]);
    proxy.apply(
        "shop",
        1,
        &json!([route(listen, red.address(), &["a.example"], &files), http(plain, "red", 1, red.address())]),
    );
    proxy.kill();
    fs::rename(authority.path("a.crt"), authority.path("away")).unwrap();
    let mut proxy = place.begin(&[]);
    proxy.says("cannot be read by turnout-proxy's user: No such file");
    proxy.says("ready:");
    assert_eq!(Browser::to(plain).get("/").status(), 200);
    assert!(authority.client(listen, "a.example", None).is_err());
    fs::rename(authority.path("away"), authority.path("a.crt")).unwrap();
    until("it is seen", || authority.client(listen, "a.example", None).is_ok());
}

#[test]
fn a_route_may_lead_to_https() {
    let red = Web::named("red");
    let (_place, proxy, listen) = started();
    let mut one = http(listen, "red", 1, red.address());
    one["redirect_port"] = json!(443);
    proxy.apply("shop", 1, &json!([one]));
    let mut browser = Browser::to(listen);
    for (target, host, expected) in [
        ("/a?b", "shop.example:8080", "https://shop.example/a?b"),
        ("http://Shop.example?b", "shop.example", "https://Shop.example/?b"),
        ("/", "[::1]:80", "https://[::1]/"),
    ] {
        browser.says(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = browser.answer();
        assert_eq!((answer.status(), answer.get("location")), (308, expected.to_owned()));
    }
    one["redirect_port"] = json!(8443);
    proxy.apply("shop", 2, &json!([one]));
    browser.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(browser.answer().get("location"), "https://a:8443/");
    browser.says("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(browser.answer().status(), 400);
    assert_eq!(red.requests(), 0);
}
