//! Clients that speak HTTP/2, before containers that speak HTTP/1.1: what is promised to HTTP/1.1 is promised to them.

use std::{
    io::{Read as _, Write as _},
    pin::Pin,
    sync::mpsc,
};

use http::{HeaderMap, HeaderValue, Request};
use openssl::ssl::{SslConnector, SslMethod};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_openssl::SslStream;

use crate::{
    support::{PATIENCE, Proxy, until},
    tls::{Authority, route, started},
    two::{Http2, get, runtime},
    web::{Browser, Web, before, head, http, message, scripted},
};

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static(value));
    trailers
}

fn asks(proxy: &Proxy, request: &str) -> Value {
    proxy.ask(&json!({"version": 1, "request": request, "repository": "shop"}))
}

#[test]
fn a_request_is_what_it_would_be_by_the_older_version() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut client = Http2::to(listen);
    let request = Request::post("http://shop.example/a?b=c").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.header("x-forwarded-for", "192.0.2.7").header("x-own", "1").body(()).unwrap();
    let answer = client.asks(request, b"hello");
    assert_eq!((answer.status, answer.text(), answer.get("x-from")), (200, "red /a?b=c 5".into(), "red"));
    for gone in ["connection", "transfer-encoding", "keep-alive"] {
        assert_eq!(answer.get(gone), "", "{gone}");
    }
    let seen = red.last();
    assert_eq!((seen.first.as_str(), seen.get("host").as_str()), ("POST /a?b=c HTTP/1.1", "shop.example"));
    // The listener is on loopback: what is before it is believed, and extended.
    let by = listen.ip().to_string();
    assert!(seen.get("x-forwarded-for").starts_with("192.0.2.7, 127."), "{} {by}", seen.get("x-forwarded-for"));
    assert_eq!(
        ["cookie", "x-own", "x-forwarded-proto", "transfer-encoding"].map(|name| seen.get(name)),
        ["a=1; b=2", "1", "http", "chunked"]
    );
    // A length that is said is said on, and a body's trailers are.
    let request = Request::post("http://a/l").header("content-length", "3").body(()).unwrap();
    assert_eq!(client.asks(request, b"abc").text(), "red /l 3");
    assert_eq!((red.last().get("content-length"), red.last().get("transfer-encoding")), ("3".into(), String::new()));
    let sent = client.sends(Request::post("http://a/t").body(()).unwrap(), b"abc", trailers("x-sum", "6"));
    assert_eq!(client.answer(sent).unwrap().text(), "red /t 3");
    assert_eq!(red.last().trailers, [("x-sum".to_owned(), "6".to_owned())]);
    let answer = client.asks(Request::head("http://a/h").body(()).unwrap(), b"");
    assert_eq!((answer.status, answer.get("content-length"), answer.body.len()), (200, "8", 0));
    // What is refused is an answer, and the connection goes on.
    let request = Request::get("http://a/").header("x", "y".repeat(20_000)).header("z", "y".repeat(20_000));
    assert_eq!(client.asks(request.body(()).unwrap(), b"").status, 431);
    assert_eq!(client.asks(Request::connect("a:80").body(()).unwrap(), b"").status, 405);
    assert_eq!(client.get("/end").text(), "red /end 0");
    assert_eq!(red.requests(), 5);
}

#[test]
fn an_answer_is_whole_with_hints_and_trailers() {
    let hints = scripted(|from, to| {
        head(from)?;
        to.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Gone\r\nX-Gone: 1\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n")
    });
    let (_place, _proxy, listen) = before(hints.address, &[]);
    let mut client = Http2::to(listen);
    let mut sent = client.sends(get("/"), b"", HeaderMap::new());
    let hint = client.wait(std::future::poll_fn(|cx| sent.poll_informational(cx))).unwrap().unwrap();
    assert_eq!((hint.status().as_u16(), &hint.headers()["link"]), (103, &HeaderValue::from_static("</a>")));
    let answer = client.answer(sent).unwrap();
    assert_eq!((answer.status, answer.text(), answer.trailers), (200, "abc".into(), trailers("x-sum", "6")));
    assert_eq!(answer.headers.get("x-gone"), None);
}

#[test]
fn alpn_decides_over_tls_and_the_host_is_looked_at() {
    let (shop, blog) = (Web::named("shop"), Web::named("blog"));
    let authority = Authority::new();
    let (_place, proxy, listen) = started();
    let files = authority.signs("all", &["shop.example", "blog.example"]);
    let routes = json!([
        route(listen, shop.address(), &["shop.example"], &files),
        route(listen, blog.address(), &["blog.example"], &files),
    ]);
    proxy.apply("shop", 1, &routes);
    let runtime = runtime();
    let stream = runtime.block_on(async {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.cert_store_mut().add_cert(authority.own.clone()).unwrap();
        connector.set_alpn_protos(b"\x08http/1.1\x02h2").unwrap();
        let ssl = connector.build().configure().unwrap().into_ssl("shop.example").unwrap();
        let stream = tokio::net::TcpStream::connect(listen).await.unwrap();
        let mut stream = SslStream::new(ssl, stream).unwrap();
        Pin::new(&mut stream).connect().await.unwrap();
        // By our order, not the client's.
        assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
        stream
    });
    let mut client = Http2::over(runtime, stream);
    let to = |uri: &str| Request::get(uri).body(()).unwrap();
    assert_eq!(client.asks(to("https://shop.example/a"), b"").text(), "shop /a 0");
    assert_eq!(shop.last().get("x-forwarded-proto"), "https");
    // A connection that is used for another host of the certificate (RFC 9113, 9.1.1), and one for none of ours.
    assert_eq!(client.asks(to("https://blog.example/b"), b"").text(), "blog /b 0");
    assert_eq!(client.asks(to("https://other.example/b"), b"").status, 421);
    // Whoever negotiated HTTP/1.1 does not change to HTTP/2 by its own word, and nobody does after a request.
    let mut plain = authority.client(listen, "shop.example", None).unwrap();
    plain.says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(head(&mut plain.0).unwrap().status(), 505);
}

#[test]
fn http2_begins_a_connection_or_never() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 200);
    browser.says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(browser.answer().status(), 505);
    // Half of its first words is not taken for the whole.
    let mut browser = Browser::to(listen);
    browser.says("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    let mut rest = Vec::new();
    let _ = browser.from.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
}

#[test]
fn streams_go_side_by_side_and_a_slow_one_hinders_none() {
    const LENGTH: usize = 3 << 20;
    let web = scripted(|from, to| {
        while let Ok(asked) = message(from, false) {
            if asked.first.contains("/large") {
                write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")?;
                to.write_all(&vec![b'x'; LENGTH])?;
            } else {
                let sum: usize = asked.body.iter().map(|byte| usize::from(*byte)).sum();
                let said = format!("{} {sum}", asked.body.len());
                write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len())?;
            }
        }
        Ok(())
    });
    let (_place, proxy, listen) = before(web.address, &[]);
    let mut client = Http2::to(listen);
    // Nobody takes the body of this one for now.
    let large = client.sends(get("/large"), b"", HeaderMap::new());
    let large = client.wait(large).unwrap();
    let sent: Vec<_> = (0..60).map(|_| client.sends(get("/"), b"", HeaderMap::new())).collect();
    for one in sent {
        assert_eq!(client.answer(one).unwrap().text(), "0 0");
    }
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    let sent = client.sends(Request::post("http://a/").body(()).unwrap(), &data, HeaderMap::new());
    assert_eq!(client.answer(sent).unwrap().text(), format!("1000000 {sum}"));
    assert_eq!(client.wait(crate::two::all(large.into_body())).unwrap().0.len(), LENGTH);
    until("all has ended", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
    assert_eq!(proxy.status()["routes"][0]["requests"], 62);
}

/// A container that says when a request is there, and answers when it may.
fn patient() -> (crate::support::Container, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (came, comes) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let both = std::sync::Mutex::new((came, goes));
    let container = scripted(move |from, to| {
        while message(from, false).is_ok() {
            let both = both.lock().unwrap();
            both.0.send(()).unwrap();
            both.1.recv_timeout(PATIENCE).unwrap();
            to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")?;
        }
        Ok(())
    });
    (container, comes, go)
}

#[test]
fn a_switch_moves_requests_and_not_connections() {
    let (old, comes, go) = patient();
    let blue = Web::named("blue");
    let (_place, proxy, listen) = before(old.address, &[]);
    let mut client = Http2::to(listen);
    let under_way = client.sends(get("/"), b"", HeaderMap::new());
    comes.recv_timeout(PATIENCE).unwrap();
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    assert_eq!(client.get("/new").text(), "blue /new 0");
    go.send(()).unwrap();
    assert_eq!(client.answer(under_way).unwrap().text(), "old");
    // And held ones wait, however many of a connection.
    assert_eq!(asks(&proxy, "hold")["changed"], true);
    let waiting: Vec<_> = (0..20)
        .map(|_| client.sends(Request::post("http://shop/w").body(()).unwrap(), b"abc", HeaderMap::new()))
        .collect();
    until("they wait", || proxy.status()["routes"][0]["waiting"] == 20);
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["open"], 0);
    assert_eq!(asks(&proxy, "resume")["changed"], true);
    for one in waiting {
        assert_eq!(client.answer(one).unwrap().text(), "blue /w 3");
    }
}

#[test]
fn streams_take_places_as_connections_do() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &["--max-connections", "16"]);
    asks(&proxy, "hold");
    let mut client = Http2::to(listen);
    let sent: Vec<_> = (0..60).map(|_| client.sends(get("/"), b"", HeaderMap::new())).collect();
    until("as many wait as may", || {
        client.wait(tokio::task::yield_now());
        proxy.status()["routes"][0]["waiting"].as_u64().unwrap() > 10
    });
    // Others are served beside them.
    assert_eq!(proxy.status()["connections"], 1);
    let mut other = Browser::to(listen);
    other.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it waits, too", || proxy.status()["connections"] == 2);
    asks(&proxy, "resume");
    assert_eq!(other.answer().status(), 200);
    let (mut served, mut refused) = (0, 0);
    for one in sent {
        match client.answer(one) {
            Ok(answer) => served += usize::from(answer.status == 200),
            Err(error) => refused += usize::from(error.reason() == Some(h2::Reason::REFUSED_STREAM)),
        }
    }
    assert!((10..16).contains(&served) && served + refused == 60, "{served} and {refused}");
    // Nothing of it was done, and later there is room again.
    assert_eq!((client.get("/").status, red.requests()), (200, served + 2));
}

#[test]
fn what_may_be_sent_again_is_and_nothing_else() {
    // Takes the first request of each connection, and leaves.
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    let leaves = scripted(move |from, to| {
        let asked = message(from, false)?;
        let before = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if asked.first.contains("/half") {
            return to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        }
        if before == 0 || asked.first.starts_with("POST") {
            return Ok(());
        }
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let (_place, _proxy, listen) = before(leaves.address, &[]);
    let mut client = Http2::to(listen);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(client.asks(Request::post("http://a/").body(()).unwrap(), b"abc").status, 502);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 3);
    // Half an answer is none, and is that stream's matter alone.
    let sent = client.sends(get("/half"), b"", HeaderMap::new());
    let error = client.answer(sent).unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn a_client_that_takes_a_request_back_ends_it_at_its_container() {
    let (left, leaves) = mpsc::channel();
    let left = std::sync::Mutex::new(left);
    let web = scripted(move |from, _| {
        head(from)?;
        left.lock().unwrap().send(true).unwrap();
        let end = from.read(&mut [0]);
        left.lock().unwrap().send(end.is_err() || end.is_ok_and(|length| length == 0)).unwrap();
        Ok(())
    });
    let (_place, proxy, listen) = before(web.address, &[]);
    let mut client = Http2::to(listen);
    let (sent, mut stream) = client.begins(get("/"));
    // Before its container has the head, it is none of that one's.
    until("its container has it", || {
        client.wait(tokio::task::yield_now());
        leaves.try_recv().is_ok()
    });
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["open"], 1);
    stream.send_reset(h2::Reason::CANCEL);
    drop(sent);
    let mut told = None;
    until("its container is told", || {
        client.wait(tokio::task::yield_now());
        told = leaves.try_recv().ok();
        told.is_some()
    });
    assert_eq!(told, Some(true));
    until("it has ended", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn a_proxy_that_ends_says_so_and_ends_what_is_under_way() {
    let (old, comes, go) = patient();
    let (_place, mut proxy, listen) = before(old.address, &[]);
    let mut client = Http2::to(listen);
    let sent = client.sends(get("/"), b"", HeaderMap::new());
    comes.recv_timeout(PATIENCE).unwrap();
    let mut idle = Http2::to(listen);
    proxy.signal(Signal::TERM);
    // By GOAWAY, without an error; one without a request ends at once.
    idle.ended().unwrap();
    go.send(()).unwrap();
    assert_eq!(client.answer(sent).unwrap().text(), "old");
    client.ended().unwrap();
    assert!(proxy.ended().success());
}

#[test]
fn a_connection_without_a_request_ends() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &["--keep-alive", "1"]);
    let mut client = Http2::to(listen);
    assert_eq!(client.get("/").status, 200);
    client.ended().unwrap();
    until("nobody has it", || proxy.status()["connections"].as_u64().unwrap_or(0) == 0);
}
