//! Several routes on one listener: which request goes where, and what its container sees.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    support::{Place, free_address, until},
    web::{Browser, Web, http},
};

/// A route with further keys.
fn with(listen: SocketAddr, target: &Web, keys: &Value) -> Value {
    let mut route = http(listen, "red", 1, target.address());
    for (key, value) in keys.as_object().unwrap() {
        route[key] = value.clone();
    }
    route
}

/// Who answered, with which status.
fn asked(browser: &mut Browser, host: &str, path: &str) -> (u16, String) {
    browser.says(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let answer = browser.answer();
    (answer.status(), answer.get("x-from"))
}

#[test]
fn each_request_finds_its_route_on_one_connection() {
    let (shop, api, blog) = (Web::named("shop"), Web::named("api"), Web::named("blog"));
    let (place, listen) = (Place::new(), free_address());
    let proxy = place.start(&[]);
    proxy.apply(
        "shop",
        1,
        &json!([
            with(listen, &shop, &json!({"hosts": ["shop.example"]})),
            with(listen, &api, &json!({"hosts": ["shop.example"], "path": "/api", "strip_path": true})),
        ]),
    );
    let mut browser = Browser::to(listen);
    assert_eq!(asked(&mut browser, "blog.example", "/"), (421, String::new()));
    proxy.apply("blog", 1, &json!([with(listen, &blog, &json!({"hosts": ["*.example"], "path": "/posts"}))]));
    for (host, path, status, from) in [
        ("shop.example", "/", 200, "shop"),
        ("SHOP.example:8080", "/apis", 200, "shop"),
        ("shop.example", "/api", 200, "api"),
        ("shop.example", "/api/x?y", 200, "api"),
        ("blog.example", "/posts/1", 200, "blog"),
        ("blog.example", "/", 404, ""),
        ("example", "/", 421, ""),
        ("shop.example", "/", 200, "shop"),
    ] {
        assert_eq!(asked(&mut browser, host, path), (status, from.to_owned()), "{host}{path}");
    }
    let seen: Vec<String> = api.seen.lock().unwrap().iter().map(|asked| asked.first.clone()).collect();
    assert_eq!(seen, ["GET / HTTP/1.1", "GET /x?y HTTP/1.1"]);
    assert_eq!((api.last().get("x-forwarded-prefix"), api.last().get("host")), ("/api".into(), "shop.example".into()));
    browser.says("GET http://shop.example?q HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Prefix: /out/\r\n\r\n");
    assert_eq!(browser.answer().status(), 200);
    assert_eq!(
        (shop.last().first.as_str(), shop.last().get("x-forwarded-prefix")),
        ("GET /?q HTTP/1.1", "/out/".into())
    );
    browser.says("GET /api HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Prefix: /out/\r\n\r\n");
    assert_eq!(browser.answer().status(), 200);
    assert_eq!(api.last().get("x-forwarded-prefix"), "/out/api");
    // Of a request with a body that nobody gets, the rest is no request.
    browser.says("POST / HTTP/1.1\r\nHost: no.where\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(browser.answer().status(), 421);
    assert_eq!(asked(&mut browser, "shop.example", "/"), (200, "shop".to_owned()));

    let status = proxy.status();
    let counts = |repository: &str| {
        let routes = status["routes"].as_array().unwrap().iter().filter(|route| route["repository"] == repository);
        let told = routes.map(|route| json!([route["hosts"], route["path"], route["requests"], route["taken"]]));
        told.collect::<Vec<_>>()
    };
    assert_eq!(counts("blog"), [json!([["*.example"], "/posts", 1, 1])]);
    assert_eq!(counts("shop"), [json!([["shop.example"], null, 5, 1]), json!([["shop.example"], "/api", 3, 1])]);

    // One repository goes, and the listener stays for the other one; a place that is taken is refused.
    let taken =
        proxy.ask(&crate::support::apply("shed", 1, &json!([with(listen, &api, &json!({"hosts": ["shop.example"]}))])));
    assert_eq!(taken["code"], "mistaken", "{taken}");
    proxy.apply("shop", 2, &json!([]));
    assert_eq!(asked(&mut browser, "shop.example", "/posts"), (200, "blog".to_owned()));
    proxy.apply("blog", 2, &json!([]));
    until("it is not listened on", || std::net::TcpStream::connect(listen).is_err());
}

#[test]
fn a_request_that_waits_goes_by_the_routes_of_the_moment() {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let (place, listen) = (Place::new(), free_address());
    let mut proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([http(listen, "red", 1, free_address())]));
    let mut browser = Browser::to(listen);
    browser.says("GET /b/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    proxy.says("a container does not take connections");
    let routes = json!([
        with(listen, &red, &json!({"hosts": ["a.example"]})),
        with(listen, &blue, &json!({"hosts": ["b.example"], "path": "/b"})),
    ]);
    proxy.apply("shop", 2, &routes);
    assert_eq!(browser.answer().text(), "blue /b/x 0");
}

#[test]
fn who_is_trusted_is_believed() {
    let red = Web::named("red");
    let place = Place::new();
    let port = free_address().port();
    let listen: SocketAddr = ([0, 0, 0, 0], port).into();
    let proxy = place.start(&[]);
    for (generation, trusted, expected) in
        [(1, json!(["10.0.0.0/8", "127.0.0.0/8"]), "10.0.0.9, 127.0.0.1"), (2, json!(["10.0.0.0/8"]), "127.0.0.1")]
    {
        proxy.apply("shop", generation, &json!([with(listen, &red, &json!({"trusted": trusted}))]));
        let mut browser = Browser::to(([127, 0, 0, 1], port).into());
        browser.says("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: https\r\n\r\n");
        browser.answer();
        assert_eq!(red.last().get("x-forwarded-for"), expected);
        assert_eq!(red.last().get("x-forwarded-proto"), if generation == 1 { "https" } else { "http" });
    }
}
