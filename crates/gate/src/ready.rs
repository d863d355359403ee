//! Asks an instance again and again, until it is ready or its time is over.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{
    Ask, Protocol, Spoken,
    attempt::{PATIENCE, attempt},
    judge::{Judged, Row},
};

/// It is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// What it speaks.
    pub protocol: Protocol,
    /// Of the last answer, where that was HTTP.
    pub status: Option<u16>,
    /// How often it was asked.
    pub asked: u32,
}

/// It is not ready in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} was not ready within {limit:?}: asked {} for {request}, and what came last was: {last}. {}",
    turnout_report::counted(usize::try_from(*asked).unwrap_or(usize::MAX), "time"), advice(*is_http, last)
)]
pub struct NotReady {
    /// What was seen last, in words.
    pub last: String,
    /// How often it was asked, and an answer came or its time ended.
    pub asked: u32,
    /// The address that was asked.
    pub address: SocketAddr,
    /// What was sent to it, in words: `GET /healthz`.
    pub request: String,
    /// How long it had to become ready.
    pub limit: Duration,
    /// Whether HTTP was asked for.
    is_http: bool,
}

fn advice(is_http: bool, last: &str) -> &'static str {
    if last.starts_with("HTTP ") {
        // Whatever it is, it speaks it.
        "Look into its log; where another page tells that it is ready, name it under `health:`"
    } else if is_http {
        "Look into its log; where it speaks no HTTP, write `protocol: tcp`; where another page tells that it is ready, name it \
         under `health:`"
    } else {
        "Look into its log, and whether it listens on this port and on all addresses of the container; where its start takes \
         longer, write a longer time under `health:`"
    }
}

/// Asks until it is ready, or the future is dropped. `told` is called with each kind of answer that is none of a ready one
/// ("connection refused", "HTTP 502 for GET /") and another one than the one before, so that a log can say what is waited for.
pub async fn ready(ask: &Ask, told: impl FnMut(&str)) -> Ready {
    Asking::new(ask, told).until_ready().await
}

/// The same with an end.
///
/// # Errors
/// It was not ready within `limit`: what was asked, what the last answer was, and what could be written instead.
pub async fn ready_within(ask: &Ask, limit: Duration, told: impl FnMut(&str)) -> Result<Ready, NotReady> {
    let mut asking = Asking::new(ask, told);
    if let Ok(ready) = timeout(limit, asking.until_ready()).await {
        return Ok(ready);
    }
    let Asking { last, asked, .. } = asking;
    Err(NotReady {
        last: last.unwrap_or_else(|| "nothing".to_owned()),
        asked,
        address: ask.address,
        request: ask.shown(),
        limit,
        is_http: ask.spoken != Spoken::Tcp,
    })
}

struct Asking<'a, T> {
    ask: &'a Ask,
    told: T,
    /// The kind that was told last.
    kind: Option<String>,
    last: Option<String>,
    asked: u32,
}

impl<'a, T: FnMut(&str)> Asking<'a, T> {
    fn new(ask: &'a Ask, told: T) -> Asking<'a, T> {
        Asking { ask, told, kind: None, last: None, asked: 0 }
    }

    async fn until_ready(&mut self) -> Ready {
        let mut row = Row::new(self.ask.successes);
        loop {
            let verdict = attempt(self.ask, PATIENCE).await;
            self.asked = self.asked.saturating_add(1);
            match verdict {
                Judged::Good(protocol, status, words) => {
                    if row.good(protocol) {
                        return Ready { protocol, status, asked: self.asked };
                    }
                    self.last = Some(format!("{words}, {}", row.shown()));
                }
                Judged::Not(words) => {
                    row.broken();
                    if self.kind.as_ref() != Some(&words) {
                        (self.told)(&words);
                        self.kind = Some(words.clone());
                    }
                    self.last = Some(words);
                }
            }
            sleep(self.ask.pause(self.asked, row.had())).await;
        }
    }
}
