//! Time-outs and bounds of each stage: who is slow, or says nothing, ends; and holds nobody else up.

use std::{
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    support::until,
    web::{Browser, Web, before, head, message, scripted},
};

/// That it took so many seconds, on a busy machine.
fn took(since: Instant, seconds: u64) {
    let elapsed = since.elapsed();
    assert!((seconds..seconds + 10).contains(&elapsed.as_secs()), "{elapsed:?}, not {seconds} s");
}

/// Says a byte now and then, until nobody takes it.
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn trickle(mut browser: Browser, text: &'static str) {
    thread::spawn(move || {
        for byte in text.bytes().cycle() {
            if browser.to.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn a_head_that_trickles_is_not_waited_for() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &["--head-timeout", "1"]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 200);
    let since = Instant::now();
    let writer =
        Browser { from: std::io::BufReader::new(browser.to.try_clone().unwrap()), to: browser.to.try_clone().unwrap() };
    trickle(writer, "GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
    assert_eq!(browser.answer().status(), 408);
    assert!(browser.ended());
    took(since, 1);
    assert_eq!(red.requests(), 1);
}

#[test]
fn a_crowd_of_slow_clients_holds_nobody_up() {
    let red = Web::named("red");
    let arguments = ["--head-timeout", "2", "--max-connections-per-route", "64"];
    let (_place, proxy, listen) = before(red.address(), &arguments);
    // More than there are places.
    for _ in 0..80 {
        trickle(Browser::to(listen), "GET / HTTP/1.1\r\nX-A: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
    }
    until("the places are taken", || proxy.status()["connections"] == 64);
    let since = Instant::now();
    assert_eq!(Browser::to(listen).get("/").status(), 200);
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    // Fewer than there are places, and it is as if they were not there.
    until("they are gone", || proxy.status()["connections"].as_u64().unwrap() < 64);
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(Browser::to(listen).get("/").status(), 200);
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn a_connection_without_a_request_is_closed_and_one_with_a_slow_answer_is_not() {
    let slow = scripted(|from, to| {
        while message(from, false).is_ok() {
            thread::park_timeout(Duration::from_secs(3));
            to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let (_place, _proxy, listen) = before(slow.address, &["--keep-alive", "1"]);
    let since = Instant::now();
    let mut silent = Browser::to(listen);
    assert!(silent.ended());
    took(since, 1);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 200);
    // Said at once: the second one waits for the first one's answer, and then for its own.
    browser.says("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!([browser.answer().status(), browser.answer().status()], [200, 200]);
    let since = Instant::now();
    assert!(browser.ended());
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
}

#[test]
fn a_body_that_stops_is_given_up() {
    let waits = scripted(|from, _| message(from, false).map(drop));
    let (_place, proxy, listen) = before(waits.address, &["--body-timeout", "1"]);
    for text in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"] {
        let mut browser = Browser::to(listen);
        let since = Instant::now();
        browser.says(&format!("POST / HTTP/1.1\r\nHost: a\r\n{text}"));
        assert_eq!(browser.answer().status(), 408);
        assert!(browser.ended());
        took(since, 1);
    }
    until("nothing is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn a_container_that_does_not_answer_is_a_504() {
    let silent = scripted(|from, _| {
        message(from, false)?;
        // Until the proxy gives it up.
        from.read(&mut [0]).map(drop)
    });
    let (_place, proxy, listen) = before(silent.address, &["--answer-timeout", "1"]);
    let mut browser = Browser::to(listen);
    let since = Instant::now();
    assert_eq!(browser.get("/").status(), 504);
    took(since, 1);
    assert_eq!(proxy.status()["routes"][0]["colours"][0]["open"], 0);
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_its_container_is_not_read_without_end() {
    let (send, sent) = std::sync::mpsc::channel();
    let endless = scripted(move |from, to| {
        head(from)?;
        to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        let mut written = 0_usize;
        while to.write_all(&chunk).is_ok() {
            written += 0x10000;
        }
        let _ = send.send(written);
        Ok(())
    });
    let (_place, proxy, listen) = before(endless.address, &["--take-timeout", "1"]);
    let mut browser = Browser::to(listen);
    browser.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // What the buffers of four sockets take, and little more.
    let written = sent.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(written < 64 << 20, "{written}");
    until("nothing is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn silence_within_an_answer_ends_it_only_where_the_route_says_so() {
    let half = scripted(|from, to| {
        message(from, false)?;
        to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")?;
        from.read(&mut [0]).map(drop)
    });
    let (_place, proxy, listen) = before(half.address, &[]);
    let mut route = crate::web::http(listen, "red", 1, half.address);
    route["idle_seconds"] = json!(1);
    proxy.apply("shop", 2, &json!([route]));
    let since = Instant::now();
    assert!(Browser::to(listen).try_get("/").is_err());
    took(since, 1);
}

#[test]
fn the_end_of_the_proxy_loses_no_request() {
    let red = Web::named("red");
    let (_place, mut proxy, listen) = before(red.address(), &["--grace", "600"]);
    let mut idle = Browser::to(listen);
    assert_eq!(idle.get("/").status(), 200);
    let mut fresh = Browser::to(listen);
    until("it is taken", || proxy.status()["connections"] == 2);
    let mut busy = Browser::to(listen);
    busy.says("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("it is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 1);
    proxy.signal(rustix::process::Signal::TERM);
    proxy.says("takes no connections any more");
    // Requests that were on their way are answered, and told that they are the last.
    for browser in [&mut idle, &mut fresh] {
        let answer = browser.get("/last");
        assert_eq!((answer.status(), answer.get("connection")), (200, "close".to_owned()));
        assert!(browser.ended());
    }
    assert_eq!(busy.answer().text(), "red /slow 0");
    drop((idle, fresh));
    assert_eq!(proxy.ended().code(), Some(0));
}
