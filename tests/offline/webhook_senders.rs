//! The webhook server over a real socket: senders that are many, slow, large or gone, and a server that ends.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use turnout::{
    server::{IntakeLimits, Ledger, LedgerFault, ListenLimits, Receipt, ledger::BoxFuture},
    store::{NewDelivery, Store},
};

use crate::webhook_bench::{Bench, CONFIG, bounds, limits, push, read_answer, sign};

#[tokio::test]
async fn large_bodies_are_413_whether_announced_or_not() {
    let bench = Bench::new().await;
    assert_eq!(bench.raw(&half(1_048_577, "")).await.status, 413);
    let mut stream = bench.connect().await;
    let chunked = String::from_utf8(half(0, "")).unwrap().replace("content-length: 0", "transfer-encoding: chunked");
    stream.write_all(chunked.replace("expect: 100-continue\r\n", "").as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..17 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    assert_eq!(read_answer(&mut stream).await.status, 413);
    // One that fits passes, in many pieces.
    let filler = "x".repeat(900_000);
    let body = push("acme/shop", "main", 1).replacen('{', &format!(r#"{{"filler":"{filler}","#), 1);
    assert_eq!(bench.deliver("push", &body).await.status, 202);
}

#[tokio::test]
async fn slow_senders_are_cut_off_and_hold_nobody_up() {
    let (intake, listen) = limits();
    let quick = Duration::from_millis(300);
    let bench = Bench::with(
        CONFIG,
        (IntakeLimits { body_timeout: quick, ..intake }, ListenLimits { header_timeout: quick, ..listen }),
    )
    .await;
    // A head that never ends, and a connection that never speaks: both closed by the server.
    for beginning in [&b"POST /webhook HTTP/1.1\r\nhost:"[..], b""] {
        let mut stream = bench.connect().await;
        stream.write_all(beginning).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        let _ = read.expect("the connection is kept open");
    }
    // A body that never ends.
    let mut stream = bench.connect().await;
    let head = String::from_utf8(half(100, "")).unwrap().replace("expect: 100-continue\r\n", "");
    stream.write_all(format!("{head}{{").as_bytes()).await.unwrap();
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 1)).await.status, 202);
    assert_eq!(read_answer(&mut stream).await.status, 408);
}

/// The head of a delivery that could be proven, as far as its head tells.
fn half(length: usize, more: &str) -> Vec<u8> {
    let signature = "0".repeat(64);
    format!(
        "POST /webhook HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\
         content-type: application/json\r\nx-hub-signature-256: sha256={signature}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Sends the head and waits until the server reads the body: `100 Continue` tells.
async fn half_sent(bench: &Bench, length: usize, more: &str) -> TcpStream {
    let mut stream = bench.connect().await;
    stream.write_all(&half(length, more)).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100"));
    stream
}

/// Whether the server has closed the connection; waits until it has or `10s` are over.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Whether the server still listens to a body: it answers when it ends.
async fn goes_on(stream: &mut TcpStream, body: &[u8]) -> u16 {
    stream.write_all(body).await.unwrap();
    read_answer(stream).await.status
}

#[tokio::test]
async fn bodies_on_their_way_take_nobodys_place() {
    let (intake, listen) = limits();
    let bench = Bench::with(CONFIG, (IntakeLimits { requests: 1, ..intake }, listen)).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(half_sent(&bench, 100, "").await);
    }
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 1)).await.status, 202);
    for stream in &mut held {
        assert_eq!(goes_on(stream, &[b'x'; 100]).await, 401);
    }
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_oldest_that_proved_nothing() {
    let (intake, listen) = limits();
    let bench = Bench::with(CONFIG, (intake, ListenLimits { bounds: bounds(3), ..listen })).await;
    let mut idle = bench.connect().await;
    let mut first = half_sent(&bench, 100, "").await;
    let mut second = half_sent(&bench, 100, "").await;
    for number in 1..=2 {
        assert_eq!(bench.deliver("push", &push("acme/shop", "main", number)).await.status, 202, "{number}");
    }
    assert!(is_closed(&mut idle).await, "the idle one is the oldest");
    // The first delivery's connection is gone by itself, so one more must make room for a third.
    let mut third = half_sent(&bench, 100, "").await;
    let _fourth = half_sent(&bench, 100, "").await;
    assert!(is_closed(&mut first).await);
    assert_eq!(goes_on(&mut second, &[b'x'; 100]).await, 401);
    assert_eq!(goes_on(&mut third, &[b'x'; 100]).await, 401);
}

#[tokio::test]
async fn one_sender_behind_a_proxy_has_so_many_connections() {
    let bench = Bench::new().await;
    let from = |address: &str| format!("x-forwarded-for: 6.6.6.6, {address}\r\n");
    let mut own = Vec::new();
    for number in 0..5 {
        own.push(half_sent(&bench, 100, &from(&format!("2001:db8::{number}"))).await);
    }
    let mut other = half_sent(&bench, 100, &from("2001:db8:0:1::")).await;
    assert!(is_closed(&mut own[0]).await, "the fifth of one network makes the first one go");
    assert_eq!(goes_on(&mut own[1], &[b'x'; 100]).await, 401);
    assert_eq!(goes_on(&mut other, &[b'x'; 100]).await, 401);
}

#[tokio::test]
async fn what_cannot_be_proven_is_refused_before_its_body_has_come() {
    let bench = Bench::new().await;
    let unsigned = b"POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{";
    assert_eq!(bench.raw(unsigned).await.status, 401);
}

#[tokio::test]
async fn a_sender_that_has_nothing_more_to_say_is_answered() {
    let bench = Bench::new().await;
    let mut stream = bench.sent(&push("acme/shop", "main", 1)).await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 202);
}

/// Forges give a delivery some seconds; whoever hangs up has sent it all the same.
#[tokio::test]
async fn what_was_proven_is_recorded_whole_though_its_sender_is_gone() {
    let turns = Arc::new(tokio::sync::Semaphore::new(0));
    let (slow, asked) = (Arc::clone(&turns), Arc::new(tokio::sync::Notify::new()));
    let told = Arc::clone(&asked);
    let bench = Bench::with_ledger(CONFIG, limits(), |store| Arc::new(Slow { store, turns: slow, asked: told })).await;
    let mut news = bench.store.newest_event();
    let body = push("acme/shop", "main", 1);
    let stream = bench.sent(&body).await;
    asked.notified().await;
    // Without a word, as by a reset.
    stream.set_zero_linger().unwrap();
    drop(stream);
    // The server hears of it before it may go on.
    let gone = bench.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(gone.status, 200);
    turns.add_permits(1);
    tokio::time::timeout(Duration::from_secs(20), news.changed()).await.expect("it is not recorded").unwrap();
    let recorded = bench.store.deliveries(1).await.unwrap().remove(0);
    assert!(recorded.deployment.is_some(), "{recorded:?}");
    // Its payload is handed over behind the record.
    let kept = async {
        while bench.store.payload(recorded.id).await.unwrap().is_none() {
            bench.payloads.written().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("its payload is not kept");
    assert_eq!(bench.woken(), ["shop"]);
}

/// A ledger that waits for its turn.
struct Slow {
    store: Store,
    turns: Arc<tokio::sync::Semaphore>,
    /// Told as soon as a delivery waits for its turn.
    asked: Arc<tokio::sync::Notify>,
}

impl Ledger for Slow {
    fn accept(&self, delivery: NewDelivery) -> BoxFuture<'_, Result<Receipt, LedgerFault>> {
        Box::pin(async move {
            self.asked.notify_one();
            self.turns.acquire().await.unwrap().forget();
            Ledger::accept(&self.store, delivery).await
        })
    }
}

#[tokio::test]
async fn too_many_proven_ones_at_one_time_are_503() {
    let (intake, listen) = limits();
    let turns = Arc::new(tokio::sync::Semaphore::new(0));
    let slow = Arc::clone(&turns);
    let limits = (IntakeLimits { requests: 1, ..intake }, listen);
    let bench = Arc::new(
        Bench::with_ledger(CONFIG, limits, |store| Arc::new(Slow { store, turns: slow, asked: Arc::default() })).await,
    );
    let deliver = |number| {
        let bench = Arc::clone(&bench);
        async move { bench.deliver("push", &push("acme/shop", "main", number)).await }
    };
    let (one, two) = (tokio::spawn(deliver(1)), tokio::spawn(deliver(2)));
    let (refused, first) = match futures_util::future::select(one, two).await {
        futures_util::future::Either::Left((refused, first)) => (refused.unwrap(), first),
        futures_util::future::Either::Right((refused, first)) => (refused.unwrap(), first),
    };
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 30"), "{}", refused.head);
    turns.add_permits(2);
    assert_eq!(first.await.unwrap().status, 202);
    assert_eq!(deliver(3).await.status, 202);
}

#[tokio::test]
async fn a_shutdown_lets_requests_under_way_end() {
    let mut bench = Bench::new().await;
    let body = push("acme/shop", "main", 1);
    let signature = sign("secret", body.as_bytes());
    let mut stream = bench.connect().await;
    let head = format!(
        "POST /webhook HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\
         x-github-event: push\r\nx-hub-signature-256: {signature}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    bench.stop.take().unwrap().send(()).unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 202);
    tokio::time::timeout(Duration::from_secs(10), bench.serving.take().unwrap()).await.unwrap().unwrap();
    assert!(TcpStream::connect(bench.address).await.is_err());
}
