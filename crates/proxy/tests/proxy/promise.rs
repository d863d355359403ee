//! The promise that all of this is for: no request fails because colours change.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use serde_json::json;

use crate::{
    support::until,
    web::{Browser, Web, before, http, message},
};

/// Connections at a time.
const CLIENTS: usize = 64;
/// Changes from one colour to the other.
const CHANGES: u64 = 100;

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
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let (_place, proxy, listen) = before(red.address(), &[]);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || client(listen, number, &stop, &done))
        })
        .collect();
    for generation in 2..2 + CHANGES {
        let before = done.load(Relaxed);
        let (name, web) = if generation % 2 == 1 { ("red", &red) } else { ("blue", &blue) };
        proxy.apply("shop", generation, &json!([http(listen, name, generation, web.address())]));
        let seen = web.requests();
        until("the new colour is asked", || web.requests() > seen && done.load(Relaxed) > before);
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
    println!("{done} requests, {CHANGES} changes, none failed");
    let status = proxy.status();
    assert_eq!((&status["routes"][0]["taken"], &status["routes"][0]["failed"]), (&json!(CLIENTS), &json!(0)));
}
