//! The webhook server over a real socket, with a list of two repositories and a store of its own.

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
    forge::{self, Forge, GITHUB, Head, HooksOf},
    report::redact::Redactor,
    server::{self, IntakeLimits, IntakeState, Ledger, ListenLimits, payloads::Payloads, visitors::Bounds},
    store::{Retention, Store},
};

pub(crate) const CONFIG: &str = "
shop: { path: $/shop, branch: main }
blog: { path: $/blog, branch: main, full_name: acme/blog }
";

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) address: std::net::SocketAddr,
    woken: Arc<Mutex<Vec<String>>>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: Option<JoinHandle<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Whom a server believes, where it is not the usual one: GitHub, with a secret.
pub(crate) struct Trust {
    pub(crate) secret: Option<Secret>,
    pub(crate) forges: &'static [&'static Forge],
    pub(crate) hooks: Arc<HooksOf>,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { secret: Some(Secret::new("secret")), forges: forge::ALL, hooks: Arc::new(forge::no_hooks) }
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

pub(crate) fn bounds(all: usize) -> Bounds {
    Bounds { all, one_sender: 4, proxies: vec!["127.0.0.0/8".parse().unwrap()] }
}

pub(crate) fn limits() -> (IntakeLimits, ListenLimits) {
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
    pub(crate) async fn new() -> Bench {
        Bench::with(CONFIG, limits()).await
    }

    pub(crate) async fn with(config: &str, limits: (IntakeLimits, ListenLimits)) -> Bench {
        Bench::with_ledger(config, limits, |store| Arc::new(store)).await
    }

    pub(crate) async fn trusting(config: &str, trust: Trust) -> Bench {
        Bench::open(config, limits(), trust, |store| Arc::new(store)).await
    }

    pub(crate) async fn trusting_with_ledger(
        config: &str,
        trust: Trust,
        ledger: impl FnOnce(Store) -> Arc<dyn Ledger>,
    ) -> Bench {
        Bench::open(config, limits(), trust, ledger).await
    }

    pub(crate) async fn with_ledger(
        config: &str,
        limits: (IntakeLimits, ListenLimits),
        ledger: impl FnOnce(Store) -> Arc<dyn Ledger>,
    ) -> Bench {
        Bench::open(config, limits, Trust::default(), ledger).await
    }

    async fn open(
        config: &str,
        (intake, listen): (IntakeLimits, ListenLimits),
        Trust { secret, forges, hooks }: Trust,
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
        let state =
            state.with_forges(forges).with_hooks(hooks).with_redactor(redactor).with_payloads(Arc::clone(&payloads));
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

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("repos.yaml")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, reads one answer.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
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
    pub(crate) async fn sent(&self, body: &str) -> TcpStream {
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

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
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
