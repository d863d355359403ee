//! Waiting for the network where the caller is not async.

use anyhow::Context as _;

/// Runs this to its end on a thread of its own, with a runtime of its own: the caller may or may not be inside one.
///
/// # Errors
/// What the work gives, or that it could not be begun.
pub(super) fn apart<T: Send>(work: impl AsyncFnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("no runtime")?.block_on(work())
        });
        thread.join().unwrap_or_else(|_| anyhow::bail!("the thread that waits for the network ended unexpectedly"))
    })
}
