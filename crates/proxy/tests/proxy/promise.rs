//! The promise that all of this is for: no request fails because colours change.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::json;

use crate::{
    support::{Proxy, until},
    web::{Browser, Web, before, http, message},
};

/// Connections at a time.
const CLIENTS: usize = 64;

/// One request of its kind, and what is wrong with its answer.
fn once(browser: &mut Browser, number: usize) -> io::Result<Option<String>> {
    let (answer, expected) = match number % 4 {
        0 => (browser.try_get("/get")?, "/get 0"),
        1 => (browser.try_post("/post", "hello")?, "/post 5"),
        2 => (browser.try_get("/slow")?, "/slow 0"),
        _ => {
            let text = "POST /stream HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            browser.to.write_all(text.as_bytes())?;
            let answer = message(&mut browser.from, false)?;
            let whole = ["red", "blue"].iter().any(|name| answer.body == name.repeat(5).as_bytes());
            return Ok((!whole).then(|| format!("{answer:?}")));
        }
    };
    let right = answer.status() == 200 && answer.text().ends_with(expected);
    Ok((!right).then(|| format!("{answer:?}")))
}

fn client(listen: SocketAddr, number: usize, stop: &AtomicBool, done: &AtomicU64) -> Vec<String> {
    let mut browser = Browser::to(listen);
    let mut wrong = Vec::new();
    while !stop.load(Relaxed) {
        match once(&mut browser, number) {
            Ok(None) => drop(done.fetch_add(1, Relaxed)),
            Ok(Some(answer)) => wrong.push(answer),
            Err(error) => {
                wrong.push(format!("closed: {error}"));
                browser = Browser::to(listen);
            }
        }
    }
    wrong
}

#[test]
fn no_request_fails_while_colours_change() {
    let (done, _) = colours_change(100);
    println!("{done} requests, 100 changes, none failed");
}

/// `cargo test -p turnout-proxy --test proxy -- --ignored --nocapture a_thousand_changes`
#[test]
#[ignore = "takes a minute; its figures are for a release build on a machine with nothing else to do"]
fn a_thousand_changes_and_how_long_each_takes() {
    let (done, [mut moves, mut firsts]) = colours_change(1_000);
    println!("{done} requests, 1000 changes, none failed");
    for (what, times) in
        [("the routes moved in", &mut moves), ("the new colour had its first request after", &mut firsts)]
    {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 1_000];
        println!("{what}: median {:?}, of a hundred 99 within {:?}, all within {:?}", at(500), at(990), at(1_000));
    }
}

/// How long the routes took to move, and when that was, as the proxy says.
fn moved(proxy: &mut Proxy) -> (Duration, Duration) {
    let line = proxy.says("the routes have moved");
    let value = |name: &str| {
        let rest = line.split_once(&format!("{name}=")).unwrap().1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Duration::from_micros(digits.parse().unwrap())
    };
    (value("micros"), value("at"))
}

/// From one colour to the other so many times: how many requests were answered, how long each change took, and how long it was
/// until the new colour was asked.
fn colours_change(changes: u64) -> (u64, [Vec<Duration>; 2]) {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let (_place, mut proxy, listen) = before(red.address(), &[]);
    moved(&mut proxy);
    let (mut moves, mut firsts) = (Vec::new(), Vec::new());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || client(listen, number, &stop, &done))
        })
        .collect();
    for generation in 2..2 + changes {
        let before = done.load(Relaxed);
        let (name, web) = if generation % 2 == 1 { ("red", &red) } else { ("blue", &blue) };
        let seen = web.requests();
        proxy.apply("shop", generation, &json!([http(listen, name, generation, web.address())]));
        until("the new colour is asked", || web.requests() > seen && done.load(Relaxed) > before);
        let (took, at) = moved(&mut proxy);
        moves.push(took);
        let came: Vec<_> = web.seen.lock().unwrap()[seen..].iter().filter_map(|asked| asked.at).collect();
        let mut since = came.iter().filter_map(|asked| asked.duration_since(UNIX_EPOCH).ok());
        // One that was on its way to it from before the last change may still have come.
        firsts.extend(since.find(|asked| *asked >= at).map(|asked| asked - at));
        // What came before it ends, and nothing new comes to it: then it could be stopped.
        until("the colours before are left", || {
            proxy.status()["leaving"].as_array().unwrap().iter().all(|of| of["generation"] == json!(generation - 1))
        });
    }
    stop.store(true, Relaxed);
    let wrong: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let done = done.load(Relaxed);
    assert!(wrong.is_empty(), "{} of {done}: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(done > u64::try_from(CLIENTS).unwrap() * 10, "{done}");
    let status = proxy.status();
    assert_eq!((&status["routes"][0]["taken"], &status["routes"][0]["failed"]), (&json!(CLIENTS), &json!(0)));
    (done, [moves, firsts])
}
