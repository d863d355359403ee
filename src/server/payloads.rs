//! Payloads on their way to the disk. A delivery is answered when what it leads to is on the disk; what it said, word for word, is
//! for whoever wants to understand it later, and is written right behind the answer.
//!
//! ```text
//!   recorded, answered ──► waits here (bounded; the newest stay) ──► secrets out ──► on the disk
//! ```
//!
//! In a flood each payload would cost more than all else of its delivery, and most would be forgotten again within the second.
//! So after a large portion comes a pause, and of what comes meanwhile only what is to be kept is written.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{
    report::{counted, redact::Redactor},
    store::{Packed, Store},
};

/// Bytes of payloads that wait. Beyond it the oldest are given up.
const MOST_BYTES: usize = 8 << 20;
/// A portion of more than so many payloads is a flood's.
const FEW: usize = 16;
/// Payloads that are written in one go: whatever else is to be written waits no longer than for these.
const AT_ONCE: usize = 64;
/// How long nothing is written after a flood's portion, unless somebody asks for it. What a crash can cost, as well.
const PAUSE: Duration = Duration::from_secs(1);
/// How long is waited for what is to be read to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where payloads wait.
pub struct Payloads {
    store: Store,
    waiting: Mutex<Waiting>,
    /// Wakes the writer: something waits.
    come: Notify,
    /// Somebody wants to read what waits.
    hurry: Notify,
    /// How many were seen to, of all that ever came.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    list: VecDeque<Payload>,
    bytes: usize,
    /// All that ever came.
    came: u64,
    /// Given up for want of room, and not told yet.
    given_up: usize,
}

struct Payload {
    delivery: i64,
    text: String,
    redactor: Redactor,
}

impl Payloads {
    /// For the payloads of the deliveries in this store.
    pub fn new(store: Store) -> Arc<Payloads> {
        Arc::new(Payloads {
            store,
            waiting: Mutex::default(),
            come: Notify::new(),
            hurry: Notify::new(),
            done: watch::Sender::new(0),
        })
    }

    /// Has the payload of a recorded delivery written. `redactor` knows the secrets that may be in it.
    pub fn keep(&self, delivery: i64, text: String, redactor: Redactor) {
        let most = self.store.retention().payloads;
        let mut waiting = self.waiting();
        waiting.came += 1;
        waiting.bytes += text.len();
        waiting.list.push_back(Payload { delivery, text, redactor });
        while waiting.list.len() > most || waiting.bytes > MOST_BYTES {
            let due = waiting.list.len() <= most;
            let Some(oldest) = waiting.list.pop_front() else { break };
            waiting.bytes -= oldest.text.len();
            waiting.given_up += usize::from(due);
        }
        drop(waiting);
        self.come.notify_one();
    }

    /// Writes what comes. Where `stop` fires, what waits is written first.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let ends = tokio::select! {
                () = self.come.notified() => false,
                () = stop.cancelled() => true,
            };
            let flood = self.write().await > FEW;
            if ends {
                return;
            }
            if flood {
                tokio::select! {
                    () = time::sleep(PAUSE) => {}
                    () = self.hurry.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Waits until all that came so far is on the disk, or known not to get there; a few seconds at most.
    pub async fn written(&self) {
        let came = self.waiting().came;
        self.hurry.notify_one();
        let mut done = self.done.subscribe();
        let _ = time::timeout(PATIENCE, done.wait_for(|done| *done >= came)).await;
    }

    /// Writes what waits; answers how many payloads that were.
    async fn write(&self) -> usize {
        let (list, came, given_up) = {
            let mut waiting = self.waiting();
            waiting.bytes = 0;
            (mem::take(&mut waiting.list), waiting.came, mem::take(&mut waiting.given_up))
        };
        let count = list.len();
        if given_up > 0 {
            tracing::warn!(
                "payloads came faster than they could be written: those of {} are not kept",
                counted(given_up, "delivery")
            );
        }
        let clean = tokio::task::spawn_blocking(move || {
            let clean = |one: &Payload| match one.redactor.redact(&one.text) {
                // One that cannot be made clean is not kept.
                text if text.is_empty() => None,
                text => Some((one.delivery, Packed::new(&text))),
            };
            list.iter().filter_map(clean).collect::<Vec<_>>()
        });
        match clean.await {
            Ok(clean) => {
                for some in clean.chunks(AT_ONCE) {
                    if let Err(error) = self.store.keep_payloads(some.to_vec()).await {
                        tracing::warn!(
                            %error,
                            "not all payloads could be written of {}; these are recorded",
                            counted(count, "delivery")
                        );
                        break;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the payloads are not kept of {}", counted(count, "delivery")),
        }
        self.done.send_replace(came);
        count
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Only whole values are written under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
