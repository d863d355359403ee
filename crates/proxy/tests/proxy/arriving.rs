//! Whose a connection is (PROXY protocol, in and out), which host it names (TLS that is the containers' own), and IPv6.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslStream};
use serde_json::{Value, json};

use crate::{
    support::{Client, Container, free_address, own_ip, route as tcp},
    tls::{Authority, route as over_tls, started},
    web::{Browser, Web, head, http, scripted},
};

/// Version 2, of 192.0.2.7:4660 that came to 198.51.100.1:443, with something that a sender adds.
const TWO: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x34\x01\xbb\x04\0\x04abcd";
/// Version 2, of its sender's own.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn proxied(mut route: Value) -> Value {
    route["proxied_by"] = json!(["127.0.0.0/8"]);
    route
}

#[test]
fn who_may_says_first_whom_it_speaks_for() {
    let red = Web::named("red");
    let (_place, proxy, listen) = started();
    proxy.apply("shop", 1, &json!([proxied(http(listen, "red", 1, red.address()))]));
    let forwarded = |first: &[u8]| {
        let mut browser = Browser::to(listen);
        browser.to.write_all(first).unwrap();
        assert_eq!(browser.get("/").status(), 200);
        // Once a connection, whatever comes on it.
        browser.says("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9\r\n\r\n");
        assert_eq!(browser.answer().status(), 200);
        red.last().get("x-forwarded-for")
    };
    assert_eq!(forwarded(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"), "192.0.2.7");
    assert_eq!(forwarded(b"PROXY TCP6 2001:db8::7 2001:db8::1 5 443\r\n"), "2001:db8::7");
    assert_eq!(forwarded(TWO), "192.0.2.7");
    for own in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        assert!(forwarded(own).ends_with(&Browser::to(listen).to.local_addr().unwrap().ip().to_string()));
    }
    let before = red.requests();
    for wrong in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("PROXY UNKNOWN {}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200)),
    ] {
        let mut browser = Browser::to(listen);
        browser.says(wrong);
        let mut rest = Vec::new();
        let _ = browser.from.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{wrong}");
    }
    assert_eq!(red.requests(), before);
    // Nobody else may connect.
    let mut route = http(listen, "red", 2, red.address());
    route["proxied_by"] = json!(["192.0.2.0/24"]);
    proxy.apply("shop", 2, &json!([route]));
    let mut browser = Browser::to(listen);
    browser.says("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut rest = Vec::new();
    let _ = browser.from.read_to_end(&mut rest);
    assert_eq!((rest, red.requests()), (Vec::new(), before));
}

#[test]
fn containers_are_told_who_their_client_is() {
    let told = Container::of((own_ip(), 0).into(), |stream| {
        let mut from = std::io::BufReader::new(&stream);
        let mut line = String::new();
        let _ = from.read_line(&mut line);
        let mut rest = [0; 5];
        let _ = from.read_exact(&mut rest);
        let _ = write!(&stream, "{}|{}", line.trim_end(), String::from_utf8_lossy(&rest));
    });
    let (_place, proxy, listen) = started();
    let mut route = proxied(tcp(listen, "red", 1, told.address));
    route["proxy_protocol"] = json!("v1");
    proxy.apply("shop", 1, &json!([route]));
    let Client(mut client) = Client::to(listen);
    client.write_all(&[TWO, b"hello"].concat()).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    let to = format!("{} {} {}", listen.ip(), 4660, listen.port());
    assert_eq!(said, format!("PROXY TCP4 192.0.2.7 {to}|hello"));
    // A request each, on a connection of its own: they may be of several clients.
    let connections = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&connections);
    let web = scripted(move |from, to| {
        let mut first = [0; 28];
        from.read_exact(&mut first)?;
        kept.lock().unwrap().push(first);
        while head(from).is_ok() {
            to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let mut route = http(listen, "red", 2, web.address);
    route["proxy_protocol"] = json!("v2");
    proxy.apply("shop", 2, &json!([route]));
    let mut browser = Browser::to(listen);
    assert_eq!((browser.get("/").status(), browser.get("/").status()), (200, 200));
    let SocketAddr::V4(own) = browser.to.local_addr().unwrap() else { panic!() };
    let said = connections.lock().unwrap().clone();
    assert_eq!(said.len(), 2);
    for first in said {
        assert_eq!((&first[..12], &first[12..16]), (&LOCAL[..12], &[0x21, 0x11, 0, 12][..]));
        assert_eq!((&first[16..20], &first[24..26]), (&own.ip().octets()[..], &own.port().to_be_bytes()[..]));
    }
}

#[test]
fn over_tls_it_comes_before() {
    let red = Web::named("red");
    let authority = Authority::new();
    let (_place, proxy, listen) = started();
    proxy.apply(
        "shop",
        1,
        &json!([proxied(over_tls(listen, red.address(), &[], &authority.signs("a", &["a.example"])))]),
    );
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.cert_store_mut().add_cert(authority.own.clone()).unwrap();
    let Client(mut stream) = Client::to(listen);
    stream.write_all(TWO).unwrap();
    let mut stream = connector.build().connect("a.example", stream).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    assert_eq!(head(&mut std::io::BufReader::new(&mut stream)).unwrap().status(), 200);
    assert_eq!(
        (red.last().get("x-forwarded-for"), red.last().get("x-forwarded-proto")),
        ("192.0.2.7".into(), "https".into())
    );
}

/// A container that speaks TLS itself, and says its name.
fn own_tls(authority: &Authority, name: &'static str, host: &str) -> Container {
    let files = authority.signs(name, &[host]);
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(files["certificate"].as_str().unwrap()).unwrap();
    acceptor.set_private_key_file(files["key"].as_str().unwrap(), openssl::ssl::SslFiletype::PEM).unwrap();
    let acceptor = acceptor.build();
    Container::of((own_ip(), 0).into(), move |stream| {
        if let Ok(mut stream) = acceptor.accept(stream) {
            let _ = writeln!(stream, "{name}");
            let _ = stream.shutdown();
        }
    })
}

fn named(authority: &Authority, listen: SocketAddr, host: &str) -> Result<SslStream<TcpStream>, String> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.cert_store_mut().add_cert(authority.own.clone()).unwrap();
    connector.build().connect(host, Client::to(listen).0).map_err(|error| error.to_string())
}

#[test]
fn tls_that_is_the_containers_own_goes_by_the_host_that_is_named() {
    let authority = Authority::new();
    let (shop, blog, any) = (
        own_tls(&authority, "shop", "shop.example"),
        own_tls(&authority, "blog", "a.blog.example"),
        own_tls(&authority, "any", "any.example"),
    );
    let (_place, proxy, listen) = started();
    let passed = |target, hosts: &[&str]| {
        let mut route = tcp(listen, "red", 1, target);
        route["protocol"] = json!("tls");
        if !hosts.is_empty() {
            route["hosts"] = json!(hosts);
        }
        route
    };
    let mut routes = vec![passed(shop.address, &["shop.example"]), passed(blog.address, &["*.blog.example"])];
    proxy.apply("shop", 1, &json!(routes));
    let says = |host: &str| {
        let mut text = String::new();
        named(&authority, listen, host)?.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok::<_, String>(text)
    };
    // The certificate is the container's: the client has looked at it.
    assert_eq!((says("shop.example"), says("a.blog.example")), (Ok("shop\n".into()), Ok("blog\n".into())));
    let refused = says("any.example").unwrap_err();
    assert!(refused.contains("unrecognized name"), "{refused}");
    // What is no TLS is nobody's; nor is what begins and does not go on.
    for wrong in [&b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0x16, 3, 1, 0, 0]]
    {
        let Client(mut client) = Client::to(listen);
        client.write_all(wrong).unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["taken"].as_u64().unwrap_or(1), 1);
    // A route without hosts has all others, and those that name none.
    for route in &mut routes {
        route["colours"][0]["generation"] = json!(1);
    }
    routes.push(passed(any.address, &[]));
    proxy.apply("shop", 2, &json!(routes));
    assert_eq!(says("any.example"), Ok("any\n".into()));
    assert_eq!(says("shop.example"), Ok("shop\n".into()));
}

#[test]
fn a_listener_of_ipv6_stands_beside_that_of_ipv4() {
    let red = Web::named("red");
    let (_place, proxy, _) = started();
    let port = free_address().port();
    let (four, six) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let routes = [&four, &six].map(|listen| http(listen.parse().unwrap(), "red", 1, red.address()));
    proxy.apply("shop", 1, &json!(routes));
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(Browser::to(address.parse().unwrap()).get("/").text(), "red / 0");
    }
    assert_eq!(red.last().get("x-forwarded-for"), "::1");
}
