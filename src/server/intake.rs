//! What the webhook routes work with: whom they believe, what they know, what one delivery and all together may cost.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    arriving::Reception,
    intake_limits::{IntakeLimits, refused},
    ledger::Ledger,
    payloads::Payloads,
    pulse::Pulse,
    refusals::Refusals,
};
use crate::{
    config::{LiveRepos, LiveSecret, Repo, RepoList, Secret},
    deploy::stills::Stills,
    files,
    forge::{self, Effect, Event, Forge, HooksOf, Refusal, proof::Key},
    report::redact::Redactor,
};

/// How long the branch that a work tree is on may take to be read.
const BRANCH_WAIT: Duration = Duration::from_secs(5);

/// Answers which branch a repository's working tree is on.
pub type CheckedOut = Arc<dyn Fn(&Repo) -> Option<String> + Send + Sync>;

/// What the routes work with.
pub struct IntakeState {
    /// The repositories as they are now.
    pub repos: Arc<LiveRepos>,
    pub(super) secret: Option<Secret>,
    /// Where the daemon's secret may change: what it is now, in place of `secret`.
    pub(super) live_secret: Option<Arc<LiveSecret>>,
    pub(super) doors: Vec<Arc<Door>>,
    pub(super) redactor: Redactor,
    /// Where what a delivery said is kept; nothing of it, where there is none.
    pub(super) payloads: Option<Arc<Payloads>>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) wake: Arc<dyn Fn(&str) + Send + Sync>,
    pub(super) checked_out: CheckedOut,
    pub(super) hooks: Arc<HooksOf>,
    /// What was refused, for the log.
    pub refusals: Arc<Refusals>,
    /// Whether the daemon does what it is for.
    pub pulse: Arc<Pulse>,
    /// What of the live colours stands still.
    pub(super) stills: Arc<Stills>,
    pub(super) reception: Reception,
    pub(super) places: Semaphore,
    pub(super) place_wait: Duration,
}

/// Where the deliveries of one forge come in.
pub(super) struct Door {
    pub(super) forge: &'static Forge,
    /// The daemon's, where its secret does not change.
    key: Option<Key>,
}

impl IntakeState {
    /// Puts it together. `secret` may be missing only where the operator insists on unproven deliveries. `wake` is called
    /// with the repository's configured name after its deployment is on disk; it must not block. `checked_out` answers
    /// which branch a working tree is on: see [`super::checked_out`].
    pub fn new(
        repos: Arc<LiveRepos>,
        secret: Option<Secret>,
        ledger: Arc<dyn Ledger>,
        wake: Arc<dyn Fn(&str) + Send + Sync>,
        checked_out: CheckedOut,
        limits: IntakeLimits,
    ) -> IntakeState {
        let state = IntakeState {
            repos,
            secret,
            live_secret: None,
            doors: Vec::new(),
            redactor: Redactor::new(),
            payloads: None,
            ledger,
            wake,
            checked_out,
            hooks: Arc::new(forge::no_hooks),
            refusals: Arc::default(),
            pulse: Arc::default(),
            stills: Arc::default(),
            reception: Reception::new(limits),
            places: Semaphore::new(limits.requests),
            place_wait: limits.place_wait,
        };
        state.with_forges(forge::ALL)
    }

    /// Takes the deliveries of these forges in place of [`forge::ALL`].
    #[must_use]
    pub fn with_forges(mut self, forges: &[&'static Forge]) -> IntakeState {
        let door = |forge: &&'static Forge| {
            let key = self.secret.as_ref().and_then(|secret| forge.proof.key(secret));
            Arc::new(Door { forge, key })
        };
        self.doors = forges.iter().map(door).collect();
        self
    }

    /// Asks here which hooks a repository has, in place of [`forge::no_hooks`].
    #[must_use]
    pub fn with_hooks(mut self, hooks: Arc<HooksOf>) -> IntakeState {
        self.hooks = hooks;
        self
    }

    /// For what a delivery says. What it was proven with may have been read only a moment ago; of projects the one counts whose
    /// delivery it is, so that nobody's secrets can blot out what others sent.
    pub(super) fn redactor_of(&self, loaded: &RepoList, effects: &[Effect]) -> Redactor {
        loaded.secrets.values().for_each(|secret| self.redactor.add_secret(secret));
        if let Some(secret) = &self.live_secret {
            self.redactor.add_secret(&secret.current());
        }
        match effects.iter().find_map(Effect::repo) {
            Some(repo) => self.redactor.about(Some(repo)),
            None => self.redactor.own(),
        }
    }

    /// The branch that the work tree of the pushed repository is on, where none is configured: read beside the runtime, for
    /// its disk may hang.
    pub(super) async fn branch_of(&self, events: &[Event], loaded: &RepoList) -> Result<Option<String>, Refusal> {
        let pushed = |event: &Event| match event {
            Event::Push(push) => forge::find_repo(&push.repo, &loaded.repos).ok().cloned(),
            _ => None,
        };
        // All events of a delivery are of one repository.
        let Some(repo) = events.iter().find_map(pushed).filter(|repo| repo.branch.is_none()) else { return Ok(None) };
        let (checked_out, name) = (Arc::clone(&self.checked_out), repo.name.clone());
        let looked = files::blocking_for(BRANCH_WAIT, move || {
            // One that hung a moment ago is not asked again, and must not look like one that is on no branch.
            let git = repo.path.join(".git");
            files::at(&git, &git, || git.exists())?;
            std::io::Result::Ok(checked_out(&repo))
        });
        // To guess would be to drop the push, or to deploy another branch.
        let unknown = |why: String| {
            refused(503, format!("which branch {name} is on could not be read: {why}; send the delivery again later"))
        };
        let looked = looked.await.map_err(|lost| unknown(lost.to_string()))?;
        looked.map_err(|error| unknown(error.to_string()))
    }

    /// What is kept of payloads passes this one, which knows the secrets.
    #[must_use]
    pub fn with_redactor(mut self, redactor: Redactor) -> IntakeState {
        self.redactor = redactor;
        self
    }

    /// Tells whoever asks whether it is ready what stands still besides.
    #[must_use]
    pub fn with_stills(mut self, stills: Arc<Stills>) -> IntakeState {
        self.stills = stills;
        self
    }

    /// Keeps what deliveries say.
    #[must_use]
    pub fn with_payloads(mut self, payloads: Arc<Payloads>) -> IntakeState {
        self.payloads = Some(payloads);
        self
    }

    /// Has the daemon's secret as it is now in a file, in place of the one that was given.
    #[must_use]
    pub fn with_live_secret(mut self, secret: Option<Arc<LiveSecret>>) -> IntakeState {
        self.live_secret = secret;
        self
    }

    /// The daemon's key, `None` where there is none just now or none is wanted; and whether one is wanted.
    pub(super) fn key(&self, door: &Door) -> (Option<Key>, bool) {
        match &self.live_secret {
            Some(secret) => (door.forge.proof.key(&secret.current()), true),
            None => (door.key.clone(), self.secret.is_some()),
        }
    }

    /// Whether the daemon's secret is wanted, and cannot be had just now.
    pub(super) fn secret_is_gone(&self) -> bool {
        self.live_secret.as_ref().is_some_and(|secret| secret.current().is_empty())
    }
}
