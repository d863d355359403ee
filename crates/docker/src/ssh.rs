//! A connection through SSH: the `ssh` program, and at its far end `docker system dial-stdio`, as the Docker CLI does.
//!
//! SSH's own settings, keys, agents and jump hosts apply, which is why the program is started and no library is used.
//!
//! ```text
//! spawn ──► Opening ──first byte──► Open ──far end hangs up──► Open (end of stream)
//!              └──── end or broken pipe before any byte ────► Ending ──► error with the program's last words
//! ```

use std::{
    ffi::OsString,
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::endpoint::SshTarget;

/// Limits the wait for a machine that does not answer, in seconds; `ssh` itself keeps it.
const CONNECT_TIMEOUT_SECONDS: u32 = 15;
/// Connections that are being opened at the same time. A server refuses more than ten by default (`MaxStartups`).
const OPENING: usize = 4;
/// After that long without a byte a connection counts as open: a request may be answered late.
const OPENED: Duration = Duration::from_secs(3);
/// How much of the program's words is kept, in bytes.
const LAST_WORDS: usize = 2048;
/// How long the end of the program is waited for when the connection has ended.
const ENDING: Duration = Duration::from_secs(2);

static SLOTS: std::sync::LazyLock<std::sync::Arc<Semaphore>> =
    std::sync::LazyLock::new(|| std::sync::Arc::new(Semaphore::new(OPENING)));

/// A running `ssh`, killed when dropped.
pub(super) struct SshStream {
    input: Option<ChildStdin>,
    output: ChildStdout,
    phase: Phase,
    target: String,
}

enum Phase {
    /// No byte has come yet.
    Opening { child: Child, words: JoinHandle<String>, slot: JoinHandle<()> },
    /// The far end has spoken.
    Open { _child: Child, _words: JoinHandle<String> },
    /// It ended before it spoke: why is being found out.
    Ending(Pin<Box<dyn Future<Output = String> + Send>>),
    /// That was said.
    Ended(String),
}

/// Starts `ssh`. Whether it reaches the far end shows with the first byte.
pub(super) async fn dial(target: &SshTarget) -> io::Result<SshStream> {
    let slot = std::sync::Arc::clone(&SLOTS).acquire_owned().await.map_err(io::Error::other)?;
    let mut child = Command::new("ssh")
        .args(arguments(target))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for us: what runs is still to be finished or taken back through this connection.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let advice = "the program `ssh` could not be started";
            io::Error::other(format!("{advice}: {error}; on Debian and Ubuntu it is in the package openssh-client"))
        })?;
    let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("`ssh` was started without its pipes"));
    };
    let words = tokio::spawn(last_words(errors));
    let slot = tokio::spawn(hold(slot));
    let phase = Phase::Opening { child, words, slot };
    Ok(SshStream { input: Some(input), output, phase, target: format!("ssh://{target}") })
}

async fn hold(slot: OwnedSemaphorePermit) {
    sleep(OPENED).await;
    drop(slot);
}

/// What the CLI gives to `ssh`, and that nobody is there to answer questions.
fn arguments(target: &SshTarget) -> Vec<OsString> {
    let SshTarget { user, host, port, socket } = target;
    let mut all: Vec<OsString> = vec![
        "-o".into(),
        "BatchMode=yes".into(),
        "-o".into(),
        format!("ConnectTimeout={CONNECT_TIMEOUT_SECONDS}").into(),
        "-T".into(),
    ];
    if let Some(user) = user {
        all.extend(["-l".into(), user.into()]);
    }
    if let Some(port) = port {
        all.extend(["-p".into(), port.to_string().into()]);
    }
    all.extend(["--".into(), host.into(), "docker".into()]);
    if let Some(socket) = socket {
        all.push(format!("--host=unix://{}", quoted(socket)).into());
    }
    all.extend(["system".into(), "dial-stdio".into()]);
    all
}

/// A word for the shell at the far end.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

async fn last_words(mut errors: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(got @ 1..) = errors.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..got).unwrap_or_default());
        if kept.len() > LAST_WORDS {
            kept.drain(..kept.len() - LAST_WORDS);
        }
    }
    let text = String::from_utf8_lossy(&kept);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" / ")
}

async fn reason(target: String, mut child: Child, words: JoinHandle<String>) -> String {
    let said = timeout(ENDING, words).await.ok().and_then(Result::ok).unwrap_or_default();
    let code = match timeout(ENDING, child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        _ => "no exit status".to_owned(),
    };
    let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
    format!("`ssh` to {target} ended before the engine answered ({code}); {said}")
}

impl SshStream {
    /// The first byte has come.
    fn open(&mut self) {
        let ended = Phase::Ended(String::new());
        self.phase = match std::mem::replace(&mut self.phase, ended) {
            Phase::Opening { child, words, slot } => {
                slot.abort();
                Phase::Open { _child: child, _words: words }
            }
            other => other,
        };
    }

    /// Finds out why it ended, where it ended before it was open.
    fn poll_reason(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        if matches!(self.phase, Phase::Opening { .. }) {
            let ended = Phase::Ended(String::new());
            if let Phase::Opening { child, words, slot } = std::mem::replace(&mut self.phase, ended) {
                slot.abort();
                self.input = None;
                self.phase = Phase::Ending(Box::pin(reason(self.target.clone(), child, words)));
            }
        }
        if let Phase::Ending(reason) = &mut self.phase {
            let text = ready!(reason.as_mut().poll(cx));
            self.phase = Phase::Ended(text);
        }
        Poll::Ready(match &self.phase {
            Phase::Ended(text) => Some(io::Error::new(io::ErrorKind::ConnectionAborted, text.clone())),
            _ => None,
        })
    }
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if matches!(this.phase, Phase::Opening { .. } | Phase::Open { .. }) {
            ready!(Pin::new(&mut this.output).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                this.open();
                return Poll::Ready(Ok(()));
            }
        }
        match ready!(this.poll_reason(cx)) {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(input) = &mut this.input {
            match ready!(Pin::new(input).poll_write(cx, buf)) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                done => return Poll::Ready(done),
            }
        }
        let error = ready!(this.poll_reason(cx));
        Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes our half: the far end reads the end and may still answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(input) = &mut self.input {
            ready!(Pin::new(input).poll_shutdown(cx))?;
        }
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(user: Option<&str>, port: Option<u16>, socket: Option<&str>) -> String {
        let own = |text: &str| text.to_owned();
        let target = SshTarget { user: user.map(own), host: own("-box"), port, socket: socket.map(own) };
        let all: Vec<String> = arguments(&target).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        all.join(" ")
    }

    #[test]
    fn ssh_is_told_what_the_cli_tells_it() {
        let quiet = "-o BatchMode=yes -o ConnectTimeout=15 -T";
        assert_eq!(words(None, None, None), format!("{quiet} -- -box docker system dial-stdio"));
        assert_eq!(
            words(Some("me"), Some(22), Some("/run/my sock'et")),
            format!(r"{quiet} -l me -p 22 -- -box docker --host=unix://'/run/my sock'\''et' system dial-stdio"),
        );
    }
}
