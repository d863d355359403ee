//! Two colours at a time: a share of the clients, chosen ones, copies, files of the other one, and what is counted.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
};

use serde_json::{Value, json};
use turnout_traffic::{beyond::Digest, choose::stay_cookie};

use crate::{
    support::{Container, Place, Proxy, free_address, until},
    web::{Browser, Message, Web, before, http, message, scripted},
};

/// A route to red, of generation 1, and blue, of generation 2, with these weights and further keys.
fn split(listen: SocketAddr, weights: [u64; 2], targets: [SocketAddr; 2], keys: &Value) -> Value {
    let mut route = http(listen, "red", 1, targets[0]);
    route["colours"] = json!([
        {"name": "red", "generation": 1, "weight": weights[0], "targets": [targets[0]]},
        {"name": "blue", "generation": 2, "weight": weights[1], "targets": [targets[1]]},
    ]);
    for (key, value) in keys.as_object().unwrap() {
        route[key] = value.clone();
    }
    route
}

/// A proxy with such a route, in generation 2.
fn between(red: SocketAddr, blue: SocketAddr, weights: [u64; 2], keys: &Value) -> (Place, Proxy, SocketAddr) {
    let (place, listen) = (Place::new(), free_address());
    let proxy = place.start(&[]);
    proxy.apply("shop", 2, &json!([split(listen, weights, [red, blue], keys)]));
    (place, proxy, listen)
}

/// One request with these header lines.
fn asked(browser: &mut Browser, first: &str, lines: &str) -> Message {
    browser.says(&format!("{first} HTTP/1.1\r\nHost: shop\r\n{lines}\r\n"));
    message(&mut browser.from, first.starts_with("HEAD")).unwrap()
}

/// What is counted of a colour of the only route.
fn counted(proxy: &Proxy, colour: usize) -> Value {
    let told = proxy.ask(&json!({"version": 1, "request": "counters", "repository": "shop"}));
    assert_eq!(told["answer"], "counters", "{told}");
    told["routes"][0]["colours"][colour]["http"].clone()
}

/// Answers everything with this.
fn saying(answer: &'static str) -> Container {
    scripted(move |from, to| {
        while message(from, false).is_ok() {
            to.write_all(answer.as_bytes())?;
        }
        Ok(())
    })
}

#[test]
fn a_cookie_keeps_each_client_at_its_colour_while_the_weight_rises() {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let targets = [red.address(), blue.address()];
    let keys = json!({"sticky": "cookie"});
    let (_place, proxy, listen) = between(targets[0], targets[1], [50, 50], &keys);
    let own = stay_cookie("shop");
    // All on one connection: a client is who its cookie says, not where it comes from.
    let mut browser = Browser::to(listen);
    let mut clients: Vec<(String, String)> = (0..60)
        .map(|_| {
            let answer = asked(&mut browser, "GET /", "");
            let cookie = answer.get("set-cookie");
            let value = cookie.strip_suffix("; Path=/; HttpOnly; SameSite=Lax").unwrap_or_else(|| panic!("{cookie}"));
            assert!(value.starts_with(&format!("{own}={}.", answer.get("x-from"))), "{value}");
            (value.to_owned(), answer.get("x-from"))
        })
        .collect();
    let at_blue = |clients: &[(String, String)]| clients.iter().filter(|(_, colour)| colour == "blue").count();
    let first = at_blue(&clients);
    assert!((10..50).contains(&first), "{first} of 60 at a half");
    for (cookie, colour) in &clients {
        let answer = asked(&mut browser, "GET /", &format!("Cookie: a=b; {cookie}; c=d\r\n"));
        assert_eq!((&answer.get("x-from"), answer.get("set-cookie").as_str()), (colour, ""), "{cookie}");
        let web = if colour == "red" { &red } else { &blue };
        assert_eq!(web.last().get("cookie"), "a=b; c=d", "the container sees its own ones");
    }
    asked(&mut browser, "GET /", &format!("Cookie: {}\r\n", clients[0].0));
    let web = if clients[0].1 == "red" { &red } else { &blue };
    assert_eq!(web.last().get("cookie"), "");
    // A step of the canary, and its end.
    for (revision, weights) in [(1, [20, 80]), (2, [0, 100])] {
        let wanted = json!([split(listen, weights, targets, &keys)]);
        let answer = proxy.ask(&json!({"version": 1, "request": "apply", "repository": "shop", "generation": 2,
            "revision": revision, "routes": wanted}));
        assert_eq!(answer["answer"], "applied", "{answer}");
        let before = at_blue(&clients);
        for (cookie, colour) in &mut clients {
            let answer = asked(&mut browser, "GET /", &format!("Cookie: {cookie}\r\n"));
            let (now, told) = (answer.get("x-from"), answer.get("set-cookie"));
            assert!(now == "blue" || *colour == "red", "{cookie} went back");
            assert_eq!(told.is_empty(), now == *colour || revision == 2, "{cookie}: {told}");
            if let Some((value, _)) = told.split_once(';') {
                value.clone_into(cookie);
            }
            *colour = now;
        }
        assert!(at_blue(&clients) > before, "{weights:?}");
    }
    assert_eq!(at_blue(&clients), 60);
}

#[test]
fn no_cookie_goes_into_a_cache_of_all() {
    let cached = saying("HTTP/1.1 200 OK\r\nCache-Control: Max-Age=60\r\nContent-Length: 0\r\n\r\n");
    let private = saying("HTTP/1.1 200 OK\r\nCache-Control: private, max-age=60\r\nContent-Length: 0\r\n\r\n");
    let (_place, _proxy, listen) = between(cached.address, private.address, [50, 50], &json!({"sticky": "cookie"}));
    let mut browser = Browser::to(listen);
    let answers: Vec<Message> = (0..40).map(|_| asked(&mut browser, "GET /", "")).collect();
    let told = |answer: &&Message| !answer.get("set-cookie").is_empty();
    let private = answers.iter().filter(|answer| answer.get("cache-control").starts_with("private"));
    assert!(private.clone().count() > 0 && private.clone().all(|answer| told(&answer)));
    assert_eq!(answers.iter().filter(told).count(), private.count());
}

#[test]
fn pins_and_previews_reach_the_next_colour_and_nobody_else_does() {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let keys = json!({
        "pins": [
            {"header": "X-Canary", "value": "1", "colour": "blue"},
            {"cookie": "tester", "value": "yes", "colour": "blue"},
        ],
        "preview": {"colour": "blue", "sha256": Digest::of(b"open-sesame")},
    });
    let (_place, proxy, listen) = between(red.address(), blue.address(), [100, 0], &keys);
    let mut browser = Browser::to(listen);
    for (lines, colour) in [
        ("", "red"),
        ("X-Canary: 1\r\n", "blue"),
        ("X-Canary: 2\r\n", "red"),
        ("Cookie: tester=yes\r\n", "blue"),
        ("Cookie: tester=no\r\n", "red"),
        ("Cookie: turnout-preview=open-sesame; a=b\r\n", "blue"),
        ("Cookie: turnout-preview=Open-sesame; a=b\r\n", "red"),
    ] {
        let answer = asked(&mut browser, "GET /", lines);
        assert_eq!((answer.get("x-from").as_str(), answer.get("set-cookie").as_str()), (colour, ""), "{lines}");
    }
    let seen = [&red, &blue].map(|web| web.seen.lock().unwrap().clone()).concat();
    assert!(seen.iter().all(|asked| !asked.get("cookie").contains("sesame")), "a secret is no container's");
    assert!(!format!("{}", proxy.status()).contains("sesame"));
    // By a host of its own: another route, whose only colour is the next one.
    let mut preview = http(listen, "blue", 2, blue.address());
    preview["hosts"] = json!(["next.shop.example"]);
    let main = split(listen, [100, 0], [red.address(), blue.address()], &json!({}));
    proxy.apply("shop", 3, &json!([main, preview]));
    for (host, colour) in [("next.shop.example", "blue"), ("shop.example", "red")] {
        browser.says(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(browser.answer().get("x-from"), colour);
    }
}

#[test]
fn copies_are_sent_and_nobody_gets_their_answers() {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let keys = json!({"mirror": {"colour": "blue", "percent": 100}});
    let (_place, proxy, listen) = between(red.address(), blue.address(), [100, 0], &keys);
    let mut browser = Browser::to(listen);
    for first in ["GET /a?b", "HEAD /c"] {
        assert_eq!(asked(&mut browser, first, "Cookie: a=b\r\n").get("x-from"), "red");
    }
    assert_eq!(browser.try_post("/post", "hello").unwrap().get("x-from"), "red");
    until("both copies are answered", || counted(&proxy, 1)["mirrored"]["answers"] == json!([0, 2, 0, 0, 0]));
    let mut copies: Vec<Message> = blue.seen.lock().unwrap().clone();
    copies.sort_by(|one, other| one.first.cmp(&other.first));
    let told: Vec<_> = copies
        .iter()
        .map(|copy| (copy.first.as_str(), copy.get("x-turnout-mirror"), copy.get("cookie"), copy.get("connection")))
        .collect();
    let expected = |first| (first, "1".to_owned(), "a=b".to_owned(), "close".to_owned());
    assert_eq!(told, [expected("GET /a?b HTTP/1.1"), expected("HEAD /c HTTP/1.1")]);
    let originals = red.seen.lock().unwrap().clone();
    assert!(originals.iter().all(|asked| asked.get("x-turnout-mirror").is_empty()));
    assert_eq!(originals[0].get("x-request-id"), copies[0].get("x-request-id"), "one log line finds the other");
    let (of_red, of_blue) = (counted(&proxy, 0), counted(&proxy, 1));
    assert_eq!((&of_red["requests"], &of_blue["requests"]), (&json!(3), &json!(0)));
    assert_eq!(of_red.get("mirrored"), None);
    until("nothing is open to it", || proxy.status()["routes"][0]["colours"][1]["open"] == 0);
}

#[test]
fn copies_that_are_not_answered_keep_nobody_waiting_and_are_bounded() {
    let red = Web::named("red");
    let silent = scripted(|from, _| from.read_to_end(&mut Vec::new()).map(drop));
    let keys = json!({"mirror": {"colour": "blue", "percent": 100}});
    let (_place, proxy, listen) = between(red.address(), silent.address, [100, 0], &keys);
    let mut browser = Browser::to(listen);
    browser.says(&"GET / HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(40));
    for _ in 0..40 {
        assert_eq!(browser.answer().get("x-from"), "red");
    }
    let mirrored = counted(&proxy, 1)["mirrored"].clone();
    let told = ["requests", "failed", "dropped"].map(|key| mirrored[key].as_u64().unwrap());
    assert_eq!(told, [32, 0, 8], "{mirrored}");
    assert_eq!(proxy.status()["routes"][0]["colours"][1]["open"], 32);
    until("they are given up", || counted(&proxy, 1)["mirrored"]["failed"] == 32);
    until("nothing is open to it", || proxy.status()["routes"][0]["colours"][1]["open"] == 0);
}

#[test]
fn what_one_colour_does_not_have_is_asked_of_the_other() {
    // The new one has no file of the old one, and the old one no file but its own.
    let has = |name: &'static str, own: &'static str| {
        scripted(move |from, to| {
            while let Ok(asked) = message(from, false) {
                let mut words = asked.first.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let (status, said) = if path.contains(own) { (200, "file") } else { (404, "none") };
                let body = if method == "HEAD" { "" } else { said };
                write!(to, "HTTP/1.1 {status} X\r\nContent-Length: 4\r\nX-From: {name}\r\n\r\n{body}")?;
            }
            Ok(())
        })
    };
    let (red, blue) = (has("red", "old"), has("blue", "new"));
    let keys = json!({"fallback": {"colour": "red", "paths": ["/assets"]}});
    let (_place, proxy, listen) = between(red.address, blue.address, [0, 100], &keys);
    let mut browser = Browser::to(listen);
    for (first, status, colour) in [
        ("GET /assets/old.js?v=1", 200, "red"),
        ("HEAD /assets/old.js", 200, "red"),
        ("GET /assets/new.js", 200, "blue"),
        ("GET /assets/none.js", 404, "blue"),
        ("GET /old", 404, "blue"),
        ("POST /assets/old.js", 404, "blue"),
        ("GET /assets/old.js", 200, "red"),
    ] {
        let answer = asked(&mut browser, first, "");
        assert_eq!((answer.status(), answer.get("x-from").as_str()), (status, colour), "{first}");
        let body = if first.starts_with("HEAD") { "" } else { ["none", "file"][usize::from(status == 200)] };
        assert_eq!(answer.text(), body, "{first}");
    }
    let told = proxy.ask(&json!({"version": 1, "request": "counters", "repository": "shop"}));
    let route = &told["routes"][0];
    assert_eq!((&route["fallback_asked"], &route["fallback_served"]), (&json!(4), &json!(3)), "{route}");
    // Where nobody is, the first answer counts.
    proxy.apply("shop", 3, &json!([split(listen, [0, 100], [free_address(), blue.address], &keys)]));
    let answer = asked(&mut browser, "GET /assets/old.js", "");
    assert_eq!((answer.status(), answer.text()), (404, "none".to_owned()));
}

#[test]
fn health_is_answered_while_a_repository_is_maintained() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &[]);
    let mut route = http(listen, "red", 1, red.address());
    route["health"] = json!(["/up"]);
    proxy.apply("shop", 2, &json!([route]));
    let on = json!({"version": 1, "request": "maintain", "repository": "shop", "on": true});
    assert_eq!(proxy.ask(&on)["answer"], "done");
    let mut browser = Browser::to(listen);
    for (path, status) in [("/up", 200), ("/up?x", 200), ("/", 503), ("/up/x", 503), ("/upper", 503)] {
        assert_eq!(browser.get(path).status(), status, "{path}");
    }
}

#[test]
fn what_a_colour_fails_is_counted_as_its_own() {
    let broken = scripted(|from, to| {
        let asked = message(from, false)?;
        if asked.first.contains("/half") {
            to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
        }
        Ok(())
    });
    let keys = json!({"pins": [{"header": "X-To", "value": "blue", "colour": "blue"}]});
    let (_place, proxy, listen) = between(free_address(), broken.address, [100, 0], &keys);
    let mut browser = Browser::to(listen);
    browser.says("POST / HTTP/1.1\r\nHost: a\r\nX-To: blue\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(browser.answer().status(), 502);
    browser.says("GET /half HTTP/1.1\r\nHost: a\r\nX-To: blue\r\n\r\n");
    assert!(message(&mut browser.from, false).is_err(), "half an answer is none");
    assert_eq!(Browser::to(listen).get("/").status(), 503);
    let failures = |colour| counted(&proxy, colour)["failures"].clone();
    assert_eq!(failures(0), json!({"bad_gateway": 0, "unavailable": 1, "timeout": 0, "broken_off": 0}));
    until("it is counted", || {
        failures(1) == json!({"bad_gateway": 1, "unavailable": 0, "timeout": 0, "broken_off": 1})
    });
}
