//! The webhook server over a real socket: what is taken, what is refused, what survives.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use turnout::{
    config::{LiveRepos, Secret},
    forge::{self, Forge, GITHUB, Head},
    report::redact::Redactor,
    server::{
        self, IntakeLimits, IntakeState, Ledger, LedgerFault, ListenLimits, Receipt, ledger::BoxFuture,
        payloads::Payloads, visitors::Bounds,
    },
    store::{Finish, NewDelivery, Retention, State, Store},
};

pub(crate) const CONFIG: &str = "
shop: { path: $/shop, branch: main }
blog: { path: $/blog, branch: main, full_name: acme/blog }
";

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) payloads: Arc<Payloads>,
    address: std::net::SocketAddr,
    woken: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

/// Whom a server believes, where it is not the usual one: GitHub, with a secret.
pub(crate) struct Trust {
    pub(crate) secret: Option<Secret>,
    pub(crate) forges: &'static [&'static Forge],
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { secret: Some(Secret::new("secret")), forges: forge::ALL }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}{}", self.head, self.body))
    }
}

/// The value of `X-Hub-Signature-256`.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    GITHUB.proof.prove(&Secret::new(secret), Head::new(&|_| None), body).unwrap().1
}

fn bounds(all: usize) -> Bounds {
    Bounds { all, one_sender: 4, proxies: vec!["127.0.0.0/8".parse().unwrap()] }
}

fn limits() -> (IntakeLimits, ListenLimits) {
    (
        IntakeLimits {
            body: 1 << 20,
            requests: 16,
            place_wait: Duration::from_millis(50),
            body_timeout: Duration::from_secs(30),
            payload: 64 << 10,
        },
        ListenLimits { bounds: bounds(64), header_timeout: Duration::from_secs(30), grace: Duration::from_secs(5) },
    )
}

impl Bench {
    async fn new() -> Bench {
        Bench::with(CONFIG, limits()).await
    }

    async fn with(config: &str, limits: (IntakeLimits, ListenLimits)) -> Bench {
        Bench::with_ledger(config, limits, |store| Arc::new(store)).await
    }

    pub(crate) async fn trusting(config: &str, trust: Trust) -> Bench {
        Bench::open(config, limits(), trust, |store| Arc::new(store)).await
    }

    async fn with_ledger(
        config: &str,
        limits: (IntakeLimits, ListenLimits),
        ledger: impl FnOnce(Store) -> Arc<dyn Ledger>,
    ) -> Bench {
        Bench::open(config, limits, Trust::default(), ledger).await
    }

    async fn open(
        config: &str,
        (intake, listen): (IntakeLimits, ListenLimits),
        Trust { secret, forges }: Trust,
        ledger: impl FnOnce(Store) -> Arc<dyn Ledger>,
    ) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        for name in ["shop", "blog"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let file = dir.path().join("repos.yaml");
        fs::write(&file, config.replace('$', &dir.path().display().to_string())).unwrap();
        let variables = HashMap::from([("BLOG_SECRET".to_owned(), "of the blog".to_owned())]);
        let repos = Arc::new(LiveRepos::open(&file, variables).unwrap());
        let store = Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let wake = {
            let woken = Arc::clone(&woken);
            Arc::new(move |repo: &str| woken.lock().unwrap().push(repo.to_owned()))
        };
        let ledger = ledger(store.clone());
        let checked_out = Arc::new(server::checked_out);
        let redactor = Redactor::new();
        secret.iter().for_each(|secret| redactor.add_secret(secret));
        let state = IntakeState::new(repos, secret, ledger, wake, checked_out, intake);
        let payloads = Payloads::new(store.clone());
        let state = state.with_forges(forges).with_redactor(redactor).with_payloads(Arc::clone(&payloads));
        let state = Arc::new(state);
        let keeping = Arc::clone(&payloads);
        tokio::spawn(async move { keeping.run(CancellationToken::new()).await });
        let refusals = Arc::clone(&state.refusals);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server::serve(listener, server::router(state), listen, refusals, shutdown).await.unwrap();
        });
        Bench { dir, store, payloads, address, woken, stop: Some(stop), serving: Some(serving) }
    }

    fn config_file(&self) -> PathBuf {
        self.dir.path().join("repos.yaml")
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, reads one answer.
    async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        read_answer(&mut stream).await
    }

    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.post_to("/webhook", headers, body).await
    }

    pub(crate) async fn post_to(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(&[head.as_bytes(), b"\r\n", body].concat()).await
    }

    /// A signed JSON delivery.
    pub(crate) async fn deliver(&self, event: &str, body: &str) -> Answer {
        let signature = sign("secret", body.as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", event),
            ("x-hub-signature-256", signature.as_str()),
        ];
        self.post(&headers, body.as_bytes()).await
    }

    /// Sends a signed push whole, and does not wait for the answer.
    async fn sent(&self, body: &str) -> TcpStream {
        let head = format!(
            "POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\
             x-github-event: push\r\nx-hub-signature-256: {}\r\n\r\n",
            body.len(),
            sign("secret", body.as_bytes())
        );
        let mut stream = self.connect().await;
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
        stream
    }

    pub(crate) fn woken(&self) -> Vec<String> {
        self.woken.lock().unwrap().clone()
    }
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Answer { status, head: lower, body: body.to_owned() };
            }
        }
        let mut chunk = [0; 4096];
        match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut chunk)).await.expect("no answer") {
            Ok(0) => panic!("closed after {text:?}"),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) => panic!("{error} after {text:?}"),
        }
    }
}

pub(crate) fn push(full_name: &str, branch: &str, number: u64) -> String {
    let name = full_name.rsplit('/').next().unwrap();
    format!(
        r#"{{"ref":"refs/heads/{branch}","before":"{:040x}","after":"{number:040x}","repository":{{"name":"{name}","full_name":"{full_name}","default_branch":"main"}},"pusher":{{"name":"ada"}}}}"#,
        number + 1_000_000
    )
}

#[tokio::test]
async fn a_push_is_queued_and_named() {
    let bench = Bench::new().await;
    let first = bench.deliver("push", &push("acme/shop", "main", 1)).await;
    assert_eq!(first.status, 202, "{}", first.body);
    assert!(first.head.contains("content-type: application/json"));
    let json = first.json();
    assert_eq!((json["status"].as_str(), json["repository"].as_str()), (Some("queued"), Some("shop")));
    let id = json["deployment"].as_i64().unwrap();
    let kept = bench.store.deployment(id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.branch.as_deref(), kept.who.as_deref()), (State::Queued, Some("main"), Some("ada")));
    assert_eq!(bench.woken(), ["shop"]);
    let second = bench.deliver("push", &push("acme/shop", "main", 2)).await.json();
    assert_eq!(second["superseded"].as_i64(), Some(id));
}

#[tokio::test]
async fn form_bodies_are_signed_as_they_are() {
    let bench = Bench::new().await;
    let json = push("acme/shop", "main", 1);
    let form = format!("payload={}", url::form_urlencoded::byte_serialize(json.as_bytes()).collect::<String>());
    let signature = sign("secret", form.as_bytes());
    let headers = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-github-event", "push"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    assert_eq!(bench.post(&headers, form.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn what_is_not_wanted_is_200_with_its_reason() {
    let bench = Bench::new().await;
    let zero = format!(r#""after":"{:040x}""#, 0);
    let deleted = push("acme/shop", "main", 7).replace(&format!(r#""after":"{:040x}""#, 7), &zero);
    for (event, body, status, reason) in [
        ("ping", r#"{"zen":"x"}"#.to_owned(), "pong", "ping"),
        ("push", push("acme/shop", "dev", 1), "ignored", "branch dev is not the deployed branch main"),
        ("push", deleted, "ignored", "branch main was deleted"),
        ("push", push("acme/other", "main", 1), "unknown", "acme/other is not configured here"),
        ("push", push("evil/blog", "main", 1), "unknown", "evil/blog is not configured here"),
        ("push", push("me/Turnout", "main", 1), "self", "self-update skipped"),
        ("release", r#"{"action":"published"}"#.to_owned(), "ignored", "events of kind release are not acted on"),
    ] {
        let answer = bench.deliver(event, &body).await;
        let json = answer.json();
        assert_eq!((answer.status, json["status"].as_str()), (200, Some(status)), "{}", answer.body);
        assert!(json["message"].as_str().unwrap().contains(reason), "{}", answer.body);
        assert!(json.get("deployment").is_none());
    }
    assert!(bench.woken().is_empty());
    // Each left a record.
    assert_eq!(bench.store.deliveries(100).await.unwrap().len(), 7);
}

#[tokio::test]
async fn repeats_queue_nothing_unless_the_first_failed() {
    let bench = Bench::new().await;
    let body = push("acme/shop", "main", 1);
    let id = bench.deliver("push", &body).await.json()["deployment"].as_i64().unwrap();
    let repeat = bench.deliver("push", &body).await;
    assert_eq!((repeat.status, repeat.json()["deployment"].as_i64()), (200, Some(id)));
    assert_eq!(repeat.json()["status"], "duplicate");
    assert_eq!(bench.woken().len(), 1);
    bench.store.next("shop").await.unwrap().unwrap();
    bench.store.finish(id, Finish::Failed { error: "x".into() }).await.unwrap();
    assert_eq!(bench.deliver("push", &body).await.status, 202);
}

#[tokio::test]
async fn refusals() {
    let bench = Bench::new().await;
    let body = push("acme/shop", "main", 1);
    let good = sign("secret", body.as_bytes());
    let wrong = sign("other", body.as_bytes());
    let json = ("content-type", "application/json");
    let event = ("x-github-event", "push");
    let signed = |signature: &'static str| ("x-hub-signature-256", signature);
    let good: &'static str = good.leak();
    let wrong: &'static str = wrong.leak();
    for (headers, expected) in [
        (vec![json, event], 401),
        (vec![json, event, signed(wrong)], 401),
        (vec![json, event, signed("sha256=")], 401),
        (vec![json, event, signed("sha256=é")], 401),
        (vec![json, event, ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")], 401),
        (vec![json, signed(good)], 400),
        (vec![event, signed(good)], 415),
        (vec![("content-type", "text/plain"), event, signed(good)], 415),
        (vec![json, event, signed(good), ("content-encoding", "gzip")], 415),
        (vec![("content-type", "application/x-www-form-urlencoded"), event, signed(good)], 400),
    ] {
        let answer = bench.post(&headers, body.as_bytes()).await;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.body);
        assert_eq!(answer.json()["status"], "error");
        assert!(!answer.body.contains("secret"));
    }
    for bad in [&b"{"[..], b"", b"{\"a\":\"\xff\"}", b"null", b"\x00\x01"] {
        let signature = sign("secret", bad);
        let answer = bench.post(&[json, event, ("x-hub-signature-256", &signature)], bad).await;
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    // Signed for another body: truncated or changed on the way.
    let cut = &body.as_bytes()[..body.len() - 1];
    assert_eq!(bench.post(&[json, event, signed(good)], cut).await.status, 401);
    assert!(bench.woken().is_empty());
    assert!(bench.store.deliveries(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn other_addresses_and_methods() {
    let bench = Bench::new().await;
    for (request, status) in [
        ("GET / HTTP/1.1", 200),
        ("GET /healthz HTTP/1.1", 200),
        ("GET /readyz HTTP/1.1", 200),
        ("GET /webhook HTTP/1.1", 405),
        ("PUT /webhook HTTP/1.1", 405),
        ("POST / HTTP/1.1", 405),
        ("GET /payload HTTP/1.1", 404),
        ("GET /webhook/../etc/passwd HTTP/1.1", 404),
    ] {
        let answer = bench.raw(format!("{request}\r\nhost: x\r\n\r\n").as_bytes()).await;
        assert_eq!(answer.status, status, "{request}");
    }
    assert_eq!(bench.raw(b"not http at all\r\n\r\n").await.status, 400);
    let answer = bench.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.body, r#"{"status":"ok","config":"ok"}"#);
}

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
    /// Somebody waits.
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
async fn edits_of_the_list_count_at_once_and_broken_ones_do_not() {
    let bench = Bench::new().await;
    fs::write(bench.config_file(), "shop: [\n").unwrap();
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 1)).await.status, 202);
    let health = bench.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((health.status, health.json()["config"].as_str()), (200, Some("broken")));
    let moved = format!("shop: {{ path: {}/shop, branch: release }}\n", bench.dir.path().display());
    fs::write(bench.config_file(), moved).unwrap();
    assert_eq!(bench.deliver("push", &push("acme/shop", "main", 2)).await.status, 200);
    assert_eq!(bench.deliver("push", &push("acme/shop", "release", 3)).await.status, 202);
}

#[tokio::test]
async fn a_repository_with_its_own_secret_takes_no_other() {
    let config = CONFIG.replace("full_name: acme/blog", "full_name: acme/blog, secret_env: BLOG_SECRET");
    let bench = Bench::with(&config, limits()).await;
    let send = |secret: &str, body: String| {
        let signature = sign(secret, body.as_bytes());
        let bench = &bench;
        async move {
            let headers = [
                ("content-type", "application/json"),
                ("x-github-event", "push"),
                ("x-hub-signature-256", signature.as_str()),
            ];
            bench.post(&headers, body.as_bytes()).await.status
        }
    };
    assert_eq!(send("of the blog", push("acme/blog", "main", 1)).await, 202);
    assert_eq!(send("secret", push("acme/blog", "main", 2)).await, 401);
    assert_eq!(send("of the blog", push("acme/shop", "main", 3)).await, 401);
    assert_eq!(send("secret", push("acme/shop", "main", 4)).await, 202);
    assert_eq!(send("neither", push("acme/blog", "main", 5)).await, 401);
    // Named only after a long list of commits, as some forges do: what came before is signed all the same.
    let late = |number, size: usize| {
        let commits = format!(r#"{{"commits":["{}"],"#, "x".repeat(size));
        push("acme/blog", "main", number).replacen('{', &commits, 1)
    };
    assert_eq!(send("of the blog", late(6, 10_000)).await, 202);
    assert_eq!(send("of the blog", late(7, 900_000)).await, 202);
    assert_eq!(send("secret", late(8, 900_000)).await, 401);
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

/// A ledger that can write nothing. (`tests/offline/store.rs` has the real full disk.)
struct Refusing {
    full: bool,
}

impl Ledger for Refusing {
    fn accept(&self, _delivery: NewDelivery) -> BoxFuture<'_, Result<Receipt, LedgerFault>> {
        let fault = LedgerFault { full: self.full, damaged: false, detail: "at a secret place".to_owned() };
        Box::pin(async move { Err(fault) })
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_promised() {
    for (full, status) in [(true, 507), (false, 503)] {
        let bench = Bench::with_ledger(CONFIG, limits(), |_| Arc::new(Refusing { full })).await;
        let answer = bench.deliver("push", &push("acme/shop", "main", 1)).await;
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("retry-after: 30") && !answer.body.contains("secret place"), "{}", answer.body);
        assert!(bench.woken().is_empty());
        // What promises nothing is answered all the same.
        assert_eq!(bench.deliver("ping", "{}").await.status, 200);
    }
}
