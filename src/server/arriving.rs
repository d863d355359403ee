//! A delivery's body while it arrives: within its bounds in bytes and time, hashed and looked through piece by piece.
//!
//! What a piece costs is done where it arrives while that is little. A body of more than [`SMALL`] bytes is worked on by
//! threads that may be busy, in portions and only a few at one time, so that large bodies hold up neither the runtime
//! nor small ones.

use std::{mem, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
};
use http_body_util::BodyExt as _;
use tokio::{sync::Semaphore, task, time};

use super::{
    intake_limits::{IntakeLimits, refused, text},
    kept::{Budget, Kept},
};
use crate::{
    config::{LiveRepos, Secret},
    forge::{
        self, Forge, Incoming, Naming, Refusal, Whole,
        incoming::Announced,
        proof::{Claim, Key},
    },
};

/// Bytes of a body that are worked on where they arrive: a tenth of a millisecond of work.
const SMALL: usize = 64 << 10;
/// Bytes of a larger one that are worked on at one time.
const PORTION: usize = 512 << 10;
/// Portions that are worked on at one time, all bodies together.
const WORKERS: usize = 2;
/// Bytes kept of bodies whose repository has not been named yet, all together and beyond each one's free ones: what two
/// bodies of the largest size have.
const LARGEST_KEPT: usize = 2;
/// Bytes of a refused body that are still read, so that the sender sees the answer and not a broken connection.
const READ_ALL_THE_SAME: usize = 64 << 10;

/// What all arriving bodies share.
#[derive(Debug)]
pub(super) struct Reception {
    limits: IntakeLimits,
    kept: Arc<Budget>,
    workers: Semaphore,
}

/// A body of which all has arrived, with what is known about its repository's own secret.
pub(super) struct Arrived {
    pub(super) whole: Whole,
    pub(super) own: Own,
}

/// The secret of the one repository that an unproven body names.
pub(super) enum Own {
    /// No repository has one.
    NotNeeded,
    /// Nothing was named so far; what has arrived is kept, because the secret must sign all of it.
    Unknown(Kept),
    /// This repository's, which is tried too.
    Of {
        /// The configured name.
        repo: String,
        /// As it was when the name had arrived.
        secret: Secret,
    },
    /// The repository has none, or there is no such repository.
    None,
    /// Too much would have had to be kept.
    GivenUp,
}

struct Arriving {
    forge: &'static Forge,
    incoming: Incoming,
    own: Own,
    repos: Arc<LiveRepos>,
}

impl Reception {
    pub(super) fn new(limits: IntakeLimits) -> Reception {
        let kept = Budget::new(limits.body * LARGEST_KEPT);
        Reception { limits, kept, workers: Semaphore::new(WORKERS) }
    }

    /// Reads the body to its end. `key` is the daemon's, `claim` what the head claims as proof.
    pub(super) async fn receive(
        &self,
        forge: &'static Forge,
        (key, claim): (Option<&Key>, Option<Claim>),
        repos: &Arc<LiveRepos>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Arrived, Refusal> {
        self.announced(headers)?;
        let raw = |name: header::HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let media = forge::body::media(raw(header::CONTENT_TYPE), raw(header::CONTENT_ENCODING));
        let own = match repos.current().secrets.is_empty() {
            true => Own::NotNeeded,
            false => Own::Unknown(self.kept.keep()),
        };
        let event = text(headers, forge.event_header);
        let announced = Announced { event, media, claim, payload: self.limits.payload };
        let incoming = Incoming::new(forge, announced, key);
        let arriving = Arriving { forge, incoming, own, repos: Arc::clone(repos) };
        self.within_time(self.read(arriving, body)).await
    }

    /// Reads what is left of a small body that is refused anyway.
    pub(super) async fn pass_over(&self, headers: &HeaderMap, mut body: Body) -> Result<(), Refusal> {
        if self.announced(headers)?.is_none_or(|length| length > READ_ALL_THE_SAME) {
            return Ok(());
        }
        self.within_time(async {
            while let Some(Ok(_)) = body.frame().await {}
            Ok(())
        })
        .await
    }

    fn announced(&self, headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
        let announced = text(headers, "content-length").and_then(|length| length.parse().ok());
        match announced {
            Some(length) if length > self.limits.body => Err(self.too_large()),
            announced => Ok(announced),
        }
    }

    fn too_large(&self) -> Refusal {
        refused(413, format!("a delivery may have {} bytes", self.limits.body))
    }

    async fn within_time<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let late = |_| refused(408, "the body took too long to arrive");
        time::timeout(self.limits.body_timeout, work).await.map_err(late)?
    }

    async fn read(&self, mut arriving: Arriving, mut body: Body) -> Result<Arrived, Refusal> {
        // One buffer: a list of pieces would cost more than they do where each is of a byte.
        let (mut size, mut portion) = (0_usize, Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::malformed("the body breaks off or is badly framed"))?;
            let Ok(data) = frame.into_data() else { continue };
            size = size.saturating_add(data.len());
            if size > self.limits.body {
                return Err(self.too_large());
            }
            if size <= SMALL {
                arriving.take(&data);
                continue;
            }
            portion.extend_from_slice(&data);
            if portion.len() >= PORTION {
                arriving = self.work(arriving, mem::take(&mut portion)).await?;
            }
        }
        if !portion.is_empty() {
            arriving = self.work(arriving, portion).await?;
        }
        Ok(Arrived { whole: arriving.incoming.whole(), own: arriving.own })
    }

    async fn work(&self, mut arriving: Arriving, portion: Vec<u8>) -> Result<Arriving, Refusal> {
        let broken = || refused(503, "the delivery could not be read; send it again later");
        let _turn = self.workers.acquire().await.map_err(|_| broken())?;
        let work = task::spawn_blocking(move || {
            arriving.take(&portion);
            arriving
        });
        work.await.map_err(|_| broken())
    }
}

impl Arriving {
    fn take(&mut self, data: &[u8]) {
        self.incoming.feed(data);
        let Own::Unknown(kept) = &self.own else { return };
        if !kept.push(data) {
            self.own = Own::GivenUp;
            return;
        }
        let named = match self.incoming.repository() {
            Naming::NotYet => return,
            Naming::Never => {
                self.own = Own::None;
                return;
            }
            Naming::Named(named) => named,
        };
        let loaded = self.repos.current();
        let repo = forge::find_repo(&named, &loaded.repos).ok().map(|repo| repo.name.clone());
        let secret = repo.and_then(|repo| loaded.secrets.get(&repo).cloned().map(|secret| (repo, secret)));
        let key = secret.and_then(|(repo, secret)| self.forge.proof.key(&secret).map(|key| (repo, secret, key)));
        let Own::Unknown(kept) = mem::replace(&mut self.own, Own::None) else { return };
        if let Some((repo, secret, key)) = key {
            match kept.take() {
                Some(blocks) => self.incoming.check_too(&key, blocks.iter().map(AsRef::as_ref)),
                None => {
                    self.own = Own::GivenUp;
                    return;
                }
            }
            self.own = Own::Of { repo, secret };
        }
    }
}
