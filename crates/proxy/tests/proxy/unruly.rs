//! Containers that do what no container should, and a crowd that says nothing: each costs its own request at most.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    support::{Container, PATIENCE, Place, free_address, until},
    web::{Browser, Web, before, head, http, scripted},
};

/// More than what lies in all the buffers on the way.
const MUCH: usize = 64 << 20;
/// Clients that are there and say nothing.
const CROWD: usize = 10_000;

#[test]
fn one_that_never_reads_the_body_is_given_up_and_nobody_else_waits() {
    let deaf = scripted(|from, _| {
        head(from)?;
        // Until the other side has had enough.
        std::thread::park_timeout(PATIENCE);
        Ok(())
    });
    let red = Web::named("red");
    let (place, listen, other) = (Place::new(), free_address(), free_address());
    let proxy = place.start(&["--answer-timeout", "1"]);
    proxy.apply("deaf", 1, &json!([http(listen, "red", 1, deaf.address)]));
    proxy.apply("shop", 1, &json!([http(other, "red", 1, red.address())]));
    let mut browser = Browser::to(listen);
    browser.says(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n"));
    let mut sender = browser.to.try_clone().unwrap();
    let sends = std::thread::spawn(move || {
        let piece = vec![b'x'; 64 << 10];
        // It ends early, and the rest finds nobody.
        (0..MUCH / piece.len()).all(|_| sender.write_all(&piece).is_ok())
    });
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(Browser::to(other).get("/").status(), 200);
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert_eq!(browser.answer().status(), 504);
    assert!(!sends.join().unwrap(), "all of it was taken");
}

#[test]
fn an_answer_whose_head_never_ends_is_a_502() {
    let endless = scripted(|from, to| {
        head(from)?;
        to.write_all(b"HTTP/1.1 200 OK\r\n")?;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            to.write_all(b"X-More: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")?;
        }
        Ok(())
    });
    let (_place, proxy, listen) = before(endless.address, &[]);
    let since = Instant::now();
    assert_eq!(Browser::to(listen).get("/").status(), 502);
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    until("nothing of it is left", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn an_answer_in_the_middle_of_the_request_is_passed_on_and_the_connection_ends() {
    let early = scripted(|from, to| {
        head(from)?;
        let mut begun = [0; 1000];
        from.read_exact(&mut begun)?;
        to.write_all(b"HTTP/1.1 413 Too much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")?;
        to.shutdown(Shutdown::Write)?;
        std::io::copy(from, &mut std::io::sink()).map(drop)
    });
    let (_place, _proxy, listen) = before(early.address, &[]);
    let mut browser = Browser::to(listen);
    browser.says(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(2000)));
    let answer = browser.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "much"));
    // What is left of the body is nobody's request.
    let _ = browser.to.write_all(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut rest = Vec::new();
    let _ = browser.from.read_to_end(&mut rest);
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[test]
fn one_that_takes_connections_and_answers_none_costs_its_requests_alone() {
    let dies = Container::of((crate::support::own_ip(), 0).into(), drop);
    let (_place, proxy, listen) = before(dies.address, &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 502);
    // A request that changes something is sent once, and its client learns that nobody knows what became of it.
    assert_eq!(Browser::to(listen).try_post("/", "x").unwrap().status(), 502);
    let red = Web::named("red");
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, red.address())]));
    assert_eq!(browser.get("/").status(), 200, "on the same connection");
}

#[test]
fn ten_thousand_that_say_nothing_hold_nobody_up() {
    // The proxy keeps two descriptors ready for each connection, and some for itself.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let crowd = usize::try_from(most.saturating_sub(2_300) / 2).unwrap_or(usize::MAX).min(CROWD);
    println!("{crowd} of {CROWD}: the limit of open files is {most}");
    let red = Web::named("red");
    let room = (CROWD + 100).to_string();
    let arguments = ["--max-connections", &room, "--max-connections-per-route", &room];
    let (_place, proxy, listen) = before(red.address(), &arguments);
    let silent: Vec<TcpStream> = (0..crowd).map(|_| TcpStream::connect(listen).unwrap()).collect();
    until("all are in", || proxy.status()["connections"] == crowd);
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(Browser::to(listen).get("/").status(), 200);
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    // A switch is theirs too: the first that says something gets the new colour.
    let blue = Web::named("blue");
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    let mut first = silent.into_iter().next().unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    first.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("blue / 0"), "{said}");
}
