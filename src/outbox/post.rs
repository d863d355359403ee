//! The two loops of each destination: what happens becomes letters, and letters are delivered.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Destination, Outcome, retry};
use crate::report::redact::Redactor;
use crate::store::{Cursor, EventId, Fate, Letter, Millis, NewLetter, Only, Page, Store, StoreError};

/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events that said nothing to a destination, before that is written down: they would be considered again after a crash, which
/// costs less than a write for each.
const BEHIND: EventId = 500;
/// Pause after the database did not answer.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// All destinations of the daemon.
pub struct Outbox {
    store: Store,
    destinations: Vec<Arc<dyn Destination>>,
    /// What leaves, and what destinations say, passes it.
    redactor: Redactor,
    seed: u64,
    /// The wall clock at an instant; from there on time is what has passed, so that nobody can set it.
    began: (Millis, Instant),
}

impl Outbox {
    /// Tells these, from the store's journal. `seed` is other for each daemon; `now` is the wall clock.
    pub fn new(
        store: Store,
        destinations: Vec<Arc<dyn Destination>>,
        redactor: Redactor,
        seed: u64,
        now: Millis,
    ) -> Outbox {
        Outbox { store, destinations, redactor, seed, began: (now, Instant::now()) }
    }

    /// Works until `stop` fires or the store ends. What is under way then is sent again at the next start.
    pub async fn run(&self, stop: &CancellationToken) {
        let work = async {
            let names = self.destinations.iter().map(|destination| destination.name().to_owned()).collect::<Vec<_>>();
            while let Err(error) = self.store.retire_destinations(names.clone()).await {
                if matches!(error, StoreError::Closed) {
                    return;
                }
                tracing::error!("the outbox cannot begin: {error}; trying again in {STORE_RETRY:?}");
                sleep(STORE_RETRY).await;
            }
            join_all(self.destinations.iter().map(|destination| self.of(destination.as_ref()))).await;
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn of(&self, destination: &dyn Destination) {
        let written = Notify::new();
        // Both end only with the store.
        tokio::select! {
            () = self.route(destination, &written) => {}
            () = self.deliver(destination, &written) => {}
        }
    }

    /// Makes letters of what happens.
    async fn route(&self, destination: &dyn Destination, written: &Notify) {
        let name = destination.name();
        let mut news: Option<Cursor> = None;
        // Up to where it is on the disk.
        let mut kept = 0;
        loop {
            let step = async {
                let news = match &mut news {
                    Some(news) => news,
                    None => {
                        let begun = self.begin(name).await?;
                        kept = begun.position();
                        news.insert(begun)
                    }
                };
                let from = news.position();
                let Some(page) = news.next().await? else { return Ok(false) };
                let letters = self.letters(destination, &page);
                if !letters.is_empty() || page.upto - kept >= BEHIND {
                    if let Err(error) = self.store.post(name, letters, page.upto).await {
                        // These events are read again.
                        *news = self.store.after(from, Only::default());
                        return Err(error);
                    }
                    kept = page.upto;
                }
                // Or somebody had something sent again.
                written.notify_one();
                Ok(true)
            };
            match step.await {
                Ok(true) => {}
                Ok(false) | Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(destination = name, %error, "what happens cannot be told; trying again in {STORE_RETRY:?}");
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// Where a destination goes on; a new one begins now.
    async fn begin(&self, name: &str) -> Result<Cursor, StoreError> {
        let now = self.store.from_now(Only::default());
        match self.store.posted(name).await? {
            Some(position) => Ok(self.store.after(position, Only::default())),
            None => {
                self.store.post(name, Vec::new(), now.position()).await?;
                Ok(now)
            }
        }
    }

    /// Delivers what is due, one letter after the other.
    async fn deliver(&self, destination: &dyn Destination, written: &Notify) {
        let name = destination.name();
        let mut failures = 0;
        loop {
            let step = async {
                let Some(letter) = self.store.next_letter(name).await? else {
                    written.notified().await;
                    return Ok(());
                };
                let wait = retry::wait(letter.due_at, self.now()).max(retry::rest(failures));
                if !wait.is_zero() {
                    let newer = async {
                        // What is written meanwhile is due at once, but a destination that failed rests.
                        sleep(retry::rest(failures)).await;
                        written.notified().await;
                    };
                    tokio::select! {
                        biased;
                        () = sleep(wait) => {}
                        () = newer => return Ok(()),
                    }
                }
                let outcome = attempt(destination, &letter).await;
                failures = match &outcome {
                    Outcome::Failed { .. } => failures + 1,
                    Outcome::Taken | Outcome::Refused { .. } => 0,
                };
                // Written down before anything else: a letter that was taken is not to be sent once more because the database
                // does not answer just now.
                while let Err(error) = self.record(&letter, &outcome).await {
                    if matches!(error, StoreError::Closed) {
                        return Err(error);
                    }
                    tracing::error!(destination = name, %error, "what became of a letter cannot be recorded; trying again in {STORE_RETRY:?}");
                    sleep(STORE_RETRY).await;
                }
                Ok(())
            };
            match step.await {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(destination = name, %error, "the outbox cannot go on; trying again in {STORE_RETRY:?}");
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn record(&self, letter: &Letter, outcome: &Outcome) -> Result<(), StoreError> {
        let Letter { id, destination, attempts, .. } = letter;
        let seed = self.seed ^ id.unsigned_abs();
        let Some(fate) = retry::next(attempts.saturating_add(1), self.now(), outcome, seed) else {
            return self.store.delivered(*id).await;
        };
        let (Outcome::Failed { why, .. } | Outcome::Refused { why }) = outcome else { return Ok(()) };
        // A client of HTTP quotes the address, with whatever stands in it.
        let why = &*self.redactor.redact(why);
        match fate {
            Fate::Dead => {
                tracing::error!(destination, letter = id, "a letter is dead: {why}; `turnout letters` lists those");
            }
            Fate::Again { .. } => tracing::warn!(destination, letter = id, "a letter was not taken: {why}"),
        }
        self.store.not_delivered(*id, why, fate).await
    }

    /// What a page has for a destination. What becomes of letters is no matter for letters. An event about which a destination
    /// panics is told to it in no other way; the panic is in the log.
    fn letters(&self, destination: &dyn Destination, page: &Page) -> Vec<NewLetter> {
        let guarded = |say: &dyn Fn() -> Option<String>| {
            let said = std::panic::catch_unwind(AssertUnwindSafe(say)).unwrap_or_else(|_| {
                tracing::error!(
                    destination = destination.name(),
                    "a letter could not be written: a fault in turnout itself"
                );
                None
            });
            said.map(|payload| self.redactor.redact(&payload).into_owned())
        };
        let missed = page.gap.and_then(|gap| guarded(&|| destination.missed(gap)));
        let missed = missed.map(|payload| NewLetter { event: None, payload });
        let told = page.events.iter().filter(|event| !event.what.known().is_some_and(|event| event.is_of_letters()));
        let told = told.filter_map(|event| {
            Some(NewLetter { event: Some(event.id), payload: guarded(&|| destination.letter(event))? })
        });
        missed.into_iter().chain(told).collect()
    }

    fn now(&self) -> Millis {
        let (wall, since) = self.began;
        wall.saturating_add(Millis::try_from(since.elapsed().as_millis()).unwrap_or(Millis::MAX))
    }
}

/// One attempt, with an end whatever the destination does.
async fn attempt(destination: &dyn Destination, letter: &Letter) -> Outcome {
    let failed = |why: String| Outcome::Failed { why, not_before: None };
    match timeout(PATIENCE, AssertUnwindSafe(destination.deliver(letter)).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => failed("a fault in turnout itself; the log has it".to_owned()),
        Err(_) => failed(format!("no answer within {PATIENCE:?}")),
    }
}
