//! Between this terminal and a process in a container.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
    pin::Pin,
    time::Duration,
};

use bollard::{container::LogOutput, errors::Error};
use futures_util::{Stream, StreamExt as _};
use rustix::termios::{OptionalActions, Termios};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    signal::unix::{SignalKind, signal},
};

/// What the process says.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
/// What the process reads.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Whether both ends of this process are a terminal.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What was asked of the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// `--tty`.
    pub tty: Option<bool>,
    /// `--no-TTY`.
    pub no_tty: Option<bool>,
    /// `--interactive`.
    pub interactive: Option<bool>,
}

impl Wish {
    /// Whether the process gets a terminal; `stdin` and `stdout` say whether ours are one.
    ///
    /// # Errors
    /// A terminal that was asked for while something else is to be read from; wishes that contradict each other.
    pub(super) fn settle(self, stdin: bool, stdout: bool) -> anyhow::Result<bool> {
        let Wish { tty, no_tty, interactive } = self;
        let wanted = match (tty, no_tty) {
            (Some(_), Some(_)) => anyhow::bail!("--tty and --no-TTY can't be used together"),
            (Some(tty), None) => tty,
            (None, Some(no_tty)) => !no_tty,
            // By default, a script's pipe is no mistake.
            (None, None) if interactive.is_none() && !stdin => false,
            (None, None) => stdout,
        };
        if wanted && interactive != Some(false) && !stdin {
            anyhow::bail!("the input device is not a TTY");
        }
        Ok(wanted)
    }

    /// As [`Wish::settle`], with the ends of this process.
    pub(super) fn settle_here(self) -> anyhow::Result<bool> {
        self.settle(io::stdin().is_terminal(), io::stdout().is_terminal())
    }
}

/// Rows and columns of this terminal.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Passes keys through as they are while it lives.
pub(super) struct Raw(Termios);

impl Raw {
    /// Switches this terminal over.
    ///
    /// # Errors
    /// When standard input is not a terminal.
    pub(super) fn enter() -> io::Result<Raw> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing helps a terminal that cannot be set back.
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Tells the process this terminal's size, now and whenever it changes, while `work` goes on.
/// `resize` says whether the process took the size.
pub(super) async fn keeping_size<T, F: Future<Output = bool>>(
    work: impl Future<Output = T>,
    resize: impl Fn(u16, u16) -> F,
) -> T {
    /// A process that has only just been asked for takes a size a little later.
    const ATTEMPTS: u32 = 10;
    const FIRST_PAUSE: Duration = Duration::from_millis(10);

    let follow = async {
        let mut changes = signal(SignalKind::window_change()).ok();
        loop {
            for attempt in 1..=ATTEMPTS {
                // A wrong size is a blemish, not a failure.
                let Some((height, width)) = size() else { break };
                if resize(height, width).await {
                    break;
                }
                tokio::time::sleep(FIRST_PAUSE * attempt).await;
            }
            match &mut changes {
                Some(changes) => {
                    changes.recv().await;
                }
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = follow => std::future::pending().await,
    }
}

/// Copies until the process has said everything. `input` is `None` when it reads nothing; it is closed when ours ends.
///
/// # Errors
/// When the connection breaks or our output has gone.
pub(super) async fn pump(mut output: Output, input: Option<Input>) -> anyhow::Result<()> {
    // Apart from the output: the process may end while we still wait for a key.
    let feeding = input.map(|mut input| {
        tokio::spawn(async move {
            // The process may end before it has read everything.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
            let _ = input.shutdown().await;
        })
    });
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    while let Some(chunk) = output.next().await {
        match chunk? {
            LogOutput::StdErr { message } => err.write_all(&message).await?,
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                out.write_all(&message).await?;
                out.flush().await?;
            }
            LogOutput::StdIn { .. } => {}
        }
    }
    out.flush().await?;
    err.flush().await?;
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    Ok(())
}
