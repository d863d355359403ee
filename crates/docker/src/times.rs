//! When containers were started, and what time the engine has.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use tokio::time::Instant;

use super::{
    Endpoint, Engine, EngineError,
    clock::{Known, ahead, here, narrow},
};

/// How long the engine may take to tell its time.
const PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// By how many nanoseconds the engine's clock is ahead of ours. Also one behind a socket of this machine may have
    /// another: a socket can lead elsewhere, and a clock can be wrong in one process alone.
    pub async fn ahead(&self) -> i64 {
        // The clock of another machine is set without ours being set.
        let near = matches!(self.endpoint(), Endpoint::Unix(_));
        if let Some(ahead) = self.clock().known(Instant::now(), here()).filter(|_| near) {
            return ahead;
        }
        let before = here();
        let asked = tokio::time::timeout(PATIENCE, self.ask(self.docker().info())).await;
        let (at, after) = (Instant::now(), here());
        let told = asked.ok().and_then(Result::ok).and_then(|info| info.system_time);
        // One that does not tell is taken to have the same time, until it does.
        let Some(told) = told.and_then(|text| nanoseconds(&text)).and_then(narrow) else { return 0 };
        let ahead = ahead(told, before, after);
        self.clock().learn(Known { ahead, at, here: after });
        ahead
    }

    /// When a container was last started, in milliseconds since 1970; of one that never was, when it was created.
    /// `None` if it is gone or does not tell.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn started_at(&self, id: &str) -> Result<Option<i64>, EngineError> {
        let Some(found) = self.find_container(id).await? else { return Ok(None) };
        let started = found.state.and_then(|state| state.started_at);
        // Year 1 is how the daemon says "never".
        let started = started.and_then(|text| milliseconds(&text)).filter(|at| *at > 0);
        Ok(started.or_else(|| found.created.and_then(|text| milliseconds(&text))))
    }

    /// When a container was last started, in nanoseconds since 1970; finer than [`Engine::started_at`], to compare two
    /// of them. `None` if it never was, is gone or does not tell.
    pub(super) async fn begun(&self, id: &str) -> Result<Option<i128>, EngineError> {
        let state = self.find_container(id).await?.and_then(|found| found.state);
        let started = state.and_then(|state| state.started_at);
        // Year 1 is how the daemon says "never".
        Ok(started.and_then(|text| nanoseconds(&text)).filter(|at| *at > 0))
    }
}

/// A date of the daemon, in milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    i64::try_from(nanoseconds(text)? / 1_000_000).ok()
}

pub(super) fn nanoseconds(text: &str) -> Option<i128> {
    Some(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_daemon_are_read() {
        assert_eq!(milliseconds("1970-01-01T00:00:01.5Z"), Some(1500));
        assert!(milliseconds("0001-01-01T00:00:00Z").is_some_and(|at| at < 0));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
