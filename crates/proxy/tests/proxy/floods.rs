//! Clients of HTTP/2 that cost more than they pay: what each of them comes to, that memory has bounds, and that others are served.

use std::{io::Read as _, net::SocketAddr, time::Duration};

use crate::{
    frames::{ACK, CONTINUATION, DATA, HEADERS, PING, RST_STREAM, Raw, SETTINGS, WHOLE, asks, block, frame, get},
    support::{Place, Proxy, until},
    web::{Browser, Web, before, scripted},
};

/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;
/// More than any of these may cost.
const MOST: u64 = 64 << 20;

const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn proxy(target: SocketAddr) -> (Place, Proxy, SocketAddr) {
    before(target, &["--keep-alive", "1", "--head-timeout", "2", "--body-timeout", "2", "--take-timeout", "2"])
}

fn serves(proxy: &Proxy, listen: SocketAddr, before: u64) {
    assert_eq!(Browser::to(listen).get("/").status(), 200);
    let grew = proxy.memory().saturating_sub(before);
    assert!(grew < MOST, "{grew} bytes more");
}

#[test]
fn requests_that_are_taken_back_end_the_connection() {
    let red = Web::named("red");
    let (_place, proxy, listen) = proxy(red.address());
    let before = proxy.memory();
    // At once: before they were looked at.
    let mut raw = Raw::to(listen);
    let streams = (0..5_000).map(|number| number * 2 + 1);
    let all: Vec<u8> = streams.flat_map(|id| [get(id, "/slow"), frame(RST_STREAM, 0, id, &CANCEL)].concat()).collect();
    raw.says(&all);
    let _ = raw.0.shutdown(std::net::Shutdown::Write);
    assert_eq!(raw.goes_away(), Some(CALM));
    // Each after it has reached its container.
    let mut raw = Raw::to(listen);
    let mut next = 1;
    let mut told = None;
    while told.is_none() && next < 5_000 {
        let ids: Vec<u32> = (0..50).map(|number| next + number * 2).collect();
        next += 100;
        raw.says(&ids.iter().flat_map(|id| get(*id, "/slow")).collect::<Vec<u8>>());
        raw.says(&frame(PING, 0, 0, &[0; 8]));
        loop {
            match raw.next() {
                Ok(frame) if frame.kind == PING && frame.flags == ACK => break,
                Ok(frame) if frame.kind == crate::frames::GOAWAY => told = Some(frame.error()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        raw.says(&ids.iter().flat_map(|id| frame(RST_STREAM, 0, *id, &CANCEL)).collect::<Vec<u8>>());
    }
    assert_eq!(told.or_else(|| raw.goes_away()), Some(CALM));
    assert!(next < 2_000, "{next}");
    until("none of them is under way", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
    serves(&proxy, listen, before);
}

#[test]
fn what_has_no_end_is_ended() {
    let red = Web::named("red");
    let (_place, proxy, listen) = proxy(red.address());
    let before = proxy.memory();
    // Lines without an end, small and large; and names that are said once and pointed at again and again.
    for piece in [&[][..], &block(&[("x", &"y".repeat(9_000))])] {
        let mut raw = Raw::to(listen);
        raw.says(&frame(HEADERS, 0, 1, &asks("/wrong", &[])));
        assert!(!raw.floods(&frame(CONTINUATION, 0, 1, piece), 200_000), "a block without an end was taken");
    }
    let mut raw = Raw::to(listen);
    let mut bomb = asks("/wrong", &[]);
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend(vec![b'y'; 4_000]);
    bomb.extend(vec![0x80 | 62; 12_000]);
    raw.says(&frame(HEADERS, crate::frames::END | WHOLE, 1, &bomb));
    assert_eq!(raw.goes_away(), Some(CALM));
    assert_eq!(red.requests(), 0);
    serves(&proxy, listen, before);
}

#[test]
fn whoever_asks_and_never_listens_is_left() {
    let red = Web::named("red");
    let (_place, proxy, listen) = proxy(red.address());
    let before = proxy.memory();
    for (what, said) in [("settings", frame(SETTINGS, 0, 0, &[])), ("pings", frame(PING, 0, 0, &[0; 8]))] {
        let mut raw = Raw::to(listen);
        // Each of them has to be answered, and no answer is taken.
        assert!(!raw.floods(&said.repeat(1_000), 5_000), "all {what} were taken");
        let grew = proxy.memory().saturating_sub(before);
        assert!(grew < MOST, "{what}: {grew} bytes more");
        // It is not waited for for ever.
        raw.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut sink = [0; 64 << 10];
        until("it is left", || raw.0.read(&mut sink).map_or(true, |length| length == 0));
    }
    serves(&proxy, listen, before);
}

#[test]
fn bodies_that_do_not_come_and_answers_that_are_not_taken_end() {
    let large = scripted(|from, to| {
        use std::io::Write as _;
        while crate::web::head(from).is_ok() {
            write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 4 << 20)?;
            to.write_all(&vec![b'x'; 4 << 20])?;
        }
        Ok(())
    });
    let (_place, proxy, listen) = proxy(large.address);
    let before = proxy.memory();
    // A window of nothing: what the containers say waits for ever.
    let mut raw = Raw::to(listen);
    raw.says(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    raw.says(&(0..100).flat_map(|number| get(number * 2 + 1, "/")).collect::<Vec<u8>>());
    for _ in 0..100 {
        raw.next_of(RST_STREAM);
    }
    let grew = proxy.memory().saturating_sub(before);
    assert!(grew < MOST, "{grew} bytes more");
    let red = Web::named("red");
    let listen_red = crate::support::free_address();
    proxy.apply("blog", 1, &serde_json::json!([crate::web::http(listen_red, "red", 1, red.address())]));
    // A body that does not come; the answer says so, and the connection goes on.
    let mut raw = Raw::to(listen_red);
    raw.says(&frame(HEADERS, WHOLE, 1, &asks("/body", &[])));
    let answer = raw.next_of(HEADERS);
    assert!(![200, 502].contains(&answer.status()), "{answer:?}");
    // Pieces of a body that cost more than they hold.
    let mut raw = Raw::to(listen_red);
    raw.says(&frame(HEADERS, WHOLE, 1, &asks("/body", &[])));
    let mut other = Raw(raw.0.try_clone().unwrap());
    let floods = std::thread::spawn(move || {
        while other.0.peer_addr().is_ok() && other.floods(&frame(DATA, 0, 1, &[]).repeat(100), 1) {}
    });
    assert_eq!(raw.goes_away(), Some(CALM));
    floods.join().unwrap();
    until("nothing is under way", || proxy.status()["connections"].as_u64().unwrap_or(0) == 0);
}
