//! Who asked, as a container is told: kept and extended on a listener that only this machine reaches, made anew on others.

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    support::Place,
    web::{Browser, Web, before, http},
};

const TOLD: &str = concat!(
    "GET / HTTP/1.1\r\nHost: shop.example:8080\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-For: 10.0.0.8\r\n",
    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\nForwarded: for=10.0.0.9;proto=https\r\n",
    "X-Request-Id: a-b\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 10.0.0.9\r\n\r\n"
);
const NAMES: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x_forwarded_for", "x-real-ip"];

#[test]
fn a_listener_on_loopback_believes_and_extends() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says(TOLD);
    browser.answer();
    let seen = red.last();
    let peer = browser.to.local_addr().unwrap().ip();
    assert_eq!(
        NAMES.map(|name| seen.get(name)),
        [
            format!("10.0.0.9, 10.0.0.8, {peer}"),
            "https".into(),
            "www.example".into(),
            format!("for=10.0.0.9;proto=https, for={peer};host=\"shop.example:8080\";proto=http"),
            String::new(),
            "10.0.0.9".into(),
        ]
    );
    assert_eq!((seen.get("x-request-id"), seen.get("host")), ("a-b".into(), "shop.example:8080".into()));
    // An id that is none is made anew.
    let long = "x".repeat(200);
    for id in [long.as_str(), "a b", ""] {
        browser.says(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n"));
        browser.answer();
        assert_eq!(red.last().get("x-request-id").len(), 32, "{id}");
    }
}

#[test]
fn any_other_listener_makes_them_anew() {
    let (red, place) = (Web::named("red"), Place::new());
    let port = crate::support::free_address().port();
    let listen: SocketAddr = ([0, 0, 0, 0], port).into();
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([http(listen, "red", 1, red.address())]));
    let mut browser = Browser::to(([127, 0, 0, 1], port).into());
    browser.says(TOLD);
    browser.answer();
    let seen = red.last();
    let expected =
        ["127.0.0.1", "http", "shop.example:8080", "for=127.0.0.1;host=\"shop.example:8080\";proto=http", "", ""];
    assert_eq!(NAMES.map(|name| seen.get(name)), expected);
    let id = seen.get("x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    // One answer, and the next, each with an id of its own.
    browser.get("/");
    assert_ne!(red.last().get("x-request-id"), id);
}
