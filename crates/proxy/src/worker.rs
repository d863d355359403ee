//! Threads that serve connections. A connection stays on the thread that it was given to, with all that is done for it, so
//! that no request wakes another thread.

use std::{
    cell::Cell,
    future::Future,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{runtime, sync::oneshot};

/// Threads at most. What is kept for each thread is kept in so many places.
pub(crate) const MOST: usize = 16;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of this thread, below [`MOST`].
pub(crate) fn here() -> usize {
    HERE.get()
}

#[derive(Debug)]
struct Worker {
    runtime: runtime::Handle,
    /// Connections that it serves.
    busy: Arc<AtomicUsize>,
    /// Ends it when dropped.
    _until: oneshot::Sender<()>,
}

/// All of them; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers(Vec<Worker>);

impl Workers {
    /// So many; without a number one for each processor.
    pub(crate) fn start(wanted: Option<usize>) -> Result<Workers, String> {
        let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let count = wanted.unwrap_or_else(processors).clamp(1, MOST);
        (0..count).map(Worker::start).collect::<std::io::Result<_>>().map(Workers).map_err(|error| {
            format!("cannot start its threads: {error}; the unit may bound them (TasksMax), or --threads ask for fewer")
        })
    }

    /// Serves a connection on the thread that has the fewest.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.busy.load(Relaxed)) else { return };
        let busy = Busy::of(&worker.busy);
        worker.runtime.spawn(async move {
            connection.await;
            drop(busy);
        });
    }
}

impl Worker {
    fn start(number: usize) -> std::io::Result<Worker> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name(format!("serves-{number}")).spawn(move || {
            HERE.set(number);
            // Ends with an error, which is the end.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Worker { runtime: handle, busy: Arc::default(), _until: until })
    }
}

/// Counts a connection until this is dropped.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn of(count: &Arc<AtomicUsize>) -> Busy {
        count.fetch_add(1, Relaxed);
        Busy(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
