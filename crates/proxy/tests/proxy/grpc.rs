//! Containers that speak HTTP/2 without TLS, gRPC for one: streams, trailers, and the promises of HTTP/1.1 over connections that
//! many requests share.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Value, json};

use crate::{
    frames::{DATA, Frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WHOLE, block, frame},
    support::{Container, Place, Proxy, free_address, own_ip, until},
    two::{Container2, Http2, all, answers, get},
    web::{Browser, http},
};

fn h2c(listen: SocketAddr, colour: &str, generation: u64, target: SocketAddr) -> Value {
    let mut route = http(listen, colour, generation, target);
    route["protocol"] = json!("h2c");
    route
}

fn before(target: SocketAddr, arguments: &[&str]) -> (Place, Proxy, SocketAddr) {
    let (place, listen) = (Place::new(), free_address());
    let proxy = place.start(arguments);
    proxy.apply("shop", 1, &json!([h2c(listen, "red", 1, target)]));
    (place, proxy, listen)
}

fn trailers(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers
}

/// Heads that came to a container.
type Heads = Arc<Mutex<Vec<http::request::Parts>>>;

/// What gRPC services do: echoes a body with a status in its trailers; `/refused` has nothing but a status; `/chat` answers each
/// message as it comes; what is sent to `/patient` is answered when its body ends, and `/sized` names
/// the length of its body.
fn service(name: &'static str) -> (Container2, Heads) {
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    let container = Container2::of(200, move |request, mut answer| {
        let (parts, mut body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        kept.lock().unwrap().push(parts);
        Box::pin(async move {
            let head = Response::builder().header("content-type", "application/grpc").header("x-from", name);
            match path.as_str() {
                "/refused" => {
                    let head = head.header("grpc-status", "7").body(()).unwrap();
                    answer.send_response(head, true).map(drop)
                }
                "/chat" => {
                    let mut stream = answer.send_response(head.body(()).unwrap(), false)?;
                    while let Some(data) = body.data().await {
                        let data = data?;
                        body.flow_control().release_capacity(data.len())?;
                        stream.send_data(data, false)?;
                    }
                    stream.send_trailers(trailers("0"))
                }
                _ => {
                    let (data, _) = all(body).await?;
                    let head = if path == "/sized" { head.header("content-length", data.len()) } else { head };
                    answers(answer, head.body(()).unwrap(), data, trailers("0"))
                }
            }
        })
    });
    (container, heads)
}

fn call(path: &str) -> Request<()> {
    Request::post(format!("http://shop{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

#[test]
fn calls_have_their_trailers_and_go_side_by_side_on_one_connection() {
    let (red, heads) = service("red");
    let (_place, proxy, listen) = before(red.address, &["--threads", "1"]);
    let mut client = Http2::to(listen);
    // Some servers name the length of what the trailers follow.
    let path = |at: usize| if at.is_multiple_of(2) { "/echo" } else { "/sized" };
    let sent: Vec<_> = (0..50).map(|at| client.sends(call(path(at)), b"\0\0\0\0\x02hi", HeaderMap::new())).collect();
    for one in sent {
        let answer = client.answer(one).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
        assert_eq!((answer.trailers["grpc-status"].as_bytes(), answer.get("x-from")), (&b"0"[..], "red"));
    }
    // A status without a message is a head that ends.
    let answer = client.asks(call("/refused"), b"\0\0\0\0\0");
    assert_eq!((answer.get("grpc-status"), answer.body.len()), ("7", 0));
    {
        let heads = heads.lock().unwrap();
        assert_eq!(heads.len(), 51);
        let head = &heads[0];
        assert_eq!((head.uri.to_string().as_str(), head.method.as_str()), ("http://shop/echo", "POST"));
        assert!(head.headers["te"] == "trailers" && head.headers["x-forwarded-proto"] == "http", "{head:?}");
        assert!(!head.headers.contains_key("connection") && !head.headers.contains_key("transfer-encoding"));
    }
    // A client of the older version is served as well, with the trailers in its form; what it asks has no other end than that.
    let mut browser = Browser::to(listen);
    browser.says(
        "POST /echo HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let answer = browser.answer();
    assert_eq!((answer.status(), answer.text()), (200, "abc".into()));
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
    browser.says("POST /echo HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(browser.answer().text(), "abc");
    // Large, both ways, past every window.
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let answer = client.asks(call("/echo"), &data);
    assert!(answer.body == data, "{} of {} bytes", answer.body.len(), data.len());
    assert_eq!(proxy.status()["routes"][0]["requests"], 54);
    until("nothing is open", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}

#[test]
fn a_stream_of_messages_goes_both_ways_however_long_it_is_silent() {
    let (red, _) = service("red");
    let (_place, _proxy, listen) = before(red.address, &["--body-timeout", "1", "--keep-alive", "1"]);
    let mut client = Http2::to(listen);
    let (sent, mut stream) = client.begins(call("/chat"));
    let answer = client.wait(sent).unwrap();
    let mut body = answer.into_body();
    for number in 0..3_u8 {
        stream.send_data(Bytes::copy_from_slice(&[number; 5]), false).unwrap();
        assert_eq!(client.wait(body.data()).unwrap().unwrap(), [number; 5][..]);
        // Longer than a body may be silent that is one.
        client.wait(async { tokio::time::sleep(std::time::Duration::from_millis(1_500)).await });
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(client.wait(body.data()).is_none());
    assert_eq!(client.wait(body.trailers()).unwrap().unwrap()["grpc-status"], "0");
}

#[test]
fn a_switch_ends_what_is_under_way_where_it_began() {
    let ((red, _), (blue, _)) = (service("red"), service("blue"));
    let (_place, proxy, listen) = before(red.address, &[]);
    let mut client = Http2::to(listen);
    let (sent, mut stream) = client.begins(call("/chat"));
    let answer = client.wait(sent).unwrap();
    assert_eq!(answer.headers()["x-from"], "red");
    let mut body = answer.into_body();
    proxy.apply("shop", 2, &json!([h2c(listen, "blue", 2, blue.address)]));
    assert_eq!(client.asks(call("/echo"), b"a").get("x-from"), "blue");
    stream.send_data(Bytes::from_static(b"still"), true).unwrap();
    assert_eq!(client.wait(body.data()).unwrap().unwrap(), "still");
    assert_eq!(client.wait(body.trailers()).unwrap().unwrap()["grpc-status"], "0");
    drop(body);
    until("nobody is at red", || proxy.status()["routes"][0]["leaving"].as_array().is_none_or(Vec::is_empty));
    // Held calls wait; and one path of a listener may be of the older version.
    proxy.ask(&json!({"version": 1, "request": "hold", "repository": "shop"}));
    let sent = client.sends(call("/echo"), b"b", HeaderMap::new());
    until("it waits", || proxy.status()["routes"][0]["waiting"] == 1);
    proxy.ask(&json!({"version": 1, "request": "resume", "repository": "shop"}));
    assert_eq!(client.answer(sent).unwrap().body, b"b");
    let web = crate::web::Web::named("web");
    let mut plain = http(listen, "blue", 3, web.address());
    plain["path"] = json!("/web");
    proxy.apply("shop", 3, &json!([h2c(listen, "blue", 3, blue.address), plain]));
    assert_eq!(client.get("/web/a").text(), "web /web/a 0");
    assert_eq!(client.asks(call("/echo"), b"c").get("x-from"), "blue");
}

#[test]
fn a_container_that_takes_few_streams_gets_more_connections() {
    let (go, goes) = tokio::sync::watch::channel(false);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let narrow = Container2::of(2, move |request, answer| {
        counted.fetch_add(1, Relaxed);
        let mut goes = goes.clone();
        Box::pin(async move {
            let _ = goes.wait_for(|go| *go).await;
            drop(request);
            answers(answer, Response::new(()), "ok", HeaderMap::new())
        })
    });
    let (_place, proxy, listen) = before(narrow.address, &[]);
    let mut client = Http2::to(listen);
    let sent: Vec<_> = (0..10).map(|_| client.sends(get("/"), b"", HeaderMap::new())).collect();
    until("all of them are there", || {
        client.wait(tokio::task::yield_now());
        proxy.status()["routes"][0]["colours"][0]["open"] == 10
    });
    go.send(true).unwrap();
    for one in sent {
        assert_eq!(client.answer(one).unwrap().text(), "ok");
    }
    assert_eq!(count.load(Relaxed), 10);
}

/// A container of this form, frame by frame: does this with each frame that comes, until it says that the connection ends.
fn framed(serve: impl Fn(usize, &Frame) -> (Vec<u8>, bool) + Send + Sync + 'static) -> (Container, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let container = Container::of((own_ip(), 0).into(), move |mut stream| {
        let number = counted.fetch_add(1, Relaxed);
        let mut preface = [0; 24];
        if stream.read_exact(&mut preface).is_err() {
            return;
        }
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[]));
        let mut raw = crate::frames::Raw(stream);
        while let Ok(one) = raw.next() {
            let (said, ends) = serve(number, &one);
            raw.says(&said);
            if ends {
                return;
            }
        }
    });
    (container, connections)
}

/// Status 200, as a whole answer.
fn fine(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE | 1, stream, &block(&[(":status", "200")]))
}

#[test]
fn what_was_not_looked_at_is_sent_again_and_nothing_else() {
    // The first connection is given up before anything of it was done; so is the second stream of the next one.
    let heads = AtomicUsize::new(0);
    let (container, connections) = framed(move |number, one| match (number, one.kind) {
        (0, HEADERS) => (frame(GOAWAY, 0, 0, &[0; 8]), true),
        (_, HEADERS) if heads.fetch_add(1, Relaxed) == 1 => (frame(RST_STREAM, 0, one.stream, &[0, 0, 0, 7]), false),
        (_, HEADERS) => (fine(one.stream), false),
        _ => (Vec::new(), false),
    });
    let (_place, _proxy, listen) = before(container.address, &["--threads", "1"]);
    let mut client = Http2::to(listen);
    // One that changes something: nothing was done, so nothing is done twice.
    for _ in 0..2 {
        let post = Request::post("http://shop/").header("content-length", "3").body(()).unwrap();
        assert_eq!(client.asks(post, b"abc").status, 200);
    }
    assert_eq!(connections.load(Relaxed), 2);
    // One that breaks off without a word: a request that only asks is sent again, another one is not.
    let lost = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lost);
    let (container, _) = framed(move |_, one| match one.kind {
        HEADERS if counted.fetch_add(1, Relaxed).is_multiple_of(2) => (Vec::new(), true),
        HEADERS => (fine(one.stream), false),
        _ => (Vec::new(), false),
    });
    let (_place, _proxy, listen) = before(container.address, &["--threads", "1"]);
    let mut client = Http2::to(listen);
    assert_eq!((client.get("/").status, lost.load(Relaxed)), (200, 2));
    let answer = client.asks(Request::post("http://shop/").body(()).unwrap(), b"abc");
    assert_eq!((answer.status, lost.load(Relaxed)), (502, 3));
}

#[test]
fn a_container_that_speaks_something_else_is_none() {
    for said in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ""] {
        let old = Container::of((own_ip(), 0).into(), move |mut stream| {
            let mut begun = [0; 24];
            let _ = stream.read_exact(&mut begun);
            let _ = stream.write_all(said.as_bytes());
        });
        let (_place, _proxy, listen) = before(old.address, &[]);
        let answer = Http2::to(listen).get("/");
        assert!((502..=503).contains(&answer.status), "{said:?}: {answer:?}");
    }
    // An answer that breaks off is none to the client, either.
    let (container, _) = framed(|_, one| match one.kind {
        HEADERS => {
            let head = frame(HEADERS, WHOLE, one.stream, &block(&[(":status", "200"), ("content-type", "text/plain")]));
            (
                [head, frame(DATA, 0, one.stream, b"half"), frame(RST_STREAM, 0, one.stream, &[0, 0, 0, 2])].concat(),
                false,
            )
        }
        _ => (Vec::new(), false),
    });
    let (_place, _proxy, listen) = before(container.address, &[]);
    let mut client = Http2::to(listen);
    let sent = client.sends(get("/"), b"", HeaderMap::new());
    // Where the end was seen before the head was passed on, it is an answer of our own.
    let status = client.answer(sent).map_or(502, |answer| answer.status);
    assert_eq!(status, 502);
}

#[test]
fn a_call_that_is_taken_back_is_taken_back_at_its_container() {
    let (left, leaves) = mpsc::channel();
    let left = Mutex::new(left);
    let (container, _) = framed(move |_, one| {
        if one.kind == RST_STREAM {
            left.lock().unwrap().send(one.error()).unwrap();
        }
        (Vec::new(), false)
    });
    let (_place, proxy, listen) = before(container.address, &[]);
    let mut client = Http2::to(listen);
    let (sent, mut stream) = client.begins(call("/"));
    until("it is there", || proxy.status()["routes"][0]["colours"][0]["open"] == 1);
    stream.send_reset(h2::Reason::CANCEL);
    drop(sent);
    let mut told = None;
    until("its container is told", || {
        client.wait(tokio::task::yield_now());
        told = leaves.try_recv().ok();
        told.is_some()
    });
    assert_eq!(told, Some(8));
    until("it has ended", || proxy.status()["routes"][0]["colours"][0]["open"] == 0);
}
