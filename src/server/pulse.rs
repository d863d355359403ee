//! Whether the daemon can do its work. Looked at now and then, and told by `/healthz`, `/readyz` and the watchdog
//! (`WATCHDOG=1` of sd_notify(3)).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// A look that is older than this counts as one that found nothing alive: whoever looks has stopped.
const STALE: Duration = Duration::from_secs(120);

/// What is told of a full disk.
const FULL: &str = "the disk of the state directory is full: no push can be taken";

/// A part of the daemon that must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Writes to the database.
    Store,
    /// Lanes begin deployments.
    Lanes,
    /// The webhook server answers.
    Intake,
    /// The disk of the state directory has room. Deliveries are told where it has none, and a restart makes none.
    Disk,
    /// The Docker engine answers. Deployments wait for it, so the daemon is alive without.
    Engine,
}

impl Part {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Part::Store => "store",
            Part::Lanes => "lanes",
            Part::Intake => "intake",
            Part::Disk => "disk",
            Part::Engine => "engine",
        }
    }
}

/// What the last look found.
#[derive(Debug, Default)]
pub struct Pulse {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looked: Option<Instant>,
    missing: Vec<Part>,
    stopping: bool,
}

impl Pulse {
    /// Notes a look, and tells in the log what has changed.
    pub fn note(&self, missing: &[Part]) {
        let mut seen = self.seen();
        seen.looked = Some(Instant::now());
        for part in missing.iter().filter(|part| !seen.missing.contains(part)) {
            lost(*part);
        }
        for part in seen.missing.iter().filter(|part| !missing.contains(part)) {
            match part {
                Part::Disk => tracing::info!("the disk of the state directory has room again"),
                part => tracing::info!("the {} answers again", part.name()),
            }
        }
        seen.missing = missing.to_vec();
    }

    /// A delivery found that a part does not do its work: a full disk, a damaged database. Nobody is to be told for the time
    /// until the next look that it did.
    pub fn lacks(&self, part: Part) {
        let mut seen = self.seen();
        if !seen.missing.contains(&part) {
            lost(part);
            seen.missing.push(part);
        }
    }

    /// From now on nothing new is begun.
    pub fn stops(&self) {
        self.seen().stopping = true;
    }

    /// What keeps the daemon from living: empty while it does what it is for, whatever becomes of the engine.
    pub fn failing(&self) -> Vec<&'static str> {
        let seen = self.seen();
        let stale = seen.looked.is_some_and(|looked| looked.elapsed() > STALE);
        let outside = |part: &Part| matches!(part, Part::Engine | Part::Disk);
        let parts = seen.missing.iter().filter(|part| !outside(part)).map(|part| part.name());
        parts.chain(stale.then_some("watch")).collect()
    }

    /// What a delivery that comes now would have to wait for.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let mut parts = self.failing();
        let seen = self.seen();
        parts.extend(
            [Part::Disk, Part::Engine].iter().filter(|part| seen.missing.contains(part)).map(|part| part.name()),
        );
        parts.extend(seen.stopping.then_some("restart"));
        parts
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Only whole values are written under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(part: Part) {
    match part {
        Part::Disk => tracing::error!("{FULL}"),
        part => tracing::error!("the {} does not answer", part.name()),
    }
}

/// Whether the webhook server at this address answers, asked as anybody would.
pub async fn answers(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let asked = async {
        let mut stream = TcpStream::connect((ip, address.port())).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"HTTP/1.1 200")
    };
    asked.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_engine_is_waited_for_and_the_others_are_not() {
        let pulse = Pulse::default();
        assert!(pulse.failing().is_empty() && pulse.waiting_for().is_empty());
        pulse.note(&[Part::Engine]);
        assert!(pulse.failing().is_empty());
        assert_eq!(pulse.waiting_for(), ["engine"]);
        pulse.note(&[Part::Disk]);
        assert!(pulse.failing().is_empty());
        assert_eq!(pulse.waiting_for(), ["disk"]);
        pulse.note(&[]);
        pulse.lacks(Part::Disk);
        pulse.lacks(Part::Disk);
        assert_eq!(pulse.waiting_for(), ["disk"], "before the next look");
        pulse.lacks(Part::Store);
        assert_eq!(pulse.failing(), ["store"]);
        pulse.note(&[Part::Store, Part::Engine]);
        assert_eq!(pulse.failing(), ["store"]);
        pulse.note(&[]);
        assert!(pulse.waiting_for().is_empty());
        tokio::time::advance(STALE + Duration::from_secs(1)).await;
        assert_eq!(pulse.failing(), ["watch"]);
        pulse.note(&[]);
        pulse.stops();
        assert!(pulse.failing().is_empty());
        assert_eq!(pulse.waiting_for(), ["restart"]);
    }

    #[tokio::test]
    async fn only_an_answer_counts() {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, ()) = tokio::join!(answers(address), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        });
        assert!(answer);
        drop(listener);
        assert!(!answers(address).await);
    }
}
