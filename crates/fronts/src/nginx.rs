//! nginx, by a file that its configuration includes: upstreams, and a small server that answers which deployment the workers
//! have. nginx reads it when its master is told to; what the workers answer is what holds, not what the file says.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{Method, StatusCode};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};
use tokio::time::Instant;

use crate::{
    FrontError, file,
    front::{Front, Told},
    http::{At, Question},
    record,
    wanted::{Drain, Led, Means, Open, Stands, Wanted},
    workers,
};

/// Time between two questions.
const APART: Duration = Duration::from_millis(20);
/// The largest weight of a server that is written. nginx's own bound is far above it.
const WEIGHTS: u64 = 65_535;

/// nginx, for one repository.
#[derive(Debug)]
pub struct Nginx {
    /// The file that is written, and included in its section `http`.
    pub file: PathBuf,
    /// The file with the number of its master process. None: something else has it read its files again when that one changes.
    pub pid: Option<PathBuf>,
    /// Where it answers which deployment it has; an address of this machine alone.
    pub answers: SocketAddr,
    /// The repository as `repos.yaml` calls it.
    pub repository: String,
    /// How long it may take until the workers have what was written.
    pub patience: Duration,
}

impl Nginx {
    /// Enough for a large configuration, with which a reload takes seconds.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    fn host(&self) -> String {
        format!("{}.turnout.internal", self.repository)
    }

    /// What the workers say. `None`: they have no such server, or none answers.
    async fn answered(&self) -> Result<Option<Led>, FrontError> {
        let at = At::Tcp(self.answers);
        let (front, host) = (self.name(), self.host());
        let question = Question { front: &front, at: &at, host: &host, method: Method::GET, path: "/", body: None };
        let answer = match question.ask().await {
            // Nothing listens there until it was told for the first time.
            Err(FrontError::Absent { .. }) => return Ok(None),
            answer => answer?,
        };
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        Ok(record::read(&answer.body).filter(|(repository, _)| *repository == self.repository).map(|(_, led)| led))
    }

    fn text(&self, wanted: &Wanted) -> String {
        let led = wanted.led();
        let mut text = format!(
            "# Written by turnout, which replaces it at every switch: do not edit.\n{}\n",
            record::comment(&self.repository, &led)
        );
        for place in &wanted.places {
            let _ = writeln!(text, "upstream {} {{", place.name);
            let parts = place.parts(WEIGHTS);
            for (number, colour) in place.served().enumerate() {
                let part = parts.as_ref().and_then(|parts| parts.get(number));
                let weight = part.map(|part| format!(" weight={part}")).unwrap_or_default();
                for target in &colour.targets {
                    let _ = writeln!(text, "    server {target}{weight};");
                }
            }
            text.push_str("}\n");
        }
        let _ = write!(
            text,
            "# Tells turnout which deployment the workers have.\nserver {{\n    listen {};\n    server_name {};\n    access_log off;\n    \
             default_type application/json;\n    return 200 '{}';\n}}\n",
            self.answers,
            self.host(),
            record::line(&self.repository, &led)
        );
        text
    }

    /// Finds what is missing.
    fn look_for(&self) -> Result<(), FrontError> {
        if let Some(path) = &self.pid {
            let master = self.master()?;
            test_kill_process(master).map_err(|error| self.not_signalled(master, path, error))?;
        }
        self.may_replace(file::read(&self.file)?.as_deref())?;
        file::can_be_replaced(&self.file)
    }

    /// A file of somebody else's is left as it is; one with upstreams alone was written to begin with.
    fn may_replace(&self, text: Option<&str>) -> Result<(), FrontError> {
        let Some(text) = text else { return Ok(()) };
        let more = record::find(text).is_none() && !only_upstreams(text);
        let more = more.then(|| "holds more than upstreams, and turnout has not written it".to_owned());
        let Some(what) = record::others(text, &self.repository).or(more) else { return Ok(()) };
        Err(FrontError::Lacks {
            front: self.name(),
            what: format!("cannot get {}: that {what}", self.file.display()),
            remedy: "name a file of its own under `adapter`".to_owned(),
        })
    }

    /// Whether its master runs, where that can be told. One that does not knows nothing, and is asked again.
    fn is_there(&self) -> Result<(), FrontError> {
        if self.pid.is_none() {
            return Ok(());
        }
        let master = self.master()?;
        match test_kill_process(master) {
            Err(Errno::SRCH) => Err(self.not_signalled(master, &self.file, Errno::SRCH)),
            // Whoever may not signal it sees that it is there.
            _ => Ok(()),
        }
    }

    /// Has it read its files again.
    fn reload(&self) -> Result<(), FrontError> {
        let Some(path) = &self.pid else { return Ok(()) };
        let master = self.master()?;
        kill_process(master, Signal::HUP).map_err(|error| self.not_signalled(master, path, error))
    }

    fn not_signalled(&self, master: Pid, path: &Path, error: Errno) -> FrontError {
        if error == Errno::SRCH {
            return FrontError::Absent { front: self.name(), source: error.into() };
        }
        FrontError::Lacks {
            front: self.name(),
            what: format!("cannot be told to read its files again: process {}: {error}", master.as_raw_nonzero()),
            remedy: format!(
                "run turnout as a user that may signal it, or leave `pid` out ({}) and have a systemd.path unit reload nginx \
                 when {} changes",
                path.display(),
                self.file.display()
            ),
        }
    }

    fn master(&self) -> Result<Pid, FrontError> {
        let path = self.pid.clone().unwrap_or_default();
        let text = fs::read_to_string(&path).map_err(|source| FrontError::Absent { front: self.name(), source })?;
        let master = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| FrontError::Lacks {
            front: self.name(),
            what: format!("has no number of a process in {}", path.display()),
            remedy: "name the file that `pid` in its configuration names".to_owned(),
        })?;
        // One that was killed leaves its file, and another process may have the number by now: that one is told nothing.
        if workers::is_master(master.as_raw_nonzero().get()) == Some(false) {
            let why = format!("process {} of {} is another program's", master.as_raw_nonzero(), path.display());
            return Err(FrontError::Absent {
                front: self.name(),
                source: io::Error::new(io::ErrorKind::NotFound, why),
            });
        }
        Ok(master)
    }

    async fn move_to(&self, wanted: &Wanted) -> Result<bool, FrontError> {
        let (led, text) = (wanted.led(), self.text(wanted));
        let before = file::read(&self.file)?;
        self.may_replace(before.as_deref())?;
        if let Some(there) = self.answered().await? {
            wanted.may_follow(&there).map_err(|(what, remedy)| FrontError::Lacks {
                front: self.name(),
                what,
                remedy,
            })?;
            if there == led && before.as_ref() == Some(&text) {
                return Ok(false);
            }
        }
        // Found out before the file changes: one that nobody reads again would count at somebody's next reload.
        self.is_there()?;
        let old = self.working();
        file::replace(&self.file, &text)?;
        let taken = match self.reload() {
            Ok(()) => self.taken(&led, &old).await,
            Err(error) => Err(error),
        };
        let Err(error) = taken else { return Ok(true) };
        // As it was, so that nobody's later reload moves requests.
        match &before {
            Some(before) => file::replace(&self.file, before)?,
            None => file::remove(&self.file)?,
        }
        self.reload()?;
        Err(error)
    }

    /// Workers that take requests.
    fn working(&self) -> BTreeSet<i32> {
        let master = self.pid.as_ref().and_then(|_| self.master().ok());
        master.map(|master| workers::working(master.as_raw_nonzero().get())).unwrap_or_default()
    }

    /// Waits until the workers have it, and none of before takes requests any more.
    async fn taken(&self, led: &Led, old: &BTreeSet<i32>) -> Result<(), FrontError> {
        let began = Instant::now();
        loop {
            // While it reloads an answer may fail.
            if self.answered().await.ok().flatten().as_ref() == Some(led) && self.working().is_disjoint(old) {
                return Ok(());
            }
            if began.elapsed() > self.patience {
                return Err(FrontError::NotSo {
                    front: self.name(),
                    after: self.patience,
                    why: format!(
                        "its workers do not have it; is {} included in its section `http`, and what do `nginx -t` and its error \
                         log say? The file is as it was before",
                        self.file.display()
                    ),
                    unknown: true,
                });
            }
            tokio::time::sleep(APART).await;
        }
    }
}

/// Whether a text of nginx's language has no block but upstreams.
fn only_upstreams(text: &str) -> bool {
    let code: String = text.lines().map(|line| format!("{}\n", line.split('#').next().unwrap_or_default())).collect();
    let mut depth = 0_usize;
    code.split_inclusive(['{', '}', ';']).all(|part| {
        let at_top = depth == 0;
        match part.chars().last() {
            Some('{') => depth += 1,
            Some('}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        !at_top || part.trim().is_empty() || part.split_whitespace().next() == Some("upstream")
    })
}

impl Front for Nginx {
    fn name(&self) -> String {
        format!("nginx on {}", self.answers)
    }

    fn means(&self) -> Means {
        Means {
            program: "nginx",
            holds: false,
            weights: true,
            pins: false,
            answers: true,
            counts: false,
            bytes: false,
            together: true,
            drain: if self.pid.is_some() { Drain::Processes } else { Drain::Waited },
        }
    }

    fn stands(&self) -> Told<'_, Stands> {
        Box::pin(async {
            let (there, written) = (self.answered().await?, file::read(&self.file)?);
            if there.is_none() {
                self.is_there()?;
            }
            let written = written.as_deref().and_then(record::find);
            Ok(match (there, written) {
                (None, _) => Stands::Unknown,
                (Some(there), Some((_, written))) if written == there => Stands::Leads(there),
                // It has what it has; the file is what it would have after its next start.
                (Some(there), written) => {
                    let ages = written.iter().map(|(_, led)| led).chain([&there]);
                    Stands::Otherwise {
                        why: format!("{} says something else", self.file.display()),
                        at: ages.map(|led| (led.generation, led.revision)).max().unwrap_or_default(),
                    }
                }
            })
        })
    }

    fn check<'f>(&'f self, _wanted: &'f Wanted) -> Told<'f, ()> {
        Box::pin(async { self.look_for() })
    }

    fn could_share(&self) -> Told<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn apply<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, bool> {
        Box::pin(self.move_to(wanted))
    }

    fn open<'f>(&'f self, _colour: &'f str) -> Told<'f, Open> {
        Box::pin(async {
            let Some(path) = &self.pid else { return Ok(Open::Unseen) };
            if !path.exists() {
                return Ok(Open::Counted(0));
            }
            let leaving = workers::leaving(self.master()?.as_raw_nonzero().get());
            Ok(leaving.map_or(Open::Unseen, Open::Counted))
        })
    }
}

#[cfg(test)]
mod tests {
    use turnout_traffic::Colour;

    use super::*;
    use crate::wanted::Place;

    #[test]
    fn only_a_file_that_was_written_to_begin_with_is_replaced() {
        for (text, may) in [
            ("", true),
            ("# by hand\nupstream shop {\n    server 127.0.0.1:8080; # in place\n}\n", true),
            ("upstream a { server b; }\nserver { listen 80; }\n", false),
            ("events {}\nhttp { upstream a { server b; } }\n", false),
            ("user www-data;\n", false),
        ] {
            assert_eq!(only_upstreams(text), may, "{text}");
        }
    }

    #[test]
    fn the_file_says_where_and_who() {
        let front = Nginx {
            file: "/etc/nginx/turnout/shop.conf".into(),
            pid: None,
            answers: "127.0.0.1:8099".parse().unwrap(),
            repository: "shop".to_owned(),
            patience: Nginx::PATIENCE,
        };
        let colour = |name: &str, weight, ports: &[u16]| Colour {
            name: name.to_owned(),
            generation: 7,
            weight,
            targets: ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect(),
        };
        let wanted =
            |colours| Wanted { generation: 7, revision: 0, places: vec![Place { name: "shop".to_owned(), colours }] };
        assert_eq!(
            front.text(&wanted(vec![colour("red", 0, &[20_000]), colour("blue", 100, &[20_001])])),
            "# Written by turnout, which replaces it at every switch: do not edit.
# turnout: {\"turnout\":1,\"repository\":\"shop\",\"generation\":7,\"revision\":0,\"colours\":[{\"name\":\"blue\",\"generation\":7,\"weight\":100}]}
upstream shop {
    server 127.0.0.1:20001;
}
# Tells turnout which deployment the workers have.
server {
    listen 127.0.0.1:8099;
    server_name shop.turnout.internal;
    access_log off;
    default_type application/json;
    return 200 '{\"turnout\":1,\"repository\":\"shop\",\"generation\":7,\"revision\":0,\"colours\":[{\"name\":\"blue\",\"generation\":7,\"weight\":100}]}';
}
"
        );
        let text = front.text(&wanted(vec![colour("red", 75, &[20_000]), colour("blue", 25, &[20_001, 20_002])]));
        assert!(
            text.contains("    server 127.0.0.1:20000 weight=6;\n    server 127.0.0.1:20001 weight=1;\n    server 127.0.0.1:20002 weight=1;"),
            "{text}"
        );
    }
}
