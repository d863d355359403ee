//! HTTP/1.1 through the proxy: what arrives, what comes back, what is refused.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    sync::mpsc::channel,
};

use serde_json::json;

use crate::{
    support::{free_address, until},
    web::{Browser, Web, before, body, chunk, head, http, message, scripted},
};

#[test]
fn requests_on_one_connection_are_answered_one_after_the_other() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/a?b=c").text(), "red /a?b=c 0");
    assert_eq!(browser.try_post("/p", "hello").unwrap().text(), "red /p 5");
    // Sent at once, answered in order.
    browser.says("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let answers = [browser.answer(), browser.answer(), browser.answer()].map(|answer| answer.text());
    assert_eq!(answers, ["red /1 0", "red /2 2", "red /3 0"]);
    // To HEAD, the length of what GET would bring.
    browser.says("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = message(&mut browser.from, true).unwrap();
    assert_eq!((answer.status(), answer.get("content-length")), (200, "8".to_owned()));
    assert_eq!(browser.get("/last").text(), "red /last 0");
    assert_eq!(proxy.status()["routes"][0]["taken"], 1);
    until("nothing is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn what_concerns_one_connection_goes_and_what_does_not_stays() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says(concat!(
        "GET http://Shop.example/x?y HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n",
        "Keep-Alive: 5\r\nProxy: http://evil\r\nTE: trailers\r\nX-Stays: a\r\nX-Stays: b\r\nCookie: c=d\r\n\r\n"
    ));
    assert_eq!(browser.answer().text(), "red /x?y 0");
    let seen = red.last();
    assert_eq!(seen.first, "GET /x?y HTTP/1.1");
    let values = ["host", "x-hop", "keep-alive", "proxy", "te", "x-stays", "cookie"].map(|name| seen.get(name));
    assert_eq!(values, ["Shop.example", "", "", "", "trailers", "a | b", "c=d"]);
    browser.says("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(browser.answer().status(), 200);
    assert_eq!(red.last().first, "OPTIONS * HTTP/1.1");
}

#[test]
fn an_old_client_is_served() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says("GET /old HTTP/1.0\r\n\r\n");
    let answer = browser.answer();
    assert_eq!((answer.first.as_str(), answer.text()), ("HTTP/1.0 200 OK", "red /old 0".to_owned()));
    assert!(browser.ended());
    assert_eq!(red.last().get("host"), listen.to_string());
    // Chunks are not for it.
    let mut browser = Browser::to(listen);
    browser.says("GET /stream HTTP/1.0\r\n\r\n");
    assert_eq!(browser.answer().text(), "redredredredred");
}

#[test]
fn bodies_stream_both_ways_with_their_trailers() {
    // Says back each chunk as it comes, and the trailer at the end.
    let echo = scripted(|from, to| {
        let asked = head(from)?;
        assert_eq!(asked.get("transfer-encoding"), "chunked");
        to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")?;
        loop {
            let data = chunk(from)?;
            if data.is_empty() {
                let mut end = [0; 256];
                let length = from.read(&mut end)?;
                let trailers = String::from_utf8_lossy(&end[..length]).to_lowercase();
                assert_eq!(trailers, "x-sum: 1\r\n\r\n");
                return to.write_all(b"0\r\nX-Sum: 2\r\n\r\n");
            }
            write!(to, "{:x}\r\n", data.len())?;
            to.write_all(&data)?;
            to.write_all(b"\r\n")?;
        }
    });
    let (_place, _proxy, listen) = before(echo.address, &[]);
    for method in ["POST", "GET"] {
        let mut browser = Browser::to(listen);
        browser.says(&format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let answer = head(&mut browser.from).unwrap();
        assert_eq!((answer.status(), answer.get("trailer")), (200, "X-Sum".to_owned()));
        for text in ["one", "three", "x"] {
            browser.says(&format!("{:x}\r\n{text}\r\n", text.len()));
            assert_eq!(chunk(&mut browser.from).unwrap(), text.as_bytes());
        }
        browser.says("0\r\nX-Sum: 1\r\n\r\n");
        let mut answer = answer;
        body(&mut browser.from, &mut answer, false).unwrap();
        assert_eq!(answer.trailers, [("X-Sum".to_owned(), "2".to_owned())]);
    }
}

#[test]
fn large_bodies_arrive_whole() {
    let sums = scripted(|from, to| {
        let asked = message(from, false)?;
        let sum: u64 = asked.body.iter().map(|byte| u64::from(*byte)).sum();
        let answer = vec![b'x'; 6 << 20];
        write!(to, "HTTP/1.1 200 OK\r\nX-Sum: {sum}\r\nContent-Length: {}\r\n\r\n", answer.len())?;
        to.write_all(&answer)
    });
    let (_place, _proxy, listen) = before(sums.address, &[]);
    let said: Vec<u8> = (0..5_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let sum: u64 = said.iter().map(|byte| u64::from(*byte)).sum();
    let mut browser = Browser::to(listen);
    browser.says(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", said.len()));
    browser.to.write_all(&said).unwrap();
    let answer = browser.answer();
    assert_eq!((answer.get("x-sum"), answer.body.len()), (sum.to_string(), 6 << 20));
    let mut browser = Browser::to(listen);
    browser.says("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in said.chunks(70_001) {
        browser.says(&format!("{:x}\r\n", part.len()));
        browser.to.write_all(part).unwrap();
        browser.says("\r\n");
    }
    browser.says("0\r\n\r\n");
    assert_eq!(browser.answer().get("x-sum"), sum.to_string());
}

#[test]
fn a_body_is_sent_when_the_container_asks_for_it() {
    let asks = scripted(|from, to| {
        let mut asked = head(from)?;
        assert_eq!(asked.get("expect"), "100-continue");
        if asked.first.contains("/no") {
            return to.write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\nno");
        }
        if asked.first.contains("/asks") {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        body(from, &mut asked, false)?;
        write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", asked.body.len())?;
        to.write_all(&asked.body)
    });
    let (_place, _proxy, listen) = before(asks.address, &[]);
    let ask = |path: &str| {
        let mut browser = Browser::to(listen);
        browser.says(&format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
        let answer = head(&mut browser.from).unwrap();
        (browser, answer)
    };
    // One that asks, and one that never does and waits for the body.
    for path in ["/asks", "/silent"] {
        let (mut browser, answer) = ask(path);
        assert_eq!(answer.first, "HTTP/1.1 100 Continue", "{path}");
        browser.says("body");
        assert_eq!(browser.answer().text(), "body", "{path}");
    }
    let (mut browser, mut answer) = ask("/no");
    body(&mut browser.from, &mut answer, false).unwrap();
    assert_eq!((answer.status(), answer.text()), (413, "no".to_owned()));
    assert!(browser.ended(), "the body that nobody wants is not waited for");
}

#[test]
fn a_web_socket_becomes_a_tunnel_and_is_counted_as_one() {
    let (send, ended) = channel();
    let socket = scripted(move |from, to| {
        let asked = head(from)?;
        assert_eq!((asked.get("upgrade"), asked.get("connection")), ("websocket".into(), "upgrade".into()));
        assert_eq!(asked.get("sec-websocket-key"), "abc");
        if asked.first.contains("/no") {
            return to.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        }
        // Its first words come with its answer.
        to.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\nhello",
        )?;
        let mut byte = [0];
        while from.read(&mut byte)? == 1 {
            to.write_all(&byte)?;
        }
        let _ = send.send(());
        Ok(())
    });
    let (_place, proxy, listen) = before(socket.address, &[]);
    let ask = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";
    let mut browser = Browser::to(listen);
    // Its first words come with its request, too.
    browser.says(&format!("GET /yes HTTP/1.1\r\n{ask}early"));
    let answer = head(&mut browser.from).unwrap();
    assert_eq!((answer.status(), answer.get("upgrade"), answer.get("x-a")), (101, "websocket".into(), "b".into()));
    let mut said = [0; 10];
    browser.from.read_exact(&mut said).unwrap();
    assert_eq!(said, *b"helloearly");
    browser.says("GET / HTTP/1.1\r\n\r\n");
    let mut said = [0; 18];
    browser.from.read_exact(&mut said).unwrap();
    assert_eq!(said, *b"GET / HTTP/1.1\r\n\r\n");
    let colour = &proxy.status()["routes"][0]["colours"][0];
    assert_eq!((&colour["open"], &colour["tunnels"]), (&json!(1), &json!(1)));
    browser.to.shutdown(Shutdown::Write).unwrap();
    ended.recv_timeout(crate::support::PATIENCE).unwrap();
    assert!(browser.ended());
    until("it has ended", || proxy.status()["routes"][0]["colours"][0]["tunnels"] == 0);

    // One that is refused is an answer like any other, and the connection goes on.
    let mut browser = Browser::to(listen);
    for _ in 0..2 {
        browser.says(&format!("GET /no HTTP/1.1\r\n{ask}"));
        assert_eq!(browser.answer().status(), 403);
    }
}

#[test]
fn a_tunnel_stays_with_its_colour_and_requests_do_not() {
    let (red, blue) = (Web::named("red"), Web::named("blue"));
    let (_place, proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").get("x-from"), "red");
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, blue.address())]));
    // The same connection, the next request.
    assert_eq!(browser.get("/").get("x-from"), "blue");
}

#[test]
fn connect_is_refused() {
    let red = Web::named("red");
    let (_place, _proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    browser.says("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    assert_eq!(browser.answer().status(), 405);
    assert!(browser.ended());
    assert_eq!(red.requests(), 0);
}

#[test]
fn half_an_answer_does_not_look_like_a_whole_one() {
    let half = scripted(|from, to| {
        let asked = head(from)?;
        match asked.first.contains("/chunked") {
            true => to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            false => to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        }
    });
    let (_place, proxy, listen) = before(half.address, &[]);
    for path in ["/sized", "/chunked"] {
        let mut browser = Browser::to(listen);
        assert!(browser.try_get(path).is_err(), "{path}");
    }
    // Close-delimited for an old client: a reset.
    let mut browser = Browser::to(listen);
    browser.says("GET /chunked HTTP/1.0\r\n\r\n");
    let ended = message(&mut browser.from, false);
    assert!(ended.is_err(), "{ended:?}");
    until("nothing is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn an_old_container_is_understood() {
    let old = scripted(|from, to| {
        head(from)?;
        // Its answer ends with the connection.
        to.write_all(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nall of it")
    });
    let (_place, _proxy, listen) = before(old.address, &[]);
    let mut browser = Browser::to(listen);
    for _ in 0..2 {
        let answer = browser.get("/");
        assert_eq!((answer.first.as_str(), answer.text()), ("HTTP/1.1 200 OK", "all of it".to_owned()));
        assert_eq!(answer.get("transfer-encoding"), "chunked");
    }
}

#[test]
fn answers_without_a_body_have_none() {
    let bare = scripted(|from, to| {
        while let Ok(asked) = message(from, false) {
            match asked.first.split(' ').nth(1).unwrap() {
                "/204" => to.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
                "/304" => to.write_all(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: a\r\n\r\n")?,
                _ => to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
            }
        }
        Ok(())
    });
    let (_place, proxy, listen) = before(bare.address, &[]);
    let mut browser = Browser::to(listen);
    // A 304 tells the length that there would be.
    for (path, length) in [("/204", ""), ("/304", "9"), ("/200", "0"), ("/204", "")] {
        let answer = browser.get(path);
        assert_eq!((answer.get("content-length").as_str(), answer.get("transfer-encoding").as_str()), (length, ""));
    }
    assert_eq!(proxy.status()["routes"][0]["taken"], 1);
}

#[test]
fn early_hints_and_trailers_that_nobody_announced_are_passed_on() {
    let hints = scripted(|from, to| {
        let asked = message(from, false)?;
        // What would change the request's meaning is no trailer.
        assert_eq!(asked.trailers, [("X-End".to_owned(), "1".to_owned())]);
        to.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\nX: y\r\n\r\n")?;
        to.write_all(b"HTTP/1.1 102 Processing\r\n\r\n")?;
        to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 2\r\nContent-Length: 3\r\n\r\n")
    });
    let (_place, _proxy, listen) = before(hints.address, &[]);
    let mut browser = Browser::to(listen);
    browser.says("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-End: 1\r\nHost: b\r\n\r\n");
    let hint = head(&mut browser.from).unwrap();
    assert_eq!((hint.status(), hint.get("link"), hint.get("x")), (103, "</a.css>; rel=preload".into(), String::new()));
    assert_eq!(head(&mut browser.from).unwrap().status(), 102);
    let answer = browser.answer();
    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "2".to_owned())]);
}

#[test]
fn an_old_client_gets_no_early_hints() {
    let hints = scripted(|from, to| {
        message(from, false)?;
        to.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let (_place, _proxy, listen) = before(hints.address, &[]);
    let mut browser = Browser::to(listen);
    browser.says("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = browser.answer();
    assert_eq!((answer.first.as_str(), answer.text()), ("HTTP/1.0 200 OK", "ok".to_owned()));
    assert_eq!(answer.get("connection"), "keep-alive");
    assert_eq!(browser.get("/").status(), 103);
}

#[test]
fn who_leaves_is_noticed_while_the_request_waits() {
    let silent = scripted(|from, _| {
        message(from, false)?;
        from.read(&mut [0]).map(drop)
    });
    let (_place, proxy, listen) = before(silent.address, &[]);
    for text in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"] {
        let mut browser = Browser::to(listen);
        browser.says(text);
        until("it is in flight", || proxy.status()["routes"][0]["colours"][0]["open"] == 1);
        drop(browser);
        until("it is not any more", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
    }
    proxy.ask(&json!({"version": 1, "request": "hold", "repository": "shop"}));
    let mut browser = Browser::to(listen);
    browser.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
    until("it waits", || proxy.status()["routes"][0]["waiting"] == 1);
    drop(browser);
    until("it does not wait any more", || proxy.status()["routes"][0]["waiting"] == 0);
}

#[test]
fn a_large_answer_arrives_whole_however_it_is_framed() {
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let sent = data.clone();
    let large = scripted(move |from, to| {
        let asked = message(from, false)?;
        if asked.first.contains("/sized") {
            write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len())?;
            return to.write_all(&sent);
        }
        if asked.first.contains("/close") {
            to.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            return to.write_all(&sent);
        }
        to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // Of every size around those of buffers.
        let (mut rest, mut size) = (&sent[..], 1);
        while !rest.is_empty() {
            let (part, further) = rest.split_at(size.min(rest.len()));
            write!(to, "{:x} \r\n", part.len())?;
            to.write_all(part)?;
            to.write_all(b"\r\n")?;
            (rest, size) = (further, size * 3 % 70_001 + 1);
        }
        to.write_all(b"0\r\n\r\n")
    });
    let (_place, _proxy, listen) = before(large.address, &[]);
    for path in ["/sized", "/close", "/chunked"] {
        let answer = Browser::to(listen).get(path);
        assert_eq!(answer.body.len(), data.len(), "{path}");
        assert!(answer.body == data, "{path}");
    }
}

#[test]
fn an_answer_that_is_none_is_a_502() {
    let odd = scripted(|from, to| {
        let asked = head(from)?;
        match asked.first.split(' ').nth(1).unwrap() {
            "/garbage" => to.write_all(b"what?\r\n\r\n"),
            "/lengths" => to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            _ => to.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        }
    });
    let (_place, _proxy, listen) = before(odd.address, &[]);
    for path in ["/garbage", "/lengths", "/upgrade"] {
        assert_eq!(Browser::to(listen).get(path).status(), 502, "{path}");
    }
}

#[test]
fn idle_connections_to_a_container_are_used_again_and_closed_in_time() {
    let (send, ended) = channel();
    let keeps = scripted(move |from, to| {
        let mut requests = 0;
        while message(from, false).is_ok() {
            requests += 1;
            to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
        let _ = send.send(requests);
        Ok(())
    });
    let (_place, proxy, listen) = before(keeps.address, &[]);
    for _ in 0..5 {
        assert_eq!(Browser::to(listen).get("/").status(), 200);
    }
    // Long before the five seconds that many servers have.
    assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(10)), Ok(5));
    assert_eq!(Browser::to(listen).get("/").status(), 200);
    // With its colour they go at once.
    let other = Web::named("blue");
    let since = std::time::Instant::now();
    proxy.apply("shop", 2, &json!([http(listen, "blue", 2, other.address())]));
    assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(10)), Ok(1));
    assert!(since.elapsed() < std::time::Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn a_route_that_goes_is_told_and_nothing_else_is_harmed() {
    let red = Web::named("red");
    let (_place, proxy, listen) = before(red.address(), &[]);
    let mut browser = Browser::to(listen);
    assert_eq!(browser.get("/").status(), 200);
    proxy.apply("shop", 2, &json!([http(free_address(), "red", 1, red.address())]));
    let answer = browser.get("/");
    assert_eq!((answer.status(), answer.get("connection")), (503, "close".to_owned()));
    assert!(browser.ended());
}
