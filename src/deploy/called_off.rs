//! A deployment that somebody called off ends within seconds, whatever it waits for just then.
//!
//! ```text
//! looking, reading, watching    dropped at once: nothing is lost
//! builds, pulls, waits          end at once by themselves
//! other steps under way         have GRACE, then are left to the engine
//! putting back                  has PUT_BACK, waiting for what was told to stop included, then what runs is only told of
//! anything else                 AT_LAST: dropped where it stands
//! ```

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    engine::{
        Apply, Engine, Report,
        patience::{GRACE, unless_given_up},
    },
    plan::Extent,
};

/// What putting back has after a cancellation. Stopped containers cost more than seconds of waiting.
const PUT_BACK: Duration = Duration::from_secs(10);
/// All that a deployment has after a cancellation. Nothing should come near it; it limits what a wait that nobody thought
/// of can hold: the lane, and the daemon's end, which has `shutdown-grace` (30 s) for it.
const AT_LAST: Duration = Duration::from_secs(GRACE.as_secs() + PUT_BACK.as_secs() + 5);

/// The failure of a deployment that was called off while it did this.
pub(super) fn failure(doing: &str) -> Failure {
    Failure::cancelled(format!("cancelled while {doing}"))
}

/// Work that changes nothing: dropped when it is called off.
///
/// # Errors
/// The deployment was called off before the work was done.
pub(super) fn at_once<T>(
    work: impl Future<Output = T>,
    doing: &str,
    cancel: &CancellationToken,
) -> impl Future<Output = Result<T, Failure>> {
    let work = unless_given_up(work, cancel, Duration::ZERO);
    async move { work.await.ok_or_else(|| failure(doing)) }
}

/// Puts back what a failed run stopped; when it is called off meanwhile, or was before, for as long as that may take.
pub(super) async fn put_back(engine: &Engine, run: &Apply<'_>, report: &Report) {
    if unless_given_up(engine.put_back(run, report, Extent::Running), run.cancel, PUT_BACK).await.is_none() {
        run.reporter.warn(format!("what was stopped could not all be started again within {} s", PUT_BACK.as_secs()));
    }
}

/// A whole deployment.
///
/// # Errors
/// Its own, or it was called off and did not end by itself.
pub(super) fn at_last<T>(
    work: impl Future<Output = Result<T, Failure>>,
    cancel: &CancellationToken,
) -> impl Future<Output = Result<T, Failure>> {
    let work = unless_given_up(work, cancel, AT_LAST);
    async move {
        work.await.unwrap_or_else(|| {
            Err(Failure::cancelled(format!(
                "cancelled; what was under way did not end within {} s and was left where it stood",
                AT_LAST.as_secs()
            ))
            .hint("the log says what it was; deploying again converges"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_nobody_thought_of_ends() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let began = tokio::time::Instant::now();
        let stuck = std::future::pending::<Result<(), Failure>>();
        let failure = at_last(stuck, &cancel).await.unwrap_err();
        assert!(failure.cancelled && failure.summary.contains("within 20 s"), "{failure:?}");
        assert_eq!(began.elapsed(), AT_LAST);
        let failure = at_once(std::future::pending::<()>(), "planning", &cancel).await.unwrap_err();
        assert_eq!(failure, super::failure("planning"));
        assert_eq!(began.elapsed(), AT_LAST);
        assert_eq!(at_last(async { Ok(7) }, &cancel).await, Ok(7));
    }
}
