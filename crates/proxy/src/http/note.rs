//! What the access log is told of a request. Nothing is gathered where there is no log.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    forward::Asker,
    head::{Head, Kind},
};
use crate::{
    access::{AccessLog, Entry, millis, shown},
    board::{Claim, Serving},
};

/// What is gathered while a request is served.
#[derive(Debug, Default)]
pub(crate) struct Note(Option<Box<Gathered>>);

#[derive(Debug)]
struct Gathered {
    began: Instant,
    method: String,
    host: String,
    target: String,
    modern: bool,
    referer: String,
    agent: String,
    id: String,
    status: u16,
    /// Bytes of the answer's head.
    head: u64,
    container: Option<Duration>,
    by: Option<Claimed>,
}

#[derive(Debug)]
struct Claimed {
    colour: String,
    generation: u64,
    target: String,
}

impl Note {
    /// Of a request whose head these bytes are; `id` is the one that its container is told.
    pub(crate) fn of(log: Option<&AccessLog>, bytes: &[u8], head: &Head, id: &[u8]) -> Note {
        Note(log.map(|_| {
            let value = |name: &str| {
                let is = |line: &&super::head::Line| {
                    line.kind == Kind::Ordinary && line.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())
                };
                head.lines.iter().find(is).map(|line| shown(line.value.of(bytes)).into_owned()).unwrap_or_default()
            };
            Box::new(Gathered {
                method: shown(head.method.of(bytes)).into_owned(),
                host: shown(head.host.of(bytes)).into_owned(),
                target: shown(head.path.of(bytes)).into_owned(),
                modern: head.modern,
                referer: value("referer"),
                agent: value("user-agent"),
                id: shown(id).into_owned(),
                ..Gathered::new()
            })
        }))
    }

    /// Of what is no request.
    pub(crate) fn of_none(log: Option<&AccessLog>) -> Note {
        Note(log.map(|_| Box::new(Gathered::new())))
    }

    /// An answer's status, and the bytes of its head.
    pub(crate) fn answered(&mut self, status: u16, head: usize) {
        if let Some(gathered) = &mut self.0 {
            gathered.status = status;
            gathered.head = u64::try_from(head).unwrap_or(0);
        }
    }

    /// Who gave it, and after how long.
    pub(crate) fn by(&mut self, claim: &Claim, after: Duration) {
        if let Some(gathered) = &mut self.0 {
            gathered.container = Some(after);
            gathered.by = claim.colour().map(|colour| Claimed {
                colour: colour.name.clone(),
                generation: colour.generation,
                target: claim.target().to_string(),
            });
        }
    }

    /// The request has ended; `wrote` bytes to the client, head included.
    pub(crate) fn write(
        self,
        log: Option<&AccessLog>,
        asker: &Asker,
        serving: Option<&Serving>,
        bytes: (u64, u64),
        cut: Option<&'static str>,
    ) {
        let (Some(log), Some(gathered)) = (log, self.0) else { return };
        let (wrote, received) = bytes;
        let Gathered { began, method, host, target, modern, referer, agent, id, status, head, container, by } =
            *gathered;
        log.note(Entry {
            repository: serving.map_or("", |serving| serving.repository.as_str()),
            method: method.into(),
            host: host.into(),
            target: target.into(),
            version: asker.version().unwrap_or(if modern { "HTTP/1.1" } else { "HTTP/1.0" }),
            status,
            sent: wrote.saturating_sub(head),
            received,
            millis: millis(began.elapsed()),
            container_millis: container.map(millis),
            colour: by.as_ref().map(|by| by.colour.as_str()),
            generation: by.as_ref().map(|by| by.generation),
            target_address: by.as_ref().map(|by| by.target.clone()),
            id: id.into(),
            referer: referer.into(),
            agent: agent.into(),
            cut,
            ..Entry::of(asker.ip().to_owned(), asker.listen().to_owned())
        });
    }
}

impl Gathered {
    fn new() -> Gathered {
        let none = String::new;
        Gathered {
            began: Instant::now(),
            method: none(),
            host: none(),
            target: none(),
            modern: true,
            referer: none(),
            agent: none(),
            id: none(),
            status: 0,
            head: 0,
            container: None,
            by: None,
        }
    }
}
