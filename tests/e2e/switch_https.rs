//! HTTPS for people: who asks without TLS is sent to where it is spoken, browsers are told to stay there, and whose word on who
//! asks is believed is said.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use openssl::x509::X509;

use crate::{common, e2e_support};
use common::daemon::free_address;
use e2e_support::{
    all_of,
    certificates::{connect, of_host},
    switched::Switched,
};

const HOST: &str = "shop.example";
/// Who asks, as the app sees it.
const WHO: &str = "/cgi-bin/who";
const APP: &str = "mkdir -p /www/cgi-bin
cp /app/page /www/index.html
cp /app/who /www/cgi-bin/who
chmod 755 /www/cgi-bin/who
exec httpd -f -p 8000 -h /www
";
const TELLS: &str = r#"#!/bin/sh
said="$HTTP_X_FORWARDED_FOR"
printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#said}" "$said"
"#;

fn ask(at: SocketAddr, path: &str) -> common::http::Response {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n");
    common::http::raw(at, &[head.as_bytes()]).unwrap()
}

/// Asks as somebody who says that somebody else asks.
fn who(at: SocketAddr) -> String {
    ask(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, at.port())), WHO).body
}

/// The head of an answer over TLS.
fn secure(at: SocketAddr, trusted: &X509) -> String {
    let mut stream = connect(at, HOST, Some(trusted)).unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn plain_requests_go_to_https_and_only_trusted_networks_say_who_asks() {
    let shop = Switched::alone("one", APP, "    stop_grace_period: 1s\n", &[("who", TELLS)]);
    let folder = tempfile::tempdir().unwrap();
    let (trusted, pem, key) = of_host(HOST);
    let (certificate, own) = (folder.path().join("shop.pem"), folder.path().join("shop.key"));
    fs::write(&certificate, pem).unwrap();
    fs::write(&own, key).unwrap();
    let [plain, tls, believed, stranger] = [(); 4].map(|()| free_address());
    let routes = |secure: &str| {
        format!(
            "{{ bake: 1s, trusted: [192.0.2.0/24], routes: [
    {{ listen: \"{plain}\", to: \"web:8000\", hosts: [{HOST}], redirect: https }},{secure}
    {{ listen: \"0.0.0.0:{}\", to: \"web:8000\", protocol: http, trusted: [127.0.0.0/8] }},
    {{ listen: \"0.0.0.0:{}\", to: \"web:8000\", protocol: http }} ] }}",
            believed.port(),
            stranger.port(),
        )
    };
    let with = routes(&format!(
        "
    {{ listen: \"{tls}\", to: \"web:8000\", protocol: http, hosts: [{HOST}], hsts: 1y, tls: {{ certificate: {}, key: {} }} }},",
        certificate.display(),
        own.display()
    ));
    let (_proxy, daemon) = shop.serve(&routes(""), &[]);

    // Nothing of it is served over TLS.
    let failed = daemon.expect_failure(daemon.deploy_by_push(&shop.site.push()));
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("{plain} redirects to https, and no route with TLS serves the host {HOST}")),
        "{error}"
    );
    assert!(error.contains("tls: acme"), "the line to write: {error}");

    fs::write(daemon.repos_yaml(), shop.entry(&with)).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains(&format!("https on {}, by a redirect", tls.port())), "{plan}");
    assert!(plan.contains("HSTS for 8760h") && plan.contains("told of clients by 127.0.0.0/8"), "{plan}");

    let sent = ask(plain, "/a?b=1");
    let wanted = format!("https://{HOST}:{}/a?b=1", tls.port());
    assert_eq!((sent.status, sent.header("location")), (308, Some(wanted.as_str())));
    let answer = secure(tls, &trusted);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("two"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    assert_eq!(who(believed), "203.0.113.7, 127.0.0.1");
    assert_eq!(who(stranger), "127.0.0.1");
}
