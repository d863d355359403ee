//! Certificates by ACME, from a real authority (Debian's `pebble`), and from one that answers wrongly.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{SslAcceptor, SslConnector, SslMethod, SslStream, SslVerifyMode},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    support::{Container, PATIENCE, Place, Proxy, apply, free_address, own_ip, until},
    web::{Browser, Web, head, http, message},
};

/// A certificate of a server on the loopback network, signed by itself, and its key.
fn of_server(ip: Ipv4Addr) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "test").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names =
        SubjectAlternativeName::new().ip(&ip.to_string()).dns("a.example").build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

/// Speaks TLS with a server, trusting whom it is told to.
fn client(to: SocketAddr, name: &str, trusted: Option<&X509>) -> Result<SslStream<TcpStream>, String> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    match trusted {
        Some(trusted) => connector.cert_store_mut().add_cert(trusted.clone()).unwrap(),
        None => connector.set_verify(SslVerifyMode::NONE),
    }
    let stream = TcpStream::connect(to).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    connector.build().connect(name, stream).map_err(|error| error.to_string())
}

fn serial(stream: &SslStream<TcpStream>) -> String {
    let shown = stream.ssl().peer_certificate().unwrap();
    shown.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string()
}

/// An authority that looks at hosts by a name server of its own, which leads all names to one address.
struct Pebble {
    folder: TempDir,
    ip: Ipv4Addr,
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    config: PathBuf,
    running: Vec<Child>,
}

impl Pebble {
    /// Not started yet. It looks at these ports of hosts. None, and said so, where it is not installed.
    #[expect(clippy::print_stdout, reason = "what was not run is named")]
    fn new(ports: (u16, u16), lifetime: u64) -> Option<Pebble> {
        let there = |program: &str| Command::new(program).arg("-h").output().is_ok();
        if !there("pebble") || !there("pebble-challtestsrv") {
            println!("not run: pebble is not installed (apt-get install pebble)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let directory = free_address();
        let std::net::IpAddr::V4(ip) = directory.ip() else { panic!("{directory}") };
        let free = || TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let (management, names) = (free(), free());
        let (own, key) = of_server(ip);
        let path = |name: &str| folder.path().join(name);
        fs::write(path("own.pem"), own.to_pem().unwrap()).unwrap();
        fs::write(path("own.key"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let config = json!({"pebble": {
            "listenAddress": directory, "managementListenAddress": management,
            "certificate": path("own.pem"), "privateKey": path("own.key"),
            "httpPort": ports.0, "tlsPort": ports.1, "certificateValidityPeriod": lifetime,
        }});
        fs::write(path("config.json"), config.to_string()).unwrap();
        let config = path("config.json");
        Some(Pebble { folder, ip, directory, management, names, config, running: Vec::new() })
    }

    /// Starts it; all names lead to this address.
    fn start(&mut self, hosts: Ipv4Addr, variables: &[(&str, &str)]) {
        let of_hosts = free_address();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4"]);
        names.arg(hosts.to_string()).arg("-dns01").arg(self.names.to_string());
        names.arg("-management").arg(of_hosts.to_string());
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(&self.config).arg("-dnsserver").arg(self.names.to_string());
        pebble.env("PEBBLE_VA_NOSLEEP", "1").envs(variables.iter().copied());
        for mut command in [names, pebble] {
            self.running.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        }
        for address in [of_hosts, self.names, self.management, self.directory] {
            until("the authority listens", || TcpStream::connect(address).is_ok());
        }
        // One that leads where nobody listens.
        let body = json!({"host": "away.example.", "addresses": [own_ip()]}).to_string();
        let mut browser = Browser::to(of_hosts);
        browser.says(&format!("POST /add-a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(browser.answer().status(), 200);
    }

    fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whom its certificates are signed by: another one at each start.
    fn root(&self) -> X509 {
        let mut stream = client(self.management, &self.ip.to_string(), None).unwrap();
        stream.write_all(b"GET /roots/0 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        X509::from_pem(&message(&mut BufReader::new(stream), false).unwrap().body).unwrap()
    }

    /// As a proxy is told of it.
    fn told(&self, challenge: &str) -> Value {
        json!({
            "directory": format!("https://{}/dir", self.directory), "contact": ["admin@example.org"],
            "trust": self.folder.path().join("own.pem"), "challenge": challenge,
        })
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whose certificates are wanted; null: nobody's any more.
fn tell(proxy: &Proxy, authority: &Value) {
    let mut request = json!({"version": 1, "request": "authority"});
    if !authority.is_null() {
        request["authority"] = authority.clone();
    }
    let answer = proxy.ask(&request);
    assert_eq!(answer["answer"], "done", "{answer}");
}

/// A listener for hosts that want certificates, and one without TLS, of the same address.
fn listeners() -> (SocketAddr, SocketAddr, Ipv4Addr) {
    let tls = free_address();
    let std::net::IpAddr::V4(ip) = tls.ip() else { panic!("{tls}") };
    (tls, TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap(), ip)
}

fn routes(tls: SocketAddr, plain: SocketAddr, target: SocketAddr, hosts: &[&str]) -> Value {
    let (mut secret, mut open) = (http(tls, "red", 1, target), http(plain, "red", 1, target));
    secret["tls"] = json!("acme");
    secret["hosts"] = json!(hosts);
    // Challenges are answered all the same.
    open["redirect_port"] = json!(443);
    json!([secret, open])
}

fn certificate(proxy: &Proxy, host: &str) -> Value {
    let all = proxy.status()["certificates"].clone();
    all.as_array().into_iter().flatten().find(|of| of["host"] == host).cloned().unwrap_or_default()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_certificate_is_obtained_in_either_way_and_outlives_both() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let red = Web::named("red");
        let (tls, plain, ip) = listeners();
        let Some(mut pebble) = Pebble::new((plain.port(), tls.port()), 7_776_000) else { return };
        let place = Place::new();
        let mut proxy = place.start(&[]);
        let wanted = routes(tls, plain, red.address(), &["a.example", "away.example"]);
        let refused = proxy.ask(&apply("shop", 1, &wanted));
        assert!(refused["message"].as_str().unwrap().contains("agreed to the terms"), "{refused}");
        tell(&proxy, &pebble.told(challenge));
        proxy.apply("shop", 1, &wanted);

        // The authority is not there yet: it is said, and clients are refused.
        proxy.says("cannot be asked");
        until("it is told", || certificate(&proxy, "a.example")["failures"] == 1);
        let told = certificate(&proxy, "a.example");
        assert!(told["ends"].is_null() && told["said"].as_str().unwrap().contains("refused"), "{told}");
        let no = client(tls, "a.example", None).map(drop).unwrap_err();
        assert!(no.contains("unrecognized name"), "{no}");
        assert_eq!(Browser::to(plain).get("/").status(), 308);

        pebble.start(ip, &[("PEBBLE_WFE_NONCEREJECT", "40")]);
        proxy.signal(Signal::HUP);
        let root = pebble.root();
        until("it is shown", || client(tls, "a.example", Some(&root)).is_ok());
        let mut stream = client(tls, "a.example", Some(&root)).unwrap();
        let before = serial(&stream);
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        assert_eq!(message(&mut BufReader::new(stream), false).unwrap().text(), "red /x 0");

        // One that cannot be proven keeps no other one from its certificate, and its clients get no other one's.
        until("it is told", || certificate(&proxy, "away.example")["failures"].as_u64() > Some(1));
        let told = certificate(&proxy, "away.example");
        assert!(told["said"].as_str().unwrap().starts_with(challenge), "{told}");
        assert!(client(tls, "away.example", None).is_err());
        until("it is told", || certificate(&proxy, "a.example")["failures"] == 0);
        let answer = proxy.ask(&json!({"version": 1, "request": "metrics"}));
        let figures = answer["text"].as_str().unwrap();
        for line in ["certificate_there{host=\"a.example\"} 1", "certificate_there{host=\"away.example\"} 0"] {
            assert!(figures.contains(line), "{figures}");
        }
        let folder = place.state().join("acme");
        for file in ["certificates/a.example.pem", "orders/a.example.json", "ordered.json", "authority.json"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
        let account = fs::read_dir(folder.join("accounts")).unwrap().next().unwrap().unwrap().path();
        assert_eq!(mode(&account), 0o600);

        // Another proxy shows it at once, with no authority there, and asks for nothing.
        let failures = certificate(&proxy, "away.example")["failures"].clone();
        proxy.kill();
        pebble.stop();
        let proxy = place.start(&[]);
        assert_eq!(serial(&client(tls, "a.example", Some(&root)).unwrap()), before);
        assert_eq!(proxy.status()["authority"]["contact"][0], "admin@example.org");
        // What failed is not tried at once because of that.
        until("it is told", || !certificate(&proxy, "away.example").is_null());
        assert_eq!(certificate(&proxy, "away.example")["failures"], failures);
        // Who agrees no longer gets no further one, and keeps what there is.
        tell(&proxy, &Value::Null);
        until("it is told", || {
            certificate(&proxy, "a.example")["said"].as_str().is_some_and(|said| said.contains("agreed"))
        });
        assert!(client(tls, "a.example", Some(&root)).is_ok());
    }
}

#[test]
fn it_is_renewed_in_time_and_nobody_sees_one_that_ended() {
    let red = Web::named("red");
    let (tls, plain, ip) = listeners();
    let Some(mut pebble) = Pebble::new((plain.port(), tls.port()), 15) else { return };
    pebble.start(ip, &[]);
    let root = pebble.root();
    let place = Place::new();
    let proxy = place.start(&[]);
    tell(&proxy, &pebble.told("tls-alpn-01"));
    proxy.apply("shop", 1, &routes(tls, plain, red.address(), &["a.example"]));
    until("it is shown", || client(tls, "a.example", Some(&root)).is_ok());
    let before = serial(&client(tls, "a.example", Some(&root)).unwrap());
    let began = certificate(&proxy, "a.example");
    // Before a third of its life is left, and not at once.
    let (from, to) = (began["begins"].as_i64().unwrap(), began["ends"].as_i64().unwrap());
    let next = began["next"].as_i64().unwrap();
    assert!(next >= from + (to - from) / 2 && next <= from + (to - from) * 2 / 3, "{began}");
    // Each look is one of a client that checks it.
    until("another one is shown", || serial(&client(tls, "a.example", Some(&root)).unwrap()) != before);
}

#[test]
fn a_proxy_that_is_killed_goes_on_with_the_same_order_and_key() {
    let red = Web::named("red");
    let (tls, plain, ip) = listeners();
    // What looks for the proof is held here until another proxy is there.
    let (goes, gate_port) =
        (Arc::new(AtomicBool::new(false)), TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap());
    let (asked, when_asked) = std::sync::mpsc::channel::<String>();
    let asked = std::sync::Mutex::new(asked);
    let go = Arc::clone(&goes);
    let _gate = Container::of(gate_port, move |stream| {
        let mut from = BufReader::new(stream);
        let Ok(wanted) = head(&mut from) else { return };
        let path = wanted.first.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = asked.lock().unwrap().send(path.clone());
        until("the gate is opened", || go.load(Relaxed));
        let answer = Browser::to(plain).get(&path);
        let text = answer.text();
        let _ = write!(
            from.get_mut(),
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
    });
    let Some(mut pebble) = Pebble::new((gate_port.port(), tls.port()), 7_776_000) else { return };
    pebble.start(ip, &[("PEBBLE_WFE_NONCEREJECT", "20")]);
    let root = pebble.root();
    let place = Place::new();
    let proxy = place.start(&[]);
    tell(&proxy, &pebble.told("http-01"));
    proxy.apply("shop", 1, &routes(tls, plain, red.address(), &["a.example"]));
    let path = when_asked.recv_timeout(PATIENCE).unwrap();
    proxy.kill();
    let order = place.state().join("acme/orders/a.example.json");
    let kept: Value = serde_json::from_slice(&fs::read(&order).unwrap()).unwrap();
    let key = PKey::private_key_from_pem(kept["order"]["key"].as_str().unwrap().as_bytes()).unwrap();
    let proxy = place.start(&[]);
    until("the proof is shown again", || Browser::to(plain).get(&path).status() == 200);
    goes.store(true, Relaxed);
    until("it is shown", || client(tls, "a.example", Some(&root)).is_ok());
    let stream = client(tls, "a.example", Some(&root)).unwrap();
    assert!(stream.ssl().peer_certificate().unwrap().public_key().unwrap().public_eq(&key));
    until("it is told", || certificate(&proxy, "a.example")["under_way"] == false);

    // Killed again and again, at whatever it is about: one more order, and a certificate in the end.
    pebble.stop();
    pebble.start(ip, &[("PEBBLE_VA_ALWAYS_VALID", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")]);
    let root = pebble.root();
    let ordered = || -> usize {
        let kept = fs::read(place.state().join("acme/ordered.json")).unwrap();
        serde_json::from_slice::<Vec<Value>>(&kept).unwrap().iter().filter(|of| of[1] == "b.example").count()
    };
    proxy.apply("shop", 2, &routes(tls, plain, red.address(), &["b.example"]));
    proxy.kill();
    for round in 1..=12_u64 {
        let proxy = place.start(&[]);
        // An instant, not a wait for something.
        let since = std::time::Instant::now();
        until("an instant has passed", || since.elapsed() >= std::time::Duration::from_millis(round * 37 % 260));
        proxy.kill();
    }
    let _proxy = place.start(&[]);
    until("it is shown", || client(tls, "b.example", Some(&root)).is_ok());
    // A proxy that is killed between the order and the disk loses that one, and makes another; never more than may be in an hour.
    assert!((1..=5).contains(&ordered()), "{}", ordered());
}

/// What an authority says wrongly, by the beginning of the path.
type Says = fn(&str, &str) -> String;

#[test]
fn wrong_answers_are_told_and_the_authority_is_left_alone_for_a_while() {
    let red = Web::named("red");
    let (tls, plain, _) = listeners();
    let ip = own_ip();
    let (own, key) = of_server(ip);
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("own.pem");
    fs::write(&trust, own.to_pem().unwrap()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&own).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let (acceptor, chain) = (acceptor.build(), String::from_utf8(own.to_pem().unwrap()).unwrap());
    let says: Says = |path, base| {
        let case = path.split('/').nth(1).unwrap_or_default();
        let json = |status: &str, more: &str, body: Value| {
            let body = body.to_string();
            format!("HTTP/1.1 {status}\r\nReplay-Nonce: n\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let of = |what: &str| format!("{base}/{case}/{what}");
        let located = |what: &str| format!("Location: {}\r\n", of(what));
        let directory = json!({"newNonce": of("nonce"), "newAccount": of("account"), "newOrder": of("order")});
        match (case, path.rsplit('/').next().unwrap_or_default()) {
            ("words", _) => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone".to_owned(),
            ("long", _) => format!("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n{}", "a".repeat(400_000)),
            ("broken", _) => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned(),
            ("none", _) => String::new(),
            ("busy", _) => "HTTP/1.1 503 x\r\nRetry-After: 90000\r\nContent-Length: 0\r\n\r\n".to_owned(),
            ("bound", "dir") => {
                let mut bound = directory;
                bound["meta"] = json!({"externalAccountRequired": true});
                json("200 OK", "", bound)
            }
            (_, "dir") => json("200 OK", "", directory),
            ("bare", "nonce") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            (_, "nonce") => json("200 OK", "", json!({})),
            ("nonces", _) => {
                json("400 x", "", json!({"type": "urn:ietf:params:acme:error:badNonce", "detail": "again"}))
            }
            ("limited", _) => {
                let problem =
                    json!({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too\n\u{1b}[31mmany"});
                json("429 x", "Retry-After: 7200\r\n", problem)
            }
            ("nowhere", "account") => json("201 Created", "", json!({})),
            (_, "account") => json("201 Created", &located("account/1"), json!({})),
            ("elsewhere", "order") => {
                let order = json!({"status": "pending", "authorizations": ["ftp://x/1"], "finalize": of("finalize")});
                json("201 Created", &located("order/1"), order)
            }
            ("odd", "order") => json("201 Created", &located("order/1"), json!({"status": [], "finalize": 1})),
            (_, "order" | "finalize") => {
                let order = json!({"status": "ready", "finalize": of("finalize")});
                json("201 Created", &located("order/1"), order)
            }
            (_, "1") => json("200 OK", "", json!({"status": "valid", "finalize": of("f"), "certificate": of("chain")})),
            _ => json("404 x", "", json!({})),
        }
    };
    let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
    let acceptor = Arc::new(acceptor);
    let base = format!("https://{address}");
    let (told_base, chain_of) = (base.clone(), chain.clone());
    let _authority = Container::of(address, move |stream| {
        let Ok(stream) = acceptor.accept(stream) else { return };
        let mut from = BufReader::new(stream);
        while let Ok(asked) = head(&mut from) {
            let length = asked.get("content-length").parse().unwrap_or(0);
            let mut body = vec![0; length];
            if from.read_exact(&mut body).is_err() {
                return;
            }
            let path = asked.first.split(' ').nth(1).unwrap_or_default();
            let answer = match path.ends_with("/chain") {
                true => format!(
                    "HTTP/1.1 200 OK\r\nReplay-Nonce: n\r\nContent-Length: {}\r\n\r\n{chain_of}",
                    chain_of.len()
                ),
                false => says(path, &told_base),
            };
            let bodiless = asked.first.starts_with("HEAD ");
            let end = answer.find("\r\n\r\n").map_or(answer.len(), |at| if bodiless { at + 4 } else { answer.len() });
            let said = from.get_mut().write_all(&answer.as_bytes()[..end]);
            if said.is_err() || answer.is_empty() || path.starts_with("/broken") {
                return;
            }
        }
    });
    let place = Place::new();
    let proxy = place.start(&[]);
    tell(&proxy, &json!({"directory": format!("{base}/first/dir")}));
    proxy.apply("shop", 1, &routes(tls, plain, red.address(), &["a.example"]));
    let said = |wanted: &str| {
        until(wanted, || certificate(&proxy, "a.example")["said"].as_str().is_some_and(|said| said.contains(wanted)));
        certificate(&proxy, "a.example")
    };
    said("own certificate is not trusted");
    for (case, wanted) in [
        ("words", "gives an answer that cannot be used: expected"),
        ("long", "its answer is longer than 262144 bytes"),
        ("broken", "the answer broke off"),
        ("none", "cannot be asked"),
        ("bound", "accounts that are bound to one of its own (EAB)"),
        ("bare", "there is no nonce in it"),
        ("nonces", "again (badNonce)"),
        ("nowhere", "does not say where what was made is"),
        ("odd", "gives an answer that cannot be used"),
        ("elsewhere", "it is no https:// address"),
        ("other", "the certificate that came has another key"),
    ] {
        tell(&proxy, &json!({"directory": format!("{base}/{case}/dir"), "trust": trust, "challenge": "http-01"}));
        let told = said(wanted);
        assert!(told["ends"].is_null(), "{case}: {told}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (case, wanted, seconds) in [("limited", "too  [31mmany (rateLimited)", 7_200), ("busy", "status 503", 90_000)] {
        tell(&proxy, &json!({"directory": format!("{base}/{case}/dir"), "trust": trust}));
        let next = said(wanted)["next"].as_u64().unwrap();
        assert!(next >= now + seconds && next <= now + seconds + 300, "{case}: {next} {now}");
        // Whoever asks for another try does not overrule it.
        proxy.signal(Signal::HUP);
        assert_eq!(proxy.ask(&json!({"version": 1, "request": "reload"}))["answer"], "applied");
        assert_eq!(certificate(&proxy, "a.example")["failures"], 1, "{case}");
    }
    // What is served without TLS goes on.
    assert_eq!(Browser::to(plain).get("/").status(), 308);
}
