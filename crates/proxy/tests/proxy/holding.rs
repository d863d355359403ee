//! Requests that wait while their repository is held; the page of a maintained one; what is counted.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    support::{Client, Container, Place, Proxy, free_address, route, until},
    web::{Browser, Web, before, http, message, scripted},
};

fn ask(proxy: &Proxy, request: &str) -> Value {
    proxy.ask(&json!({"version": 1, "request": request, "repository": "shop"}))
}

fn done(changed: bool) -> Value {
    json!({"version": 1, "answer": "done", "changed": changed})
}

#[test]
fn requests_wait_while_the_only_instance_changes() {
    let target = free_address();
    let answers = |name: &'static str| {
        move |stream: std::net::TcpStream| {
            let mut from = std::io::BufReader::new(stream.try_clone().unwrap());
            while let Ok(asked) = message(&mut from, false) {
                let said = format!("{name} {}", asked.body.len());
                write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()).unwrap();
            }
        }
    };
    let old = Container::of(target, answers("old"));
    let (_place, proxy, listen) = before(target, &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").text(), "old 0");
    assert_eq!((ask(&proxy, "hold"), ask(&proxy, "hold")), (done(true), done(false)));
    assert_eq!(proxy.status()["held"], json!(["shop"]));
    let mut waiting: Vec<Browser> = (0..8).map(|_| Browser::to(listen)).collect();
    for browser in &mut waiting {
        browser.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    }
    until("they wait", || proxy.status()["routes"][0]["waiting"] == 8);
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["open"], 0);
    // The new one on the very address of the old one.
    drop(old);
    let mut new = None;
    until("the address is free", || {
        let free = std::net::TcpListener::bind(target).is_ok();
        if free {
            new = Some(Container::of(target, answers("new")));
        }
        free
    });
    // What changes meanwhile is no end of it.
    proxy.apply("shop", 2, &json!([http(listen, "red", 2, target)]));
    assert_eq!(proxy.status()["routes"][0]["waiting"], 8);
    assert_eq!((ask(&proxy, "resume"), ask(&proxy, "resume")), (done(true), done(false)));
    for browser in &mut waiting {
        assert_eq!(browser.answer().text(), "new 5");
    }
    assert_eq!(proxy.status()["routes"][0]["waiting"], 0);
    drop(new);
}

#[test]
fn connections_of_bytes_wait_too_and_open_ones_go_on() {
    let (red, blue) = (Container::named("red"), Container::named("blue"));
    let (listen, place) = (free_address(), Place::new());
    let proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([route(listen, "red", 1, red.address)]));
    let mut open = Client::to(listen);
    assert_eq!(open.line(), "red");
    ask(&proxy, "hold");
    let mut waits = Client::to(listen);
    until("it waits", || proxy.status()["routes"][0]["waiting"] == 1);
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["open"], 1, "who waits is open to nobody");
    assert_eq!(open.echo("and I"), "and I");
    proxy.apply("shop", 2, &json!([route(listen, "blue", 2, blue.address)]));
    assert_eq!(proxy.status()["routes"][0]["waiting"], 1);
    ask(&proxy, "resume");
    assert_eq!(waits.line(), "blue");
    assert_eq!(open.echo("still"), "still");
}

#[test]
fn who_waits_has_bounds() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &[]);
    ask(&proxy, "hold");
    let since = Instant::now();
    let mut first = Browser::to(listen);
    first.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Bodies count with what is read ahead of them: 32 MiB are some five hundred.
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nX: {}\r\n\r\n", "y".repeat(30_000));
    let mut crowd: Vec<Browser> = (0..360).map(|_| Browser::to(listen)).collect();
    for browser in &mut crowd {
        browser.says(&text);
    }
    until("as many wait as may", || {
        let route = &proxy.status()["routes"][0];
        route["waiting"].as_u64().unwrap() + route["answered_here"].as_u64().unwrap() == 361
    });
    let waiting = proxy.status()["routes"][0]["waiting"].as_u64().unwrap();
    assert!((300..360).contains(&waiting), "{waiting}");
    drop(crowd);
    let answer = first.answer();
    assert_eq!((answer.status(), answer.get("retry-after")), (504, "1".to_owned()));
    assert!((29..40).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    until("the others ended, too", || proxy.status()["routes"][0]["waiting"] == 0);
    assert_eq!(red.requests(), 0);
    ask(&proxy, "resume");
    assert_eq!(first.get("/").status(), 200);
}

#[test]
fn a_hold_is_kept_over_a_restart_and_concerns_its_repository_only() {
    let red = Web::named("red");
    let (place, proxy, listen) = before(red.address(), &[]);
    let other = free_address();
    proxy.apply("blog", 1, &json!([http(other, "red", 1, red.address())]));
    ask(&proxy, "hold");
    let serial = place.kept().serial;
    assert_eq!(Browser::to(other).get("/").status(), 200);
    let unknown = proxy.ask(&json!({"version": 1, "request": "hold", "repository": "shed"}));
    assert_eq!(unknown["code"], "mistaken", "{unknown}");
    // What is applied meanwhile leaves it as it is, and is no conflict.
    let routes = json!([http(listen, "red", 1, red.address())]);
    assert_eq!(proxy.ask(&crate::support::apply("shop", 1, &routes))["changed"], false);
    proxy.apply("shop", 2, &routes);
    proxy.kill();
    let proxy = place.start(&[]);
    assert_eq!(proxy.status()["held"], json!(["shop"]));
    let mut browser = Browser::to(listen);
    browser.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it waits", || {
        proxy.status()["routes"][0]["waiting"].as_u64().unwrap()
            + proxy.status()["routes"][1]["waiting"].as_u64().unwrap()
            == 1
    });
    assert_eq!(ask(&proxy, "resume"), done(true));
    assert_eq!(browser.answer().status(), 200);
    // Said twice, it is written once.
    let kept = place.kept();
    assert_eq!(ask(&proxy, "resume"), done(false));
    assert_eq!((kept.serial, place.kept().serial), (serial + 2, serial + 2));
    proxy.kill();
    let proxy = place.start(&[]);
    assert_eq!(proxy.status().get("held"), None);
    assert_eq!(Browser::to(listen).get("/").status(), 200);
}

#[test]
fn a_hold_that_cannot_be_kept_is_one_all_the_same_and_says_so() {
    let red = Web::named("red");
    let (place, proxy, listen) = before(red.address(), &[]);
    let state = place.state();
    std::fs::rename(&state, state.with_extension("away")).unwrap();
    let answer = ask(&proxy, "hold");
    assert_eq!(answer["code"], "not_durable", "{answer}");
    assert!(answer["message"].as_str().unwrap().starts_with("requests are held, but"), "{answer}");
    assert_eq!(proxy.status()["held"], json!(["shop"]));
    // The file says what is so again.
    assert_eq!(ask(&proxy, "resume"), done(true));
    assert_eq!(Browser::to(listen).get("/").status(), 200);
    std::fs::rename(state.with_extension("away"), &state).unwrap();
    assert_eq!(ask(&proxy, "hold"), done(true));
    assert!(place.kept().table.standing["shop"].held);
}

#[test]
fn tunnels_of_a_colour_that_left_have_so_much_time() {
    let echo = || {
        scripted(|from, to| {
            crate::web::head(from)?;
            to.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")?;
            std::io::copy(from, to).map(drop)
        })
    };
    let (red, blue) = (echo(), Web::named("blue"));
    let (_place, proxy, listen) = before(red.address, &[]);
    let open = || {
        let mut browser = Browser::to(listen);
        browser.says("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        assert_eq!(crate::web::head(&mut browser.from).unwrap().status(), 101);
        browser
    };
    let echoes = |browser: &mut Browser| {
        browser.says("a\r\n");
        let mut said = String::new();
        std::io::BufRead::read_line(&mut browser.from, &mut said).is_ok_and(|_| said == "a\r\n")
    };
    let routes = |colour: &str, generation: u64, target, drain: Option<u64>| {
        let mut route = http(listen, colour, generation, target);
        if let Some(drain) = drain {
            route["drain_seconds"] = json!(drain);
        }
        json!([route])
    };
    let mut tunnel = open();
    // Without a time it may stay; when its colour comes back, it is no longer in a hurry.
    proxy.apply("shop", 2, &routes("blue", 2, blue.address(), None));
    assert!(echoes(&mut tunnel));
    proxy.apply("shop", 3, &routes("blue", 2, blue.address(), Some(600)));
    assert!(echoes(&mut tunnel));
    assert_eq!(proxy.status()["leaving"][0]["tunnels"], 1);
    proxy.apply("shop", 4, &routes("red", 1, red.address, Some(1)));
    assert!(echoes(&mut tunnel));
    let since = Instant::now();
    proxy.apply("shop", 5, &routes("blue", 2, blue.address(), Some(1)));
    assert!(echoes(&mut tunnel));
    assert!(tunnel.from.read(&mut [0]).is_err(), "it is cut, and sees that this is no regular end");
    assert!((1..8).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    until("red has ended", || proxy.status()["leaving"] == json!([]));
    assert_eq!(Browser::to(listen).get("/").get("x-from"), "blue");
}

#[test]
fn a_maintained_repository_answers_with_its_page() {
    let red = Web::named("red");
    let (place, proxy, listen) = before(red.address(), &[]);
    let maintain = |on: bool, page: Option<&str>| {
        let mut request = json!({"version": 1, "request": "maintain", "repository": "shop", "on": on});
        if let Some(page) = page {
            request["page"] = json!(page);
        }
        proxy.ask(&request)
    };
    let mut browser = Browser::to(listen);
    assert_eq!(maintain(true, None), done(true));
    let answer = browser.get("/");
    assert_eq!((answer.status(), answer.get("retry-after")), (503, "60".to_owned()));
    assert_eq!(answer.text(), "503 Service Unavailable: this is under maintenance; try again later\n");
    assert_eq!(proxy.status()["maintained"], json!(["shop"]));
    assert_eq!((maintain(true, Some("<p>Soon")), maintain(true, Some("<p>Soon"))), (done(true), done(false)));
    let answer = browser.get("/");
    assert_eq!((answer.text(), answer.get("content-type")), ("<p>Soon".into(), "text/html; charset=utf-8".into()));
    browser.says("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = message(&mut browser.from, true).unwrap();
    assert_eq!((answer.status(), answer.get("content-length")), (503, "7".to_owned()));
    assert_eq!(red.requests(), 0);
    let kept = place.kept().table.standing["shop"].maintained.clone();
    assert_eq!(kept.and_then(|maintained| maintained.page).as_deref(), Some("<p>Soon"));
    assert_eq!(maintain(false, None), done(true));
    assert!(place.kept().table.standing.is_empty());
    assert_eq!(browser.get("/").status(), 200);
}

#[test]
fn answers_are_counted_by_route_and_colour() {
    let odd = scripted(|from, to| {
        while let Ok(asked) = message(from, false) {
            let status = asked.first.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            if status == "200" {
                std::thread::park_timeout(Duration::from_millis(60));
            }
            write!(to, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let (_place, proxy, listen) = before(odd.address, &[]);
    let mut browser = Browser::to(listen);
    for status in [200, 404, 204, 301, 500, 503] {
        assert_eq!(browser.get(&format!("/{status}")).status(), status);
    }
    browser.says("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(browser.answer().status(), 400);
    let route = proxy.status()["routes"][0].clone();
    let http = &route["colours"][0]["http"];
    assert_eq!((&http["requests"], &http["answers"]), (&json!(6), &json!([0, 2, 1, 1, 2])));
    let latency: Vec<u64> = http["latency"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!((latency.len(), latency.iter().sum::<u64>()), (15, 6));
    assert!(latency[6..].iter().sum::<u64>() >= 1, "{latency:?}");
    assert_eq!((&route["requests"], &route["answered_here"]), (&json!(6), &json!(1)));
}
