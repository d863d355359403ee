//! One question and its answer: a connection of its own for each, so that nothing is left over from the one before.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};
use turnout_traffic::{
    bounds,
    control::{Answer, Refusal, Request},
};

use crate::SteerError;

/// What came back, and from which process; its number is not known where it runs in another namespace.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) pid: Option<u32>,
}

/// Asks once. `asked` is what errors call it.
pub(crate) async fn ask(
    socket: &Path,
    request: &Request,
    asked: &str,
    patience: Duration,
) -> Result<Answered, SteerError> {
    let line = request.to_line().map_err(|mistakes| SteerError::TooLong {
        socket: socket.to_owned(),
        asked: asked.to_owned(),
        mistakes,
    })?;
    // Known out here, too, when the time is over.
    let mut sent = false;
    let (line_read, pid) = match timeout(patience, exchange(socket, &line, &mut sent)).await {
        Ok(Ok(read)) => read,
        Ok(Err(Failed::Connect(source))) => return Err(unconnected(socket, source)),
        Ok(Err(Failed::Talk(source))) => {
            return Err(SteerError::Broken { socket: socket.to_owned(), asked: asked.to_owned(), source, sent });
        }
        Err(_) => {
            let (socket, asked) = (socket.to_owned(), asked.to_owned());
            return Err(SteerError::Silent { socket, asked, after: patience, sent });
        }
    };
    match Answer::from_line(&line_read) {
        // Whoever matches wants the code; whoever reads wants to know where it was said, and of what.
        Ok(Answer::Refused(refusal)) => {
            let message = format!("{} refused `{asked}`: {}", socket.display(), refusal.message);
            Err(SteerError::Refused(Refusal { message, ..refusal }))
        }
        Ok(answer) => Ok(Answered { answer, pid }),
        Err(mistakes) => Err(not_understood(socket, asked, mistakes.to_string())),
    }
}

/// An answer that is none to what was asked.
pub(crate) fn not_understood(socket: &Path, asked: &str, why: String) -> SteerError {
    SteerError::Answer { socket: socket.to_owned(), asked: asked.to_owned(), why }
}

fn unconnected(socket: &Path, source: io::Error) -> SteerError {
    let socket = socket.to_owned();
    match source.kind() {
        // No file, or one that a killed proxy left.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SteerError::Absent { socket, source },
        _ => SteerError::Unreachable { socket, source },
    }
}

enum Failed {
    Connect(io::Error),
    Talk(io::Error),
}

async fn exchange(socket: &Path, line: &[u8], sent: &mut bool) -> Result<(Vec<u8>, Option<u32>), Failed> {
    let stream = UnixStream::connect(socket).await.map_err(Failed::Connect)?;
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(|pid| u32::try_from(pid).ok());
    let (reader, mut writer) = stream.into_split();
    let written = writer.write_all(line).await;
    *sent = written.is_ok();
    // Where it refuses before all was said, it has answered and left: that answer tells more than the broken pipe.
    let mut answer = Vec::new();
    let most = u64::try_from(bounds::BYTES).unwrap_or(u64::MAX);
    let read = BufReader::new(reader).take(most).read_until(b'\n', &mut answer).await;
    if answer.is_empty() {
        written.map_err(Failed::Talk)?;
        read.map_err(Failed::Talk)?;
        return Err(Failed::Talk(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")));
    }
    Ok((answer, pid.filter(|pid| *pid != 0)))
}
