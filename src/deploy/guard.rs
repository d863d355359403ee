//! Catches panics: a fault of turnout's own fails the deployment it happened in, and nothing else.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;

use super::Failure;

/// The work's end; a panic in it is a failure.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    caught(work).await.and_then(|ended| ended)
}

/// What the work gives; a panic in it is a failure. What the work shares with others is guarded by locks whose data is whole
/// at any time, so that others may go on with it.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| fault(&said(panic.as_ref())))
}

/// The failure that a fault of turnout's own is.
pub(super) fn fault(said: &str) -> Failure {
    Failure::new(format!("a fault in turnout itself: {said}"))
        .hint("the next push or `turnout deploy` tries again; please report it with this deployment's log")
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        assert_eq!(guarded(async { Ok(7) }).await, Ok(7));
        let number = 7;
        let failure = guarded::<()>(async { panic!("at {number}") }).await.unwrap_err();
        assert_eq!(failure.summary, "a fault in turnout itself: at 7");
        let failure = guarded::<()>(async { std::panic::panic_any(7) }).await.unwrap_err();
        assert!(failure.summary.ends_with("no words") && !failure.cancelled);
    }
}
