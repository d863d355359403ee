//! The one timer of a connection. Most deadlines are replaced by later ones before they come: the timer is left where it is
//! then, and looks at the deadline of the moment when it rings.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    timer: Pin<Box<Sleep>>,
    rings: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let rings = Instant::now();
        Clock { timer: Box::pin(sleep_until(rings)), rings }
    }

    /// Ready once that moment has come.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline < self.rings {
            self.set(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.set(deadline);
        }
    }

    fn set(&mut self, rings: Instant) {
        self.rings = rings;
        self.timer.as_mut().reset(rings);
    }
}
