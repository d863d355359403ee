//! HAProxy, by its runtime socket: a server for each colour, of which one is `ready` and the other in `maint`. Which
//! deployment had it lead there is kept in a stick table of HAProxy's, so that it is gone where the servers' states are.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use crate::{
    FrontError, file,
    front::{Front, Told},
    table::{self, FAIR, Missing, Moves, Remembered, Server},
    wanted::{Drain, Means, Open, Stands, Wanted},
};

/// Longest wait for one answer. HAProxy answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most of an answer that is read: some thousand servers.
const MOST: u64 = 4 << 20;

/// HAProxy, for one repository.
#[derive(Debug)]
pub struct Haproxy {
    /// Its runtime socket, of level `admin`.
    pub socket: PathBuf,
    /// The repository as `repos.yaml` calls it; a backend that is led for another one is left alone.
    pub repository: String,
    /// The backends that lead to it, by the names that HAProxy's own configuration gives them.
    pub backends: Vec<String>,
    /// The backend that has nothing but the stick table.
    pub table: String,
    /// The folder of `server-state-base`, where HAProxy reads states after a reload.
    pub state: Option<PathBuf>,
}

/// What is asked before anything is said.
struct Seen {
    backends: Vec<(String, Vec<Server>)>,
    remembered: Remembered,
}

impl Haproxy {
    async fn ask(&self, asked: &str) -> Result<String, FrontError> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await.map_err(|error| (false, error))?;
            let mut said = String::new();
            let talk = async {
                stream.write_all(format!("{asked}\n").as_bytes()).await?;
                stream.take(MOST).read_to_string(&mut said).await?;
                Ok::<_, io::Error>(said)
            };
            talk.await.map_err(|error| (true, error))
        };
        let silent = |why: String| FrontError::Silent { front: self.name(), asked: asked.to_owned(), why };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(said)) if said.starts_with("Permission denied") => Err(FrontError::Lacks {
                front: self.name(),
                what: "does not let its socket change anything".to_owned(),
                remedy: format!("write in its section `global`: stats socket {} level admin", self.socket.display()),
            }),
            Ok(Ok(said)) => Ok(said),
            Ok(Err((false, source))) => Err(FrontError::Absent { front: self.name(), source }),
            Ok(Err((true, error))) => Err(silent(error.to_string())),
            Err(_) => Err(silent(format!("nothing came within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn look(&self) -> Result<Seen, FrontError> {
        let said = self.ask(&format!("show table {}", self.table)).await?;
        let remembered = table::remembered(&said).ok_or_else(|| FrontError::Lacks {
            front: self.name(),
            what: format!("has no stick table {}", self.table),
            remedy: format!(
                "write in its configuration, and reload it: backend {}, and in it: stick-table type string len 128 size 1k \
                 nopurge store gpt0,gpc0",
                self.table
            ),
        })?;
        let mut backends = Vec::new();
        for backend in &self.backends {
            let state = self.ask(&format!("show servers state {backend}")).await?;
            let stat = self.ask(&format!("show stat {backend} 4 -1")).await?;
            let servers = table::servers(&state, &stat, backend).ok_or_else(|| FrontError::Lacks {
                front: self.name(),
                what: format!("has no backend {backend}"),
                remedy: "write it into its configuration, or name another one under `adapter`".to_owned(),
            })?;
            if let Some(other) = table::taken_by(&remembered, backend, &self.repository) {
                return Err(FrontError::Lacks {
                    front: self.name(),
                    what: format!("leads its backend {backend} for the repository {other}"),
                    remedy: format!(
                        "name another backend under `adapter`; if {other} is no more: clear table {} key {other}@{backend}",
                        self.table
                    ),
                });
            }
            backends.push((backend.clone(), servers));
        }
        Ok(Seen { backends, remembered })
    }

    /// Finds what is missing.
    async fn look_for(&self, wanted: &Wanted) -> Result<(), FrontError> {
        let seen = self.look().await?;
        self.moves(wanted, &seen)?;
        match &self.state {
            Some(folder) => self.backends.iter().try_for_each(|backend| file::can_be_replaced(&folder.join(backend))),
            None => Ok(()),
        }
    }

    fn moves(&self, wanted: &Wanted, seen: &Seen) -> Result<Moves, FrontError> {
        let Seen { backends, remembered } = seen;
        table::moves(&self.repository, &self.table, wanted, backends, remembered).map_err(
            |Missing::Server(backend, server)| FrontError::Lacks {
                front: self.name(),
                what: format!("has no server {server} in its backend {backend}"),
                remedy: format!("write there, and reload it: server {server} 127.0.0.1:1 disabled check"),
            },
        )
    }

    /// What HAProxy reads at its next reload.
    async fn keep_state(&self, folder: &Path) -> Result<(), FrontError> {
        for backend in &self.backends {
            let state = self.ask(&format!("show servers state {backend}")).await?;
            file::replace(&folder.join(backend), &state)?;
        }
        Ok(())
    }

    async fn move_to(&self, wanted: &Wanted) -> Result<bool, FrontError> {
        let seen = self.look().await?;
        if let Stands::Leads(led) = table::stands(&self.repository, &seen.backends, &seen.remembered) {
            wanted.may_follow(&led).map_err(|(what, remedy)| FrontError::Lacks { front: self.name(), what, remedy })?;
        }
        let moves = self.moves(wanted, &seen)?;
        // Before anything moves, so that a folder that cannot be written to is found while that costs nothing.
        if let Some(folder) = &self.state {
            self.keep_state(folder).await?;
        }
        if moves == Moves::default() {
            return Ok(false);
        }
        let moves = match moves.weights.is_empty() {
            true => moves,
            false => self.weigh(wanted, moves).await?,
        };
        // All in one line: HAProxy carries them out one after the other, and serves nobody in between on that thread.
        let said = match moves.then.is_empty() {
            true => String::new(),
            false => self.ask(&moves.then.join("; ")).await?,
        };
        let left = self.moves(wanted, &self.look().await.map_err(|error| self.unsure(&error))?)?;
        if left != Moves::default() {
            let why = format!("`{}` is to be done still; it answered: {}", left.all().join("; "), one_line(&said));
            return Err(FrontError::NotSo { front: self.name(), after: Duration::ZERO, why, unknown: true });
        }
        if let Some(folder) = &self.state {
            self.keep_state(folder).await.map_err(|error| self.unsure(&error))?;
        }
        Ok(true)
    }

    /// Says what servers that share requests are to get, before one more of them gets any. Answers what is to be said then.
    async fn weigh(&self, wanted: &Wanted, moves: Moves) -> Result<Moves, FrontError> {
        let said = self.ask(&moves.weights.join("; ")).await?;
        let left = self.moves(wanted, &self.look().await?)?;
        match left.weights.is_empty() {
            true => Ok(left),
            false => Err(FrontError::Lacks {
                front: self.name(),
                what: format!("does not take `{}`: {}", left.weights.join("; "), one_line(&said)),
                remedy: "requests are shared by weights, which a backend with `balance roundrobin` takes".to_owned(),
            }),
        }
    }

    /// Whether each backend gives its servers what their weights say.
    async fn look_for_weights(&self) -> Result<(), FrontError> {
        for backend in &self.backends {
            // Of backends alone.
            let stat = self.ask(&format!("show stat {backend} 2 -1")).await?;
            let Some(other) = table::algorithm(&stat, backend).filter(|said| !FAIR.contains(said)) else { continue };
            return Err(FrontError::Lacks {
                front: self.name(),
                what: format!(
                    "chooses by {other} in its backend {backend}, and no share of the requests is kept by that"
                ),
                remedy: "write there: balance roundrobin, or take `steps` out".to_owned(),
            });
        }
        Ok(())
    }

    /// Something went wrong after requests may have moved.
    fn unsure(&self, error: &FrontError) -> FrontError {
        FrontError::NotSo { front: self.name(), after: Duration::ZERO, why: error.to_string(), unknown: true }
    }
}

/// What it answered, without what is empty.
fn one_line(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

impl Front for Haproxy {
    fn name(&self) -> String {
        format!("HAProxy on {}", self.socket.display())
    }

    fn means(&self) -> Means {
        Means {
            program: "HAProxy",
            holds: false,
            weights: true,
            pins: false,
            answers: true,
            counts: false,
            bytes: true,
            together: true,
            drain: Drain::Counted,
        }
    }

    fn stands(&self) -> Told<'_, Stands> {
        Box::pin(async {
            let Seen { backends, remembered } = self.look().await?;
            Ok(table::stands(&self.repository, &backends, &remembered))
        })
    }

    fn check<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, ()> {
        Box::pin(self.look_for(wanted))
    }

    fn could_share(&self) -> Told<'_, ()> {
        Box::pin(self.look_for_weights())
    }

    fn apply<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, bool> {
        Box::pin(self.move_to(wanted))
    }

    fn open<'f>(&'f self, colour: &'f str) -> Told<'f, Open> {
        Box::pin(async move {
            let servers = self.look().await?.backends.into_iter().flat_map(|(_, servers)| servers);
            let own = servers.filter(|server| table::is_slot(&server.name, colour));
            Ok(Open::Counted(own.map(|server| server.open).sum()))
        })
    }
}
