//! Which container a request gets, what is sent twice, and what a request waits for.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    support::{Container, Place, free_address, until},
    web::{Browser, Web, before, body, head, http, message, scripted},
};

#[test]
fn a_request_is_in_flight_until_its_answer_has_ended() {
    let streams = scripted(|from, to| {
        message(from, false)?;
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")?;
        // Ends when somebody else says so.
        message(from, false).map(drop).or(Ok(()))
    });
    let (red, blue) = (streams, Web::named("blue"));
    let (_place, proxy, listen) = before(red.address, &[]);
    let mut browser = Browser::to(listen);
    browser.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut said = [0; 3];
    head(&mut browser.from).unwrap();
    browser.from.read_exact(&mut said).unwrap();
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    assert_eq!(Browser::to(listen).get("/").get("x-from"), "blue");
    let leaving = proxy.status()["leaving"][0].clone();
    assert_eq!((&leaving["name"], &leaving["open"]), (&json!("red"), &json!(1)));
    // A client that goes away takes its request with it.
    drop(browser);
    until("red has ended", || proxy.status()["leaving"] == json!([]));
}

#[test]
fn the_container_with_the_fewest_requests_gets_the_next() {
    let (one, two) = (Web::named("one"), Web::named("two"));
    let (_place, proxy, listen) = before(one.address(), &[]);
    let mut route = http(listen, "red", 1, one.address());
    route["colours"][0]["targets"].as_array_mut().unwrap().push(json!(two.address()));
    proxy.apply("shop", 2, &json!([route]));
    let names: Vec<_> = (0..2).map(|_| thread::spawn(move || Browser::to(listen).get("/slow").get("x-from"))).collect();
    let mut names: Vec<String> = names.into_iter().map(|name| name.join().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
}

/// A container that reads a request and leaves without a word, and one beside it that answers: what a client gets, and how
/// often the first one was asked.
fn left_alone(text: &str) -> (u16, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let leaves = scripted(move |from, to| {
        let mut asked = head(from)?;
        body(from, &mut asked, false)?;
        counted.fetch_add(1, Relaxed);
        to.shutdown(Shutdown::Both)
    });
    let good = Web::named("good");
    let (_place, proxy, listen) = before(leaves.address, &[]);
    let mut route = http(listen, "red", 1, leaves.address);
    route["colours"][0]["targets"].as_array_mut().unwrap().push(json!(good.address()));
    proxy.apply("shop", 2, &json!([route]));
    let mut browser = Browser::to(listen);
    browser.says(text);
    let answer = message(&mut browser.from, text.starts_with("HEAD")).unwrap();
    (answer.status(), asked.load(Relaxed))
}

#[test]
fn only_what_changes_nothing_is_sent_twice() {
    for (text, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 502),
    ] {
        assert_eq!(left_alone(text), (expected, 1), "{text}");
    }
}

#[test]
fn no_request_is_sent_twice_after_a_byte_of_an_answer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let half = scripted(move |from, to| {
        message(from, false)?;
        counted.fetch_add(1, Relaxed);
        to.write_all(b"HTTP/1.1 2")
    });
    let (_place, _proxy, listen) = before(half.address, &[]);
    assert_eq!(Browser::to(listen).get("/").status(), 502);
    assert_eq!(asked.load(Relaxed), 1);
}

#[test]
fn a_request_that_changes_something_is_sent_to_another_where_one_takes_no_connections() {
    let good = Web::named("good");
    let (place, listen) = (Place::new(), free_address());
    let proxy = place.start(&[]);
    let mut route = http(listen, "red", 1, free_address());
    route["colours"][0]["targets"].as_array_mut().unwrap().push(json!(good.address()));
    proxy.apply("shop", 1, &json!([route]));
    for _ in 0..4 {
        assert_eq!(Browser::to(listen).try_post("/", "hello").unwrap().text(), "good / 5");
    }
}

#[test]
fn a_request_that_changes_something_meets_no_old_connection_and_does_not_wait_for_one() {
    // Closes each connection after its first answer, without saying so beforehand.
    let (send, closed) = std::sync::mpsc::channel();
    let closes = scripted(move |from, to| {
        let asked = message(from, false)?;
        write!(to, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", asked.body.len())?;
        to.shutdown(Shutdown::Both)?;
        let _ = send.send(());
        Ok(())
    });
    let (_place, proxy, listen) = before(closes.address, &[]);
    let mut browser = Browser::to(listen);
    for _ in 0..50 {
        assert_eq!(browser.try_post("/", "hello").unwrap().text(), "5");
        closed.recv_timeout(crate::support::PATIENCE).unwrap();
    }
    assert_eq!(proxy.status()["routes"][0]["failed"], 0);
}

#[test]
fn a_request_waits_for_a_container_that_comes_back_with_its_body() {
    let (listen, target, place) = (free_address(), free_address(), Place::new());
    let mut proxy = place.start(&[]);
    proxy.apply("shop", 1, &json!([http(listen, "red", 1, target)]));
    let mut browser = Browser::to(listen);
    browser.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    proxy.says("a container does not take connections");
    assert_eq!(proxy.status()["routes"][0]["waiting"], 1);
    let _container = Container::of(target, |mut stream| {
        let asked = message(&mut std::io::BufReader::new(stream.try_clone().unwrap()), false).unwrap();
        assert_eq!(asked.body, b"hello");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    assert_eq!(browser.answer().status(), 204);
    assert_eq!(proxy.status()["routes"][0]["waiting"], 0);
}

#[test]
fn without_a_container_it_is_a_503_that_says_when_to_ask_again() {
    let (_place, proxy, listen) = before(free_address(), &[]);
    let since = Instant::now();
    let mut browser = Browser::to(listen);
    let answer = browser.get("/");
    assert_eq!((answer.status(), answer.get("retry-after")), (503, "1".to_owned()));
    assert!(since.elapsed() > Duration::from_secs(4), "{:?}", since.elapsed());
    // The connection goes on.
    let red = Web::named("red");
    proxy.apply("shop", 2, &json!([http(listen, "red", 2, red.address())]));
    assert_eq!(browser.get("/").status(), 200);
}

/// A container at an address that other machines could have: where this one has none, at its own.
fn web_on_a_network() -> Web {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket.connect("10.255.77.3:9").and_then(|()| socket.local_addr());
    Web::named_at("red", own.map_or(Ipv4Addr::LOCALHOST.into(), |own| own.ip()))
}

#[test]
fn nothing_is_sent_to_a_network_that_is_not_on_this_machine() {
    // What a removed bridge had: the default route would lead there, and somebody else might answer.
    let (_place, proxy, listen) = before("10.255.77.3:8000".parse().unwrap(), &[]);
    let since = Instant::now();
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 503);
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    // An address of this machine's own networks is served, and one that is lost is passed over.
    let red = web_on_a_network();
    let mut route = http(listen, "red", 2, red.address());
    route["colours"][0]["targets"].as_array_mut().unwrap().push(json!("10.255.77.3:8000"));
    proxy.apply("shop", 2, &json!([route]));
    for _ in 0..4 {
        assert_eq!(browser.get("/").status(), 200);
    }
}

#[test]
fn who_waits_goes_to_the_new_colour() {
    let (_place, mut proxy, listen) = before(free_address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.says("a container does not take connections");
    let blue = Web::named("blue");
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    assert_eq!(browser.answer().text(), "blue /x 0");
}
