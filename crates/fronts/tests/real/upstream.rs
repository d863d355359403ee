//! A colour's container: answers its name, at once or after a while.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(200);

pub struct Upstream {
    pub address: SocketAddr,
    open: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(name: &'static str) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&open);
        let task = tokio::spawn(async move {
            // Dropped with this task: what is open then is cut.
            let mut all = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                all.spawn(serve(stream, name, Arc::clone(&count)));
                while all.try_join_next().is_some() {}
            }
        });
        Upstream { address, open, task }
    }

    /// Waits until no request is open here.
    pub async fn idle(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends at once, as a container does that is killed.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream, name: &str, open: Arc<AtomicU64>) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            stream.read_buf(&mut read).await.ok().filter(|count| *count > 0)?;
        };
        open.fetch_add(1, Ordering::SeqCst);
        let _open = Open(&open);
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        while read.len() < head + length.unwrap_or(0) {
            stream.read_buf(&mut read).await.ok().filter(|count| *count > 0)?;
        }
        if text.starts_with("get /slow") {
            tokio::time::sleep(SLOW).await;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
        read.drain(..head + length.unwrap_or(0));
    }
}

struct Open<'o>(&'o AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
