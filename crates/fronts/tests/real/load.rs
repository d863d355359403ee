//! Clients that ask as fast as they are answered, on new connections and on lasting ones.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Came {
    /// How many each colour answered.
    pub answered: BTreeMap<String, u64>,
    /// On a connection that had been used before, and ended before an answer began: browsers ask a GET again by themselves.
    pub stale: u64,
    /// On a new connection that was reset before an answer began.
    pub reset: u64,
    /// What went wrong otherwise, in words.
    pub failed: Vec<String>,
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.answered.values().sum();
        let Came { stale, reset, failed, .. } = self;
        write!(f, "{all} requests answered, {} failed, {stale} stale, {reset} reset", failed.len())
    }
}

pub struct Load {
    clients: JoinSet<()>,
    stops: Arc<AtomicBool>,
    came: Arc<Mutex<Came>>,
    count: Arc<AtomicU64>,
}

/// What a client sends, and whether it keeps its connection.
const CLIENTS: &[(&str, bool, usize)] = &[
    ("GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", false, 4),
    ("GET / HTTP/1.1\r\nHost: shop\r\n\r\n", true, 4),
    ("GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n", true, 6),
    ("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello", true, 2),
];

impl Load {
    pub fn start(at: SocketAddr) -> Load {
        let (stops, came, count) = <(Arc<AtomicBool>, Arc<Mutex<Came>>, Arc<AtomicU64>)>::default();
        let mut clients = JoinSet::new();
        for (request, keeps, number) in CLIENTS {
            for _ in 0..*number {
                let (stops, came, count) = (Arc::clone(&stops), Arc::clone(&came), Arc::clone(&count));
                clients.spawn(async move {
                    let mut kept = None;
                    while !stops.load(Ordering::SeqCst) {
                        let again = kept.is_some();
                        let stream = match kept.take() {
                            Some(stream) => Ok(stream),
                            None => TcpStream::connect(at).await,
                        };
                        let answered = match stream {
                            Ok(stream) => exchange(stream, request).await,
                            Err(error) => Err((true, format!("connecting: {error}"))),
                        };
                        count.fetch_add(1, Ordering::SeqCst);
                        {
                            let mut came = came.lock().unwrap();
                            match answered {
                                Ok((stream, colour, lasts)) => {
                                    *came.answered.entry(colour).or_default() += 1;
                                    kept = Some(stream).filter(|_| *keeps && lasts);
                                }
                                Err((true, _)) if again => came.stale += 1,
                                Err((true, why)) if why.contains("reset") => came.reset += 1,
                                Err((_, why)) => {
                                    came.failed.push(format!("{}: {why}", request.lines().next().unwrap()));
                                }
                            }
                        }
                        // So that a machine with two cores does something else, too.
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                });
            }
        }
        Load { clients, stops, came, count }
    }

    /// Waits until every client may have asked several times.
    pub async fn runs(&self) {
        let until = self.count.load(Ordering::SeqCst) + 150;
        while self.count.load(Ordering::SeqCst) < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn stop(mut self) -> Came {
        self.stops.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut self.came.lock().unwrap())
    }
}

/// One request on a new connection: the colour that answers.
pub async fn ask(at: SocketAddr) -> String {
    let stream = TcpStream::connect(at).await.unwrap();
    exchange(stream, CLIENTS[0].0).await.unwrap().1
}

/// Asks so often, on new connections from several clients: how many each colour answered.
pub async fn count(at: SocketAddr, times: u64) -> BTreeMap<String, u64> {
    const CLIENTS: u64 = 4;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut answered = BTreeMap::<String, u64>::new();
            for _ in 0..(times + client) / CLIENTS {
                *answered.entry(ask(at).await).or_default() += 1;
            }
            answered
        });
    }
    let mut all = BTreeMap::new();
    while let Some(answered) = clients.join_next().await {
        for (colour, count) in answered.unwrap() {
            *all.entry(colour).or_default() += count;
        }
    }
    all
}

/// Says a request and reads the answer. An error tells whether nothing of an answer had come.
async fn exchange(mut stream: TcpStream, request: &str) -> Result<(TcpStream, String, bool), (bool, String)> {
    stream.write_all(request.as_bytes()).await.map_err(|error| (true, format!("asking: {error}")))?;
    let mut read = Vec::new();
    loop {
        if let Some(answer) = whole(&read) {
            let (status, body, lasts) = answer;
            return if status == "200" { Ok((stream, body, lasts)) } else { Err((false, format!("status {status}"))) };
        }
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err((read.is_empty(), format!("the connection ended after {} bytes", read.len()))),
            Ok(_) => {}
            Err(error) => return Err((read.is_empty(), format!("after {} bytes: {error}", read.len()))),
        }
    }
}

/// An answer that has come whole: its status, its body, and whether the connection lasts.
fn whole(read: &[u8]) -> Option<(String, String, bool)> {
    let text = String::from_utf8_lossy(read).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lower = head.to_lowercase();
    let value = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize = value("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
    if body.len() < length {
        return None;
    }
    let status = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    Some((status, body.to_owned(), value("connection:") != Some("close")))
}
